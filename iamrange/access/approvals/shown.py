"""Text from an agent as a person may safely read it. Pure.

- What could move, hide or imitate other text is written out: control and format characters (bidi
  overrides, zero-width), separators, combining marks, surrogates, private and unassigned ones,
  letters that run from right to left and take the digits beside them along, letters without a form.
- Text with any character beyond ASCII is followed by its ASCII form: a Cyrillic letter that looks
  Latin shows. The marks that we set (`⟪...⟫`) cannot be written by an agent.
- HTML is text here: the page escapes it, and the terminal shows it as it is.
"""

from __future__ import annotations

import unicodedata
from typing import Final

HEAD: Final = 160
TAIL: Final = 40
_MARKS: Final = frozenset("⟪⟫→\\")
_KEPT: Final = ("L", "N", "P", "S")
"""Letters, numbers, punctuation, symbols; of separators only the plain space."""
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Hangul fillers and the empty Braille pattern: letters and a symbol that nobody sees."""


def shown(text: str) -> str:
    """Return the text escaped, cut in the middle with a visible mark if it is long.

    A long text keeps its end: what was moved behind a wall of padding is still read.
    """
    if len(text) <= HEAD + TAIL:
        return _with_ascii(text)
    hidden = len(text) - HEAD - TAIL
    return (
        f"{_with_ascii(text[:HEAD])} ⟪{hidden} of {len(text)} characters are not shown⟫ "
        f"{_with_ascii(text[-TAIL:])}"
    )


def doubtful(text: str) -> bool:
    """Tell whether the text is cut, or not as plain as it may look."""
    return len(text) > HEAD + TAIL or not (text.isascii() and text.isprintable())


def _with_ascii(text: str) -> str:
    escaped = "".join(character if _plain(character) else _named(character) for character in text)
    if escaped.isascii():
        return escaped
    return f"{escaped} ⟪in ASCII: {''.join(c if c.isascii() else _named(c) for c in escaped)}⟫"


def _plain(character: str) -> bool:
    if character in _MARKS or character in _BLANK:
        return False
    if unicodedata.bidirectional(character) in _RIGHT_TO_LEFT:
        return False
    return character == " " or unicodedata.category(character)[0] in _KEPT


def _named(character: str) -> str:
    return "\\\\" if character == "\\" else f"\\u{{{ord(character):x}}}"
