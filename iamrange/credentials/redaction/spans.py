"""Where a text has secrets, in whatever of the claimed encodings: the places that must go. Pure.

- Claimed: as they are, escaped in JSON, percent-encoded, base64 of either alphabet, broken over
  lines, and these in one another, `DEPTH` deep.
- Where two rules see the same characters both places go, as one: nothing is left of either.
- Linear in the text: each try of a rule is bounded, and so is their number. A text with too many
  places that look like secrets is not read half-way: `UnreadError`.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from iamrange.credentials.redaction.members import REDACTED
from iamrange.credentials.scan.rules_types import Flavour, TooManyTriesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.credentials.scan.rules_types import SecretRule

DEPTH: Final = 3
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{24,}+={0,2}")
_URL_TEXT: Final = re.compile(r"[A-Za-z0-9%+._~*()!:/@$-]{6,}+")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_BREAK: Final = re.compile(
    r"(?:\\|=)?\r?\n[ \t]{0,64}"
    r"(?=[A-Za-z0-9+/_=.~-]++[\"'`,;)\]}]{0,4}[ \t]{0,8}(?:\r?\n|\Z))"
)
"""A line's end after which the next line is one word: a long value that was broken."""

_ANYWHERE: Final = frozenset({"named-secret", "secret-member", "basic-auth-url", "cookie"})
"""Rules that take whatever stands behind a name: they do not read on over a line's end."""

_OVER_LINES: Final = tuple(rule for rule in REDACTED if rule.id not in _ANYWHERE)
_BY_ITS_NAME: Final = "named-secret"
_LONGEST_ARN: Final = 2048
_LONGEST_LINE: Final = 4096
_ORDER: Final = {rule.id: number for number, rule in enumerate(REDACTED)}
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class UnreadError(Exception):
    """A text could not be looked at as a whole."""


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a text that must go, the rule that says so, and what makes it the same secret."""

    start: int
    end: int
    rule: SecretRule
    secret: str = field(repr=False)


def spans(text: str, depth: int = DEPTH) -> list[Span]:
    """Return the places, in their order; they do not overlap.

    Raises:
        UnreadError: too much of the text looks like a secret.
    """
    found = list(_seen(text, REDACTED))
    broken = [match.span() for match in _BREAK.finditer(text)]
    # a value may begin behind other words of a line, or where its first line does
    for gone in ([*broken], [one for one in broken if _is_one_word(text, one[0])]):
        joined, breaks = _joined(text, gone)
        if breaks:
            inner = [*_seen(joined, _OVER_LINES), *(_encoded(joined, depth) if depth else ())]
            found += _put_back(inner, breaks)
    if depth:
        found += _encoded(text, depth)
        found += _escaped(text, depth)
    return _merged(found)


def _seen(text: str, rules: Sequence[SecretRule]) -> Iterator[Span]:
    lowered = text.lower()
    if len(lowered) != len(text):  # few letters have a longer one in lower case
        lowered = "".join(c.lower() if c.isascii() else c for c in text)
    for rule in rules:
        try:
            for hit in rule.hits(text, lowered, Flavour.CONFIGURATION):
                if rule.id == _BY_ITS_NAME and _in_an_arn(text, hit.start):
                    continue
                secret = text[hit.start : hit.end]
                yield Span(hit.start, hit.end, rule, rule.canonical(secret))
        except TooManyTriesError as error:
            raise UnreadError(str(error)) from None


def _in_an_arn(text: str, at: int) -> bool:
    """Tell whether a place is in the name of a resource: `...:secret:` says what it is."""
    begins = max(text.rfind(space, max(0, at - _LONGEST_ARN), at) for space in " \t\n\"'=,")
    return text.startswith("arn:", begins + 1)


def _encoded(text: str, depth: int) -> Iterator[Span]:
    for match in _BASE64.finditer(text):
        said = _decoded(match[0])
        if said is not None and (inner := spans(said, depth - 1)):
            yield Span(*match.span(), inner[0].rule, inner[0].secret)


def _escaped(text: str, depth: int) -> Iterator[Span]:
    if "%" not in text and "+" not in text:
        return
    for match in _URL_TEXT.finditer(text):
        if "+" not in match[0] and not _ESCAPE.search(match[0]):
            continue
        said = unquote_plus(match[0])
        if said != match[0] and (inner := spans(said, depth - 1)):
            yield Span(*match.span(), inner[0].rule, inner[0].secret)


def _decoded(value: str) -> str | None:
    """Return what base64 of either alphabet says if that is text, else None."""
    plain = value.rstrip("=").translate(_TO_STANDARD)
    try:
        said = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return None if _CONTROLS.search(said) else said


def _is_one_word(text: str, end: int) -> bool:
    """Tell whether the line that ends here is one word."""
    begins = text.rfind("\n", max(0, end - _LONGEST_LINE), end) + 1
    return not any(space in text[max(begins, end - _LONGEST_LINE) : end].strip() for space in " \t")


def _joined(text: str, broken: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without these breaks, and where it was broken.

    Each break is the place in what is returned, and how many characters are gone up to there.
    """
    parts, breaks, at, gone = [], [], 0, 0
    for start, end in broken:
        parts.append(text[at:start])
        gone += end - start
        at = end
        breaks.append((at - gone, gone))
    parts.append(text[at:])
    return "".join(parts), breaks


def _put_back(found: Sequence[Span], breaks: list[tuple[int, int]]) -> Iterator[Span]:
    """Yield what goes over a break, where it is in the text itself."""
    places = [place for place, _ in breaks]
    for span in found:
        before = bisect_right(places, span.start)
        after = bisect_right(places, span.end - 1)
        if before == after:
            continue  # it is seen in the text itself
        start = span.start + (breaks[before - 1][1] if before else 0)
        yield Span(start, span.end + breaks[after - 1][1], span.rule, span.secret)


def _merged(found: list[Span]) -> list[Span]:
    """Return spans that overlap as one: the rule that was declared first names it."""
    merged: list[Span] = []
    for span in sorted(found, key=lambda one: (one.start, one.end)):
        last = merged[-1] if merged else None
        if last is None or span.start >= last.end:
            merged.append(span)
            continue
        first = min(last, span, key=lambda one: (_ORDER[one.rule.id], -(one.end - one.start)))
        end = max(last.end, span.end)
        merged[-1] = Span(last.start, end, first.rule, first.secret)
    return merged
