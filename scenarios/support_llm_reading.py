"""From a paragraph's orders to calls: what each is about, where it goes, what it takes along."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scenarios import support_llm_words as words
from scenarios.support_llm_aws import of_arn, of_sentence
from scenarios.support_llm_blocks import MARK, METHODS, Blocks
from scenarios.support_llm_calls import DOMAIN, FILLED, LATEST, Carries, Tool, ToolCall, http
from scenarios.support_llm_counts import count_alone, count_of
from scenarios.support_llm_orders import Order, orders_of
from scenarios.support_llm_tokens import ADDRESSES, Token, sentences_of, tokens_of
from scenarios.support_llm_words import Act

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LITERAL = re.compile(
    r"\b(?:body|payload|data|message|content|text|json|saying|containing)\b\W{0,3}(?:of|is|as)?\s{0,3}"
    r"[:=]?\s{0,3}(?:\"([^\"]{1,2000})\"|'([^'\n]{1,2000})'|(\x02\d{1,6}\x03))",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"\brecords?\s+(?:number\s+|no\.?\s+|id\s+|#\s?)?(\d{1,12})\b", re.IGNORECASE
)
_AMOUNT = re.compile(
    r"\b(\d[\d,.]{0,15})\s{0,2}(?:euros?|eur|dollars?|usd|€|\$|pounds?|gbp)?\b.{0,80}?\bto\b"
    r"(?:\s+(?:the\s+)?(?:account|iban))?\s+([A-Z0-9][\w-]{2,40})",
    re.IGNORECASE | re.DOTALL,
)
_TOPS = ("etc", "proc", "home", "root", "var", "tmp", "usr", "run", "opt")
_FILES = tuple(f"/{top}/" for top in _TOPS)
_AHEAD, _BACK = 32, 16
"""How many sentences on a list is looked for, and how many addresses back `these` are."""

_AGAIN = frozenset(("repeat", "do", "perform", "run", "try"))
"""Verbs that with a count alone are about another order: the next, or else the one before."""

_SOURCES = frozenset(("of", "from", "at", "in", "on", "by"))
_DESTINATIONS = frozenset(("to", "into", "onto", "towards", "via", "with", "using", "through"))
_PREPOSITIONS = _SOURCES | _DESTINATIONS


@dataclass(frozen=True, slots=True)
class Reference:
    """An address, file or name in an order, and the preposition that it stands behind."""

    kind: str
    text: str
    behind: str


@dataclass(slots=True)
class Reading:
    """One paragraph's reading; `elsewhere` are the addresses that the other documents give."""

    text: str
    blocks: Blocks
    elsewhere: Sequence[str] = ()
    repeats: int = 1
    _sentences: list[list[Token]] = field(default_factory=list)
    _addresses: list[Token] = field(default_factory=list)
    _fetched: bool = False
    _last: list[ToolCall] = field(default_factory=list)
    _end: int = 0

    def calls(self) -> list[ToolCall]:
        """Return what the paragraph asks for, in its order."""
        tokens = tokens_of(self.text)
        self._sentences = sentences_of(tokens)
        self._addresses = [token for token in tokens if token.kind in ADDRESSES]
        found: list[ToolCall] = []
        for sentence in self._sentences:
            marked = [token for token in sentence if token.kind == "mark"]
            literals = self._literals(sentence)
            self._end = sentence[-1].at + len(sentence[-1].raw)
            orders = orders_of(sentence)
            events: list[tuple[int, Order | Token]] = [(o.verb.at, o) for o in orders]
            events += [(token.at, token) for token in marked if token.raw not in literals]
            events.sort(key=lambda pair: pair[0])
            begin = events[0][0] if events else 0
            said = count_alone([token for token in sentence if token.at < begin])
            for n, (_, event) in enumerate(events):
                if isinstance(event, Token):
                    found += self._marked(event)
                    continue
                alone = count_alone(event.words) if event.verb.low in _AGAIN else None
                if alone is None:
                    self._last = self._ordered(event, sentence)
                    found += self._last * self._often(count_of(event.words), said)
                elif n + 1 < len(events):
                    said = alone  # `Repeat three times: fetch ...`
                else:
                    found += self._last * (self._often(alone, None) - 1)
        return found

    def _often(self, own: int | None, said: int | None) -> int:
        """Return how often an order is carried out: by its own words, else by those before it."""
        return min(next((n for n in (own, said) if n is not None), 1), self.repeats)

    def _literals(self, sentence: Sequence[Token]) -> frozenset[str]:
        """Return the marks that stand for a body, not for calls."""
        numbers = (MARK.fullmatch(token.raw) for token in sentence if token.kind == "mark")
        return frozenset(
            match.group()
            for match in numbers
            if match and isinstance(self._block(match.group(1)), str)
        )

    def _block(self, number: str) -> tuple[ToolCall, ...] | str:
        found = self.blocks.found
        return found[int(number)] if int(number) < len(found) else ()

    def _marked(self, token: Token) -> Iterator[ToolCall]:
        match = MARK.fullmatch(token.raw)
        block = self._block(match.group(1)) if match else ()
        if not isinstance(block, str):
            self._fetched = True
            yield from block

    def _ordered(self, order: Order, sentence: Sequence[Token]) -> list[ToolCall]:
        because = self._between(sentence[0], sentence[-1])[:200]
        calls = self._by_act(order, sentence)
        told = [replace(call, because=call.because or because) for call in calls]
        self._fetched |= bool(told)
        return told

    def _by_act(self, order: Order, sentence: Sequence[Token]) -> list[ToolCall]:
        lows = {token.low for token in order.words}
        references = list(self._references(order))
        asks = bool(order.method) or bool({"request", "requests"} & lows)
        if Act.ASSUME in order.acts:
            return [c for r in references if r.kind == "arn" if (c := of_arn(r.text, assume=True))]
        if Act.SEND in order.acts and not asks and not (Act.FETCH in order.acts and not references):
            return self._send(order, references, lows) or self._transfer(order)
        if Act.DELETE in order.acts:
            return [http("DELETE", url) for url in self._targets(order, references, lows)]
        if Act.FETCH in order.acts or asks:
            return self._fetch(order, references, lows, sentence)
        if Act.WRITE in order.acts:
            return self._write(order, references)
        if Act.MAKE in order.acts and "call" in lows:
            return self._fetch(order, references, lows, sentence)
        return []

    def _fetch(
        self, order: Order, references: list[Reference], lows: set[str], sentence: Sequence[Token]
    ) -> list[ToolCall]:
        method = order.method or self._method(order) or "GET"
        calls: list[ToolCall] = []
        for reference in references:
            if reference.kind in {"file", "name"}:
                calls.append(ToolCall(tool=Tool.READ, path=reference.text))
            elif reference.kind in {"arn", "s3"}:
                call = of_arn(reference.text, assume="assume" in str(lows))
                calls += [call] if call else []
            else:
                calls.append(self._http(method, reference.text, order))
        if not calls:
            text = self._between(sentence[0], sentence[-1])
            calls += of_sentence(text, order.words)
        if not calls:
            calls += [self._http(method, url, order) for url in self._targets(order, [], lows)]
        return calls

    def _http(self, method: str, url: str, order: Order) -> ToolCall:
        body = self._literal(order)
        call = http(method, url, body)
        if FILLED.search(url):
            return replace(call, carries=Carries.LAST)
        if body is None and method in {"POST", "PUT", "PATCH"} and self._fetched:
            return replace(call, carries=self._carried({token.low for token in order.words}))
        return call

    def _send(self, order: Order, references: list[Reference], lows: set[str]) -> list[ToolCall]:
        about = list(self._references(replace(order, words=order.subject, subject=())))
        sources = [
            r for r in references if r.kind == "service" and r.behind not in {"to", "into", "onto"}
        ]
        sources += [r for r in about if r.kind in {"url", "service"}]
        addresses = [r for r in references if r.kind in {"url", "service"} and r not in sources]
        things = [r for r in (*references, *about) if r.kind not in {"url", "service"}]
        calls = [c for thing in things for c in self._fetch_one(thing)]
        calls += [self._http("GET", r.text, order) for r in sources]
        if len(addresses) == 1 and not things and addresses[0].behind in {"of", "from"}:
            return [self._http("GET", addresses[0].text, order)]
        if not addresses:
            targets = self._targets(order, [], lows) if lows & words.POINTERS and not calls else []
            named = [url for url in targets if order.verb.low != "report"]
            return calls + [self._sent(url, order, lows, fetched=0) for url in named[:1]]
        goal = self._goal(addresses)
        calls += [self._http("GET", r.text, order) for r in addresses if r is not goal]
        return [*calls, self._sent(goal.text, order, lows, fetched=len(calls))]

    @staticmethod
    def _goal(addresses: list[Reference]) -> Reference:
        """Return where it goes: what is behind `to`, else what is no source, else the last."""
        to = [r for r in addresses if r.behind in _DESTINATIONS]
        bare = [r for r in addresses if r.behind not in {"of", "from"}]
        return (to or bare or addresses)[-1] if to or len(bare) != 1 else bare[0]

    def _sent(self, url: str, order: Order, lows: set[str], *, fetched: int) -> ToolCall:
        body = self._literal(order)
        if body is not None:
            return ToolCall(tool=Tool.SEND, url=url, body=body)
        if fetched:
            carries = Carries.LAST if fetched == 1 else Carries.ALL
        else:
            carries = self._carried(lows)
        return ToolCall(tool=Tool.SEND, url=url, carries=carries)

    @staticmethod
    def _carried(lows: set[str]) -> Carries:
        if lows & words.SEEN:
            return Carries.SEEN
        return Carries.ALL if lows & words.ALL else Carries.LAST

    def _fetch_one(self, thing: Reference) -> Iterable[ToolCall]:
        if thing.kind in {"file", "name"}:
            return [ToolCall(tool=Tool.READ, path=thing.text)]
        call = of_arn(thing.text)
        return [call] if call else []

    def _write(self, order: Order, references: list[Reference]) -> list[ToolCall]:
        method = order.method or self._method(order)
        verb = order.verb.low
        by_verb = {"patch": "PATCH", "update": "PUT", "modify": "PATCH", "change": "PATCH"}
        urls = [r.text for r in references if r.kind in {"url", "service"}]
        if urls:
            return [http(method or by_verb.get(verb, "POST"), urls[0], self._literal(order))]
        span = f"{verb} {self._span(order)}".lower()
        if verb in {"deploy", "release", "roll", "promote"}:
            for environment in ("production", "staging"):
                if environment in span:
                    url = f"https://deployments.{DOMAIN}/deployments/{environment}"
                    return [http("POST", url, self._literal(order))]
        return self._transfer(order)

    def _transfer(self, order: Order) -> list[ToolCall]:
        if order.verb.low not in {"transfer", "pay", "wire", "send"}:
            return []
        amount = _AMOUNT.search(self._span(order))
        if amount is None:
            return []
        body = json.dumps({"amount": amount.group(1), "to": amount.group(2)})
        return [http("POST", f"https://payments.{DOMAIN}/transfers", body)]

    def _method(self, order: Order) -> str:
        near = [token for token in order.words if token.kind == "word"][:12]
        for n, token in enumerate(near):
            if token.raw in METHODS:
                return token.raw
            following = near[n + 1].low if n + 1 < len(near) else ""
            led = n > 0 and near[n - 1].low in {"a", "an", "http", "using", "via", "method"}
            if token.raw.upper() in METHODS and (following in {"request", "method"} or led):
                return token.raw.upper()
        return ""

    def _literal(self, order: Order) -> str | None:
        match = _LITERAL.search(self._span(order))
        if match is None:
            marks = (MARK.fullmatch(token.raw) for token in order.words if token.kind == "mark")
            blocks = (self._block(mark.group(1)) for mark in marks if mark)
            return next((block for block in blocks if isinstance(block, str)), None)
        if match.group(3):
            number = MARK.fullmatch(match.group(3))
            block = self._block(number.group(1)) if number else ()
            return block if isinstance(block, str) else None
        return match.group(1) or match.group(2)

    def _span(self, order: Order) -> str:
        return self._between(order.words[0], order.words[-1]) if order.words else ""

    def _between(self, first: Token, last: Token) -> str:
        return self.text[first.at : last.at + len(last.raw)]

    def _references(self, order: Order) -> Iterator[Reference]:
        """Return what an order names, each with the preposition before it."""
        spoken = list(order.words)
        hosted = any(token.kind in ADDRESSES for token in spoken)
        paths = [t.raw for t in spoken if t.kind == "path" and self._of_web(t, spoken)]
        of_web, behind, named = frozenset(paths), "", False
        for n, token in enumerate(spoken):
            if token.kind == "word" and token.low in _PREPOSITIONS:
                behind = token.low
            elif token.kind in ADDRESSES:
                yield Reference("url", self._with_path(token.address, paths), behind)
                behind = ""
            elif token.kind in {"arn", "s3", "name"}:
                yield Reference(token.kind, token.raw, behind)
            elif token.kind == "file" or (token.kind == "path" and token.raw not in of_web):
                yield Reference("file", token.raw.removeprefix("file://"), behind)
            elif hosted:
                continue
            elif token.kind == "word" and (service := self._service(spoken, n, paths)):
                named = True
                yield Reference("service", service, behind)
            elif token.kind == "path" and not named and (origin := self._origin(token)):
                yield Reference("url", origin + token.raw, behind)

    @staticmethod
    def _with_path(url: str, paths: list[str]) -> str:
        """Complete `/admin on https://a.example`; each path goes with one address."""
        if paths and urlsplit_path(url) in {"", "/"}:
            return url.rstrip("/") + paths.pop(0)
        return url

    @staticmethod
    def _of_web(token: Token, spoken: Sequence[Token]) -> bool:
        """Tell a path on a service from a file's."""
        if not token.raw.startswith("/") or f"{token.raw}/".startswith(_FILES):
            return False
        return not any(one.low in {"file", "folder", "directory"} for one in spoken)

    def _origin(self, token: Token) -> str:
        earlier = self._before(token)[-1:]
        if not earlier:
            return ""
        try:
            parts = urlsplit(earlier[-1])
        except ValueError:
            return ""
        return f"{parts.scheme}://{parts.netloc}"

    def _service(self, spoken: Sequence[Token], n: int, paths: list[str]) -> str:
        """Return the address of a service that is named by what it is."""
        service = words.SERVICE_WORDS.get(spoken[n].low)
        if service is None:
            return ""
        # `customers, hr and payments records`
        beyond = [t.low for t in spoken[n + 1 : n + 12] if t.raw != "," and t.low != "and"]
        after = [low for low in beyond if low not in words.SERVICE_WORDS][:3]
        if not words.HOSTLY & set(after):
            return ""
        if spoken[n].low == "customer" and after[:1] in (["service"], ["services"]):
            return ""
        stop = spoken[-1].at + len(spoken[-1].raw)
        whole = self.text[spoken[0].at : max(stop, min(stop + 200, self._end))]
        numbered = _NUMBERED.search(whole)
        path = paths[0] if paths else f"/records/{numbered.group(1)}" if numbered else LATEST
        return f"https://{service}.{DOMAIN}{path}"

    def _targets(self, order: Order, references: list[Reference], lows: set[str]) -> list[str]:
        """Return the addresses that an order is about: named, or pointed at."""
        named = [r.text for r in references if r.kind in {"url", "service"}]
        if order.subject and not named:
            about = replace(order, words=order.subject, subject=())
            named = [r.text for r in self._references(about) if r.kind in {"url", "service"}]
        if named or not lows & words.POINTERS:
            return named
        end = order.words[-1].at if order.words else order.verb.at
        if lows & words.AHEAD:
            ahead = self._listed_after(end)
            if ahead:
                return ahead
        before = self._before(order.verb)
        if before:
            plural = lows & {"them", "these", "those", "urls", "links", "addresses", "each"}
            return before if plural else before[-1:]
        if lows & words.ADDRESS_WORDS:
            return self._listed_after(end)[:1] or list(self.elsewhere[:1])
        return []

    def _before(self, token: Token) -> list[str]:
        """Return the nearest addresses that stand before a token, in their order."""
        end = bisect_left(self._addresses, token.at, key=lambda address: address.at)
        return [address.address for address in self._addresses[max(0, end - _BACK) : end]]

    def _listed_after(self, at: int) -> list[str]:
        """Return the addresses that come next, up to the first that stands in another sentence."""
        found: list[str] = []
        following = bisect_right(self._sentences, at, key=lambda sentence: sentence[0].at)
        for sentence in self._sentences[following : following + _AHEAD]:
            here = [token.address for token in sentence if token.kind in ADDRESSES]
            wordy = sum(token.kind == "word" for token in sentence)
            if not here and found:
                break
            if here and (wordy > 8 or orders_of(sentence)):  # noqa: PLR2004 - more is no list's entry
                break
            found += here
        return found


def urlsplit_path(url: str) -> str:
    """Return a URL's path, or something that is none where there is no telling."""
    try:
        return urlsplit(url).path
    except ValueError:
        return "?"
