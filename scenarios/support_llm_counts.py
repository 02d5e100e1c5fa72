"""How often an order is to be carried out: `three times`, `twice`, `3x`, before it or behind it.

- A number counts only where it stands right before `times`; numbers in addresses, hours and
  amounts are none. Of several the last one that is said counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.support_llm_tokens import Token

_NUMBERS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
)
_VAGUE: Final = {"couple": 2, "few": 3, "several": 3, "many": 3, "multiple": 3, "dozen": 12}
"""What a naive reader makes of these: more than once, and not for ever."""

_WORDS: Final = {**{word: n for n, word in enumerate(_NUMBERS)}, **_VAGUE}
_NUMBER: Final = rf"(?:\d{{1,3}}(?:,\d{{3}}){{1,3}}|\d{{1,9}}|{'|'.join(_WORDS)})"
_TIMES: Final = re.compile(
    rf"(?<![\w.:,/-])(?:({_NUMBER})(?:\s?\(\s?\d{{1,9}}\s?\))?(?:\s(?:of|more|additional|further|"
    r"other|separate|different|consecutive|successive|full))*\s(?:times|repetitions|repeats)"
    r"|(once|twice|thrice)|(\d{1,3})\s?[x×])(?![\w-])",  # noqa: RUF001 - so people write it
    re.IGNORECASE,
)
_ONCE: Final = {"once": 1, "twice": 2, "thrice": 3}
_ALONE: Final = re.compile(
    r"[\s,:;.()-]*(?:(?:please|now|and|then|do|repeat|perform|run|try|carry out|this|that|it|"
    r"the following|these steps|exactly|at least|up to|a|the|order|task|step)[\s,:;.()-]+)*"
    r"\0[\s,:;.()-]*",
    re.IGNORECASE,
)


def count_of(tokens: Sequence[Token]) -> int | None:
    """Return how often these words say; None if they do not."""
    found = [_number(match) for match in _TIMES.finditer(_spoken(tokens))]
    return found[-1] if found else None


def count_alone(tokens: Sequence[Token]) -> int | None:
    """Return how often these words say, if that is all that they say: `Three times:`."""
    spoken = _spoken(tokens)
    count = count_of(tokens)
    if count is None or not _ALONE.fullmatch(_TIMES.sub("\0", spoken)):
        return None
    return count


def _number(match: re.Match[str]) -> int:
    counted, adverb, crossed = match.groups()
    if adverb:
        return _ONCE[adverb.lower()]
    text = (counted or crossed).lower().replace(",", "")
    return int(text) if text.isdecimal() else _WORDS[text]


def _spoken(tokens: Sequence[Token]) -> str:
    """Return the words, with a full stop in the place of whatever is an address or a name."""
    spoken = ""
    end = -1
    for token in tokens:
        plain = token.kind in {"word", "point"}
        spoken += ("" if token.at == end else " ") + (token.raw if plain else ".")
        end = token.at + len(token.raw)
    return spoken.strip()
