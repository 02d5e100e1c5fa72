"""Find secrets in one text: rules, precedence, placeholders, comments that allow. Pure.

- Whatever the text is, the answer is a list. Where two rules see the same characters, the one that
  is declared first has them.
- A placeholder, and what a comment with a reason allows, is counted, never silent.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.credentials.scan.encoded import encoded
from iamrange.credentials.scan.finding import Suppressed
from iamrange.credentials.scan.rules import RULES
from iamrange.credentials.scan.rules_types import Flavour, TooManyTriesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iamrange.credentials.scan.rules_types import SecretRule

DEPTH: Final = 2
"""How deep encodings in one another are read."""

MAX_ENCODED: Final = 20_000
"""How many encoded values of one text are looked at."""

MAX_FOUND: Final = 5_000
"""How many secrets of one text are listed."""

_ALLOWED: Final = re.compile(r"iamrange:allow-secret[ \t]+[^\s]")
_PLACEHOLDER: Final = re.compile(
    r"(?i)example|changeme|change[-_]me|placeholder|redacted|dummy|sample|your[-_]|[-_]here\b|"
    r"insert[-_]|replace[-_]|<[^>]*>|\$\{|\$\(|\{\{|%\(|%\{|\*{3}|x{5}|\.{3}|_{4}|"
    r"(?:0123456789|1234567890|abcdefghij)|eyJzdWIiOiIxMjM0NTY3ODkw|not[-_]?a[-_]?(?:real[-_]?)?(?:secret|key)"
)
_WORD: Final = re.compile(
    r"(?i)(?:(?:my|the|some|new|old|test|user|db)[-_]?)?"
    r"(?:password|passwd|pass|pwd|secret|token|api[-_]?key|key|tiger|guest)[-_]?\d{0,4}"
)
"""What documentation writes where a password stands."""

_REPEATED: Final = re.compile(r"(.)\1{7}")
_LONG: Final = 512
_NEAR: Final = 2000
_LINE: Final = 4096


@dataclass(frozen=True, slots=True)
class Match:
    """A secret in a text: `line` counts from 1. Its repr shows no secret."""

    rule: SecretRule
    secret: str = field(repr=False)
    line: int
    encoded: bool = False
    around: str = field(default="", repr=False)


@dataclass(slots=True)
class Found:
    """What one text holds; `suppressed` by the secret, `unread` what of it was not looked at."""

    matches: list[Match] = field(default_factory=list)
    suppressed: dict[str, Suppressed] = field(default_factory=dict, repr=False)
    unread: list[str] = field(default_factory=list)


def find(
    text: str,
    flavour: Flavour = Flavour.CODE,
    rules: Sequence[SecretRule] = RULES,
    *,
    depth: int = DEPTH,
) -> Found:
    """Return every secret that the rules see in a text; what is encoded in it is read too."""
    reading = _Reading(text, flavour)
    reading.by([rule for rule in rules if not rule.last])
    if depth:
        reading.inside(rules, depth - 1)
    reading.by([rule for rule in rules if rule.last])
    found, seen = reading.found, reading.seen
    if len(seen) >= MAX_FOUND:
        found.unread.append(f"more than {MAX_FOUND} secrets in one file; the rest is not listed")
    line, counted = 1, 0
    for start, secret, rule, written, near in sorted(seen, key=_by_place)[:MAX_FOUND]:
        line, counted = line + text.count("\n", counted, start), start
        if placeholder(secret):
            found.suppressed[rule.canonical(secret)] = Suppressed.PLACEHOLDER
        elif allowed(text, start):
            found.suppressed[rule.canonical(secret)] = Suppressed.ALLOWED
        else:
            found.matches.append(Match(rule, secret, line, written, near))
    return found


def _by_place(one: tuple[int, str, SecretRule, bool, str]) -> int:
    return one[0]


def placeholder(secret: str) -> bool:
    """Tell whether a value stands for one that somebody else will put in."""
    if len(secret) >= _LONG:  # chance makes words in what is long
        return bool(_REPEATED.match(secret))
    return bool(_PLACEHOLDER.search(secret) or _REPEATED.search(secret) or _WORD.fullmatch(secret))


def allowed(text: str, at: int) -> bool:
    """Tell whether the line, or the one before it, says that this is meant to be here, and why."""
    least, most = max(0, at - _LINE), min(len(text), at + _LINE)
    began = max(text.rfind("\n", least, at), least)
    before = max(text.rfind("\n", least, began), least)
    ended = text.find("\n", at, most)
    return bool(_ALLOWED.search(text, before, ended if ended >= 0 else most))


def _lowered(text: str) -> str:
    """Return the text in lower case, as long as it was: few letters have a longer one."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(c.lower() if c.isascii() else c for c in text)


class _Taken:
    """Spans that a rule has; they do not overlap."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def take(self, start: int, end: int) -> bool:
        """Take a span if no character of it is taken."""
        place = bisect_right(self._starts, start)
        if place and self._ends[place - 1] > start:
            return False
        if place < len(self._starts) and self._starts[place] < end:
            return False
        self._starts.insert(place, start)
        self._ends.insert(place, end)
        return True

    def covers(self, at: int) -> bool:
        """Tell whether a character is taken."""
        place = bisect_right(self._starts, at)
        return bool(place) and self._ends[place - 1] > at


class _Reading:
    """What is seen of one text so far."""

    def __init__(self, text: str, flavour: Flavour) -> None:
        self._text, self._lowered, self._flavour = text, _lowered(text), flavour
        self._taken = _Taken()
        self.found = Found()
        self.seen: list[tuple[int, str, SecretRule, bool, str]] = []

    def by(self, rules: Iterable[SecretRule]) -> None:
        """Look at what is written plainly."""
        text = self._text
        for rule in rules:
            try:
                for hit in rule.hits(text, self._lowered, self._flavour):
                    if len(self.seen) < MAX_FOUND and self._taken.take(hit.start, hit.end):
                        near = text[max(0, hit.start - _NEAR) : hit.end + _NEAR]
                        self.seen.append((hit.start, text[hit.start : hit.end], rule, False, near))
            except TooManyTriesError as error:
                self.found.unread.append(str(error))

    def inside(self, rules: Sequence[SecretRule], depth: int) -> None:
        """Look into what is encoded and is no rule's own."""
        looked = 0
        plain = {secret for _, secret, *_ in self.seen}
        for one in encoded(self._text):
            if self._taken.covers(one.start):
                continue
            looked += 1
            if looked > MAX_ENCODED:
                self.found.unread.append(
                    f"more than {MAX_ENCODED} encoded values; the rest was not decoded"
                )
                return
            inner = find(one.said, self._flavour, rules, depth=depth)
            self.found.suppressed.update(inner.suppressed)
            self.found.unread += inner.unread
            new = [match for match in inner.matches if match.secret not in plain]
            if new:
                self._taken.take(one.start, one.end)
            self.seen += ((one.start, m.secret, m.rule, True, m.around) for m in new)
