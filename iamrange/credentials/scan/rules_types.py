"""What a rule of the secret scanner is, and the words that several rules share. Pure.

- A rule begins where one of its keywords stands. That is what makes it fast: keywords are found by
  plain search, and the pattern is tried at that place only.
- Every quantifier is bounded, so that no text makes a pattern slow.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RANDOM_BASE64: Final = 4.0
"""Bits a character that base64 of some 40 random bytes has at least."""

BETWEEN: Final = r"""[\\"']{0,4}\s{0,8}(?:=>|:=|=|:)\s{0,8}(?:[rbuf](?=[\\"'`]))?[\\"'`]{0,4}"""
"""What stands between a member's name and its value: JSON, YAML, TOML, INI, shell, code."""


_LEAST_BUDGET: Final = 10_000_000
_BUDGET: Final = 16
"""How many characters all tries of one rule may look at, a character of the text."""


class Level(StrEnum):
    """How sure it is that a finding is of use to a thief (the levels of SARIF)."""

    ERROR = "error"
    WARNING = "warning"


class Flavour(StrEnum):
    """What kind of text a rule reads: an unquoted word is a value in configuration only."""

    CODE = "code"
    CONFIGURATION = "configuration"


_RUN: Final = re.compile(r"[a-z]{5,}")


class TooManyTriesError(Exception):
    """A text has so many places that look like a rule's that the rest was not tried."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A place in a text: what the rule takes for the secret is `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRule:
    """One kind of credential.

    `keywords` are lower case; `find(text, at, flavour)` says what it sees where a keyword stands.
    `hint` is how many first characters may be shown: those of a public prefix, none by default.
    `canonical` takes away what depends on how the same secret is written down. `source` is the
    page or the library that the format is known from. `reach` is how many characters one try may
    look at: hostile texts are made of keywords, and a rule gives up on one after a budget of them.
    `needs` is a word in lower case without which a text has nothing for the rule: where a rule has
    many keywords, one search instead of as many. A rule that is `last` takes what it sees only if
    nothing is written in it in another way.
    """

    id: str
    summary: str
    keywords: tuple[str, ...]
    find: Callable[[str, int, Flavour], Hit | None]
    source: str
    level: Level = Level.ERROR
    hint: int = 0
    reach: int = 512
    canonical: Callable[[str], str] = str
    needs: str = ""
    last: bool = False

    def __post_init__(self) -> None:
        """Refuse a rule that could never find anything.

        Raises:
            ValueError: no keyword, or one that is not lower case.
        """
        if not self.keywords or any(not k or k != k.lower() for k in self.keywords):
            raise ValueError(f"rule '{self.id}': expected lower-case keywords, got {self.keywords}")

    def hits(self, text: str, lowered: str, flavour: Flavour) -> Iterator[Hit]:
        """Yield what this rule sees in a text; `lowered` is as long as the text.

        Raises:
            TooManyTriesError: the budget is used up; the rest of the text was not tried.
        """
        if self.needs not in lowered:
            return
        tries = (_LEAST_BUDGET + _BUDGET * len(text)) // self.reach
        for keyword in self.keywords:
            at = lowered.find(keyword)
            while at >= 0:
                tries -= 1
                if tries < 0:
                    raise TooManyTriesError(f"rule '{self.id}': too many places look like it")
                hit = self.find(text, at, flavour)
                if hit is not None:
                    yield hit
                at = lowered.find(keyword, at + 1 if hit is None else max(hit.end, at + 1))


def by_pattern(
    *patterns: str, accepts: Callable[[re.Match[str]], bool] | None = None
) -> Callable[[str, int, Flavour], Hit | None]:
    """Return a finder: the first pattern that matches where the keyword stands.

    Each pattern has a group `secret`. `accepts` judges what the pattern cannot.
    """
    compiled = tuple(re.compile(pattern) for pattern in patterns)

    def find(text: str, at: int, _flavour: Flavour) -> Hit | None:
        for pattern in compiled:
            match = pattern.match(text, at)
            if match is not None and (accepts is None or accepts(match)):
                return Hit(*match.span("secret"))
        return None

    return find


def entropy(text: str) -> float:
    """Return the Shannon entropy of a text's characters, in bits a character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0


def random_looking(text: str, least: float) -> bool:
    """Tell whether a text has so much entropy, and is neither all letters nor all digits."""
    mixed = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    return mixed and entropy(text) >= least


def mixed_case(secret: str) -> bool:
    """Tell whether a text has digits and letters of both cases, as base64 of random bytes has."""
    return (
        any(c.isdigit() for c in secret)
        and any(c.isupper() for c in secret)
        and any(c.islower() for c in secret)
    )


def random_base64(secret: str) -> bool:
    """Tell whether a text looks like base64 of random bytes."""
    return mixed_case(secret) and entropy(secret) >= RANDOM_BASE64


def made_of_words(text: str) -> bool:
    """Tell whether a text is a name rather than random: few digits, and letters in long runs."""
    digits = sum(c.isdigit() for c in text)
    words = sum(len(run) for run in _RUN.findall(text))
    return digits * 10 <= len(text) and words * 10 > len(text) * 4
