"""Which verbs of a sentence are orders, as a naive model takes them.

A base form at the start of a clause, or behind `please`, `and`, `you must`, is an order;
`customers fetch their invoices from ...` and `do not fetch ...` are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios import support_llm_words as words
from scenarios.support_llm_blocks import METHODS
from scenarios.support_llm_calls import word_set
from scenarios.support_llm_words import Act

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.support_llm_tokens import Token

_REACH = 6


@dataclass(frozen=True, slots=True)
class Order:
    """A verb that is an order: what kinds of act it may be, and the tokens up to the next."""

    verb: Token
    acts: frozenset[Act]
    method: str
    words: tuple[Token, ...]
    subject: tuple[Token, ...] = ()
    """Of `... must be fetched`: what stands before it."""


def orders_of(sentence: Sequence[Token]) -> list[Order]:
    """Return a sentence's orders, in their order."""
    if sentence and sentence[0].low in {"what", "which", "what's"}:
        # `What does https://... say?` asks for it to be read.
        return [Order(sentence[0], frozenset({Act.FETCH}), "", tuple(sentence[1:]))]
    found = [(i, *heard) for i in range(len(sentence)) if (heard := _heard(sentence, i))]
    merged = _without_parts_of_others(sentence, found)
    if not merged:
        return []
    ends = [i for i, _, _ in merged[1:]] + [len(sentence)]
    return [
        Order(sentence[i], acts, method, tuple(sentence[i + 1 : end]), _subject(sentence, i))
        for (i, acts, method), end in zip(merged, ends, strict=True)
    ]


def _without_parts_of_others(
    sentence: Sequence[Token], found: list[tuple[int, frozenset[Act], str]]
) -> list[tuple[int, frozenset[Act], str]]:
    """`Make a POST request to` is one order: its method goes to the verb that begins it."""
    merged: list[tuple[int, frozenset[Act], str]] = []
    for i, acts, method in found:
        if merged and i - merged[-1][0] <= _REACH:
            earlier, its_acts, its_method = merged[-1]
            between = sentence[earlier + 1 : i]
            nothing_between = all(token.kind == "word" for token in between) and not any(
                token.low in {"and", "then", "to"} for token in between
            )
            if nothing_between and (method or sentence[i].low in {"request", "call", "query"}):
                merged[-1] = (earlier, its_acts, its_method or method)
                continue
        merged.append((i, acts, method))
    return merged


def _heard(sentence: Sequence[Token], i: int) -> tuple[frozenset[Act], str] | None:
    token = sentence[i]
    if token.kind != "word":
        return None
    if token.raw in METHODS:
        after = sentence[i + 1 : i + 4]
        if "HTTP" in {one.raw for one in after}:
            return None  # a line of a log, not an order
        near = any(one.kind in {"url", "host", "path"} or one.low == "request" for one in after)
        if token.raw == "POST" and after and after[0].low in {"to", "the", "it", "this", "that"}:
            return words.VERBS["post"], ""
        ok = near and not _forbidden(sentence, i) and not _told(sentence, i)
        return (frozenset({Act.FETCH}), token.raw) if ok else None
    word = token.low
    if word.endswith("ing"):
        acts = words.VERBS.get(word[:-3]) or words.VERBS.get(word[:-3] + "e") or frozenset()
        if not acts and word[-4:-3] == word[-5:-4]:  # getting, putting
            acts = words.VERBS.get(word[:-4], frozenset())
        led = i > 0 and sentence[i - 1].low in words.GERUND_LEADS
        ok = bool(acts) and led and not _told(sentence, i) and not _forbidden(sentence, i)
        return (acts, "") if ok else None
    acts = words.VERBS.get(word, frozenset())
    if not acts or (word in _PARTICIPLES and i > 0 and sentence[i - 1].low in _BEING):
        return _passive(sentence, i)
    if word in words.NEED_TO and not _reaches(sentence, i):
        return None
    if _is_noun(sentence, i) or not _leads(sentence, i) or _forbidden(sentence, i):
        return None
    return acts, ""


def _reaches(sentence: Sequence[Token], i: int) -> bool:
    return any(
        token.low in {"to", "at", "up", "into", "over"} or token.kind in {"url", "host"}
        for token in sentence[i + 1 : i + 4]
    )


def _is_noun(sentence: Sequence[Token], i: int) -> bool:
    if sentence[i].low not in words.NOUNS_TOO:
        return False
    after = sentence[i + 1].raw if i + 1 < len(sentence) else ""
    if after == ":":
        return True
    before = sentence[i - 1].low if i else ""
    return before in {"the", "a", "an", "this", "that", "our", "your", "my", "every", "each", "any"}


def _leads(sentence: Sequence[Token], i: int) -> bool:
    """Tell whether what stands before the verb lets it be an order."""
    if i == 0:
        return True
    before = sentence[i - 1]
    if before.kind in {"point", "mark"}:
        return not (before.raw == "," and _told(sentence, i) and _plain_list(sentence, i))
    if before.kind != "word":
        return _direct(sentence, i)
    low = before.low
    if low == "to":
        earlier = sentence[i - 2].low if i > 1 else ""
        return earlier not in words.USED_TO and not _told(sentence, i)
    if low == "you":
        when = sentence[i - 2].low if i > 1 else ""
        return when not in {
            "when",
            "if",
            "once",
            "after",
            "while",
            "as",
            "until",
            "what",
            "where",
        } and (_direct(sentence[: i - 1], i - 1))
    if low in words.LEADS or low.endswith("ly") or _lets(sentence, i - 1) or low in words.ADDRESSED:
        return not _told(sentence, i)
    if low in words.THIRD_PARTIES:
        return False
    return _direct(sentence, i) and not _told(sentence, i) and low not in {"the", "a", "an", "of"}


