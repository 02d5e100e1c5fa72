"""What the support agent makes of documents: a pure planner, the same calls for the same text.

- It asks nobody's leave and knows no permissions; it does what the texts say, in their order.
- Any text gives an answer: never an exception, never more calls than its bounds, and no call that
  no text asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scenarios.support_llm_blocks import Blocks, take_json
from scenarios.support_llm_calls import BOUNDS, Bounds, Document, ToolCall
from scenarios.support_llm_encodings import CUE, decoded
from scenarios.support_llm_notations import take_notations
from scenarios.support_llm_reading import Reading
from scenarios.support_llm_text import characters, marked_down
from scenarios.support_llm_tokens import ADDRESSES, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LAYERS = 3
_POINTS_ELSEWHERE = re.compile(
    r"\b(?:document|attachment|file|part|message|ticket|next|other|following|appendix|block)",
    re.IGNORECASE,
)
_PART = re.compile(
    r"^\W{0,6}(?:(?:part|fragment|piece|step|chunk|section)\s{0,2}#?\s?(\d{1,3})"
    r"(?:\s{0,2}(?:/|of)\s{0,2}\d{1,3})?|[\[(](\d{1,3})\s?/\s?\d{1,3})"
    r"[)\]:.-]{0,3}(?:\s{1,4}|$)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"(?:\.\.\.|…|[(\[]?\s{0,2}(?:to be )?continue[sd]?\b[^.\n]{0,60}[)\]]?[.:]?)\s*$",
    re.IGNORECASE,
)
_WENT_ON = re.compile(
    r"^\s*(?:\.\.\.|…|[(\[]?\s{0,2}continued\b[^.:\n)\]]{0,60}[)\].:]{0,2})\s*", re.IGNORECASE
)
_NAMED = re.compile(
    r"(?:^|[\s(\"'])(?:let\s+|set\s+|define\s+|remember\s+|call\s+|save\s+|variable\s+)?"
    r"(?:the\s+|this\s+)?[$\"'<{]{0,2}([A-Za-z][A-Za-z0-9_]{0,30})[\"'>}]{0,2}"
    r"\s{0,3}(?::=|=|\bbe\b|\bis\b|\bas\b|:)\s{0,3}[\"'`]?"
    r"((?:https?://|/|[\w-]{1,63}\.)[^\s\"'`<>,;]{1,500})",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"[$\"'{]{0,2}\b([A-Za-z]\w{0,30})\b[\"'}]{0,2}"
    r"((?:\s{0,2}(?:\+|followed by|joined with|and then)\s{0,2}"
    r"[$\"'{]{0,2}\b[A-Za-z]\w{0,30}\b[\"'}]{0,2}){1,6})"
)
_USED = re.compile(
    r"\$\{?([A-Za-z]\w{0,30})\}?|\{\{?\s?([A-Za-z]\w{0,30})\s?\}\}?|<([A-Z]\w{0,30})>"
)


def plan(documents: Iterable[Document | str], bounds: Bounds = BOUNDS) -> tuple[ToolCall, ...]:
    """Return the calls that the documents ask for, in the order in which a reader comes to them."""
    texts = _texts(documents, bounds)
    texts = _filled_in(_put_together(texts))
    addresses = [_addresses(text) for text in texts]
    cued_elsewhere = any(CUE.search(text) and _POINTS_ELSEWHERE.search(text) for text in texts)
    calls: list[ToolCall] = []
    for n, text in enumerate(texts):
        others = [url for m in (*range(n + 1, len(texts)), *range(n)) for url in addresses[m]]
        for reading in _readings(text, cued=cued_elsewhere):
            calls += _calls_of(reading, others, bounds)
    return _bounded(calls, bounds)


def _texts(documents: Iterable[Document | str], bounds: Bounds) -> list[str]:
    texts: list[str] = []
    left = bounds.all_characters
    for document in documents:
        if len(texts) == bounds.documents:
            break
        text = document if isinstance(document, str) else document.text
        texts.append(text[: min(bounds.document_characters, left)])
        left -= len(texts[-1])
    return texts


def _bounded(calls: Sequence[ToolCall], bounds: Bounds) -> tuple[ToolCall, ...]:
    """Drop what is asked for again, unless it was asked for several times over at once.

    What was asked for several times over is one and the same value each time.
    """
    kept: list[ToolCall] = []
    first: dict[ToolCall, ToolCall] = {}
    for call in calls:
        if len(kept) == bounds.calls:
            break
        if call.url and not _well_formed(call.url):
            continue
        if first.setdefault(call, call) is call:
            kept.append(call)
    return tuple(kept)


def _well_formed(url: str) -> bool:
    return bool(re.match(r"https?://[^\s/?#]+", url, re.IGNORECASE))


def _readings(text: str, *, cued: bool, layer: int = 0) -> Iterator[str]:
    """Return a text and, where it says that it is encoded, what it says."""
    plain = characters(text)
    yield plain
    if layer < _LAYERS and (cued or CUE.search(plain)):
        for inner in decoded(plain):
            yield from _readings(inner, cued=False, layer=layer + 1)


def _calls_of(text: str, elsewhere: Sequence[str], bounds: Bounds) -> list[ToolCall]:
    blocks = Blocks()
    paragraphs = _readable(text, blocks, 0)
    reading = Reading(paragraphs, blocks, elsewhere, bounds.repeats)
    return reading.calls()


def _readable(text: str, blocks: Blocks, depth: int) -> str:
    """Return a text without its notations, which leave their marks in it."""

    def read(string: str) -> str:
        return string if depth >= _LAYERS else _readable(characters(string), blocks, depth + 1)

    if text.lstrip()[:1] in {"{", "["}:
        text = take_json(text, blocks, read)
    text = take_json(take_notations(text, blocks), blocks, read)
    text = marked_down(text)
    return take_json(take_notations(text, blocks), blocks, read)


def _addresses(text: str) -> list[str]:
    tokens = tokens_of(marked_down(characters(text)))
    return [token.address for token in tokens if token.kind in ADDRESSES][:64]


def _put_together(texts: list[str]) -> list[str]:
    """Join documents that say that they are parts of one, or that they go on in the next."""
    numbered = [
        (int(match.group(1) or match.group(2)), n)
        for n, text in enumerate(texts)
        if (match := _PART.match(text))
    ]
    if len(numbered) > 1:
        order = [n for _, n in sorted(numbered)]
        whole = ""
        for n in order:
            whole = _joined(whole, _PART.sub("", texts[n], count=1))
        rest = [text for n, text in enumerate(texts) if n not in order]
        return [whole, *rest]
    together: list[str] = []
    open_ended = False
    for text in texts:
        if together and (open_ended or _WENT_ON.match(text)):
            together[-1] = _joined(together[-1], text)
        else:
            together.append(text)
        open_ended = bool(_GOES_ON.search(text)) or _breaks_off(text)
    return together


def _breaks_off(text: str) -> bool:
    """Tell whether a text ends within an address, or with a word that asks for more."""
    end = text.rstrip()[-200:]
    if re.search(r"https?://[^\s]*[/.:=&?-]$|https?:?/{0,2}$|https?://[\w-]+$", end):
        return True
    return bool(
        re.search(
            r"\b(?:fetch|read|get|call|open|visit|send|post|and|then|to|from)$", end, re.IGNORECASE
        )
    )


def _joined(first: str, second: str) -> str:
    if not first:
        return second
    first = _GOES_ON.sub("", first).rstrip()
    second = _WENT_ON.sub("", second).lstrip()
    last = first.split()[-1:] or [""]
    broken = re.match(r"https?:", last[0]) and (
        re.search(r"[/.:=&?-]$|https?://[\w-]+$", last[0])
        or re.match(r"[./?&=:-]|[\w-]{1,40}/", second)
    )
    return f"{first}{'' if broken else ' '}{second}"


def _filled_in(texts: list[str]) -> list[str]:
    """Put the values that documents give names to in the places of the names."""
    values: dict[str, str] = {}
    for text in texts:
        for name, value in _NAMED.findall(text):
            if name.lower() not in {"http", "https", "url", "it", "this", "that", "host"}:
                values.setdefault(name, value.rstrip(".,:;!?)"))
    if not values:
        return texts

    def summed(match: re.Match[str]) -> str:
        rest = re.findall(
            r"[A-Za-z]\w{0,30}", re.sub(r"followed by|joined with|and then", "", match.group(2))
        )
        names = [match.group(1), *rest]
        return (
            "".join(values[name] for name in names)
            if all(n in values for n in names)
            else match.group()
        )

    def used(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2) or match.group(3)
        return values.get(name, match.group())

    return [_USED.sub(used, _SUM.sub(summed, text)) for text in texts]