def _plain_list(sentence: Sequence[Token], i: int) -> bool:
    """Tell `they open, read, send` from `when they call, fetch ...`."""
    return sentence[0].low in words.THIRD_PARTIES and i > 0


def _told(sentence: Sequence[Token], i: int) -> bool:
    """Tell whether the clause is about somebody else: it has a subject, and addresses nobody."""
    clause = list(sentence[:i])
    for n in range(len(clause) - 1, -1, -1):
        if clause[n].raw in ":;-(" or (clause[n].raw == "," and n != len(clause) - 1):
            clause = clause[n + 1 :]
            break
    while clause and (clause[0].kind != "word" or clause[0].low in {"and", "then", "but", "so"}):
        clause = clause[1:]
    if not clause or _direct(clause, len(clause)):
        return False
    return clause[0].low in words.SUBJECTS or any(
        token.low in {"we", "they", "he", "she"} for token in clause
    )


def _direct(sentence: Sequence[Token], i: int) -> bool:
    return any(
        token.low in words.DIRECT or _lets(sentence, n) for n, token in enumerate(sentence[:i])
    )


def _lets(sentence: Sequence[Token], n: int) -> bool:
    """Tell whether `let's`, `lets` or `let us` begins an order: `they let us` does not."""
    low = sentence[n].low
    if low not in {"let's", "lets", "let"} or (low == "let" and _next(sentence, n) != "us"):
        return False
    before = sentence[n - 1] if n else None
    return before is None or before.kind != "word" or before.low in words.OPENERS


def _forbidden(sentence: Sequence[Token], i: int) -> bool:
    """Tell whether the verb is one that the sentence says not to do."""
    forbidden, joined = False, True
    for n in range(i):
        token = sentence[n]
        low = token.low
        negation = low in words.NEGATIONS or (low == "no" and _next(sentence, n) in words.NO_WHAT)
        if negation or (low == "refrain" and _next(sentence, n) == "from"):
            flips = any(one.low in words.NOT_NEGATED for one in sentence[n + 1 : n + 3])
            forbidden, joined = not flips, True
        elif (
            token.raw in {";", ":", "-"}
            or low in {"but", "instead", "rather"}
            or (token.raw == "," and _next(sentence, n) not in {"or", "nor"})
        ):
            forbidden = False
        elif low in words.SPEECH and forbidden:
            joined = False
        elif low in {"and", "then"} and not joined:
            forbidden = False
    return forbidden


def _next(sentence: Sequence[Token], n: int) -> str:
    return sentence[n + 1].low if n + 1 < len(sentence) else ""


_PARTICIPLES = {
    "fetched": Act.FETCH,
    "retrieved": Act.FETCH,
    "read": Act.FETCH,
    "called": Act.FETCH,
    "requested": Act.FETCH,
    "opened": Act.FETCH,
    "visited": Act.FETCH,
    "queried": Act.FETCH,
    "loaded": Act.FETCH,
    "downloaded": Act.FETCH,
    "accessed": Act.FETCH,
    "consulted": Act.FETCH,
    "checked": Act.FETCH,
    "included": Act.FETCH,
    "sent": Act.SEND,
    "posted": Act.SEND,
    "forwarded": Act.SEND,
    "uploaded": Act.SEND,
    "submitted": Act.SEND,
    "reported": Act.SEND,
    "copied": Act.SEND,
    "delivered": Act.SEND,
    "transmitted": Act.SEND,
    "deleted": Act.DELETE,
    "removed": Act.DELETE,
    "erased": Act.DELETE,
}
_HAVE_TO = word_set("must should shall has have needs need is are ought required")
_NEEDFUL = word_set("important essential critical vital necessary mandatory imperative crucial")


def _passive(sentence: Sequence[Token], i: int) -> tuple[frozenset[Act], str] | None:
    """Hear `must be fetched and posted to`, `vital that it is read`, `after having read`."""
    act = _PARTICIPLES.get(sentence[i].low)
    if act is None or _forbidden(sentence, i):
        return None
    lows = [token.low for token in sentence[:i]]
    last = lows[-1] if lows else ""
    if last == "having":
        return None if _told(sentence, i) else (frozenset({act}), "")
    joined = last in {"and", "then", "or"} or last.endswith("ly")
    if last not in _BEING and not joined:
        return None
    return (frozenset({act}), "") if _obliged(lows) else None


_BEING = word_set("be is are gets get been")


def _obliged(lows: list[str]) -> bool:
    if not _BEING & set(lows):
        return False
    if _NEEDFUL & set(lows):
        return True
    if "be" not in lows:
        return False
    be = lows.index("be")
    return any(low in _HAVE_TO for low in lows[max(0, be - 3) : be])


def _subject(sentence: Sequence[Token], i: int) -> tuple[Token, ...]:
    passive = sentence[i].low in _PARTICIPLES and _BEING & {t.low for t in sentence[:i]}
    return tuple(sentence[:i]) if passive else ()
