"""Where a text has text in it that is written in another way: base64, percent-encoding. Pure.

- base64 of either alphabet, on one line or broken over lines of one length, as MIME and PEM do it.
- Linear in the text: a run of letters is looked for by plain search, and decoded once.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST: Final = 24
_LONGEST: Final = 1 << 20
_LEAST_LINE: Final = 56
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_TABLE: Final = bytes(ord("a") if byte in _ALPHABET else ord(" ") for byte in range(256))
_NEEDLE: Final = b"a" * _LEAST
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_TEXT_BYTES: Final = bytes(range(32, 127)) + b"\t\n\r"
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")
_BREAK: Final = re.compile(r"\r?\n[ \t]{0,64}")
_WORD: Final = re.compile(r"[^\s\"'`<>]{0,512}+")
_SYNTAX: Final = re.compile(r"%(?:3[ADad]|22|0[Aa]|20|7[Bb])")
"""What a member, a line's end or a quotation mark becomes: nothing less hides a secret."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A place in a text, and what stands there once it is decoded."""

    start: int
    end: int
    said: str = field(repr=False)


def encoded(text: str) -> Iterator[Encoded]:
    """Yield each place of a text that says more text."""
    yield from _base64(text)
    if "%" in text:
        yield from _percent(text)


def decoded(value: str) -> str | None:
    """Return what a base64 value says if that is text, else None."""
    plain = value.rstrip("=").translate(_TO_STANDARD)
    try:
        said = binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    if not said:
        return None
    if not said.translate(None, _TEXT_BYTES):
        return said.decode("ascii")
    try:  # PowerShell's -EncodedCommand is UTF-16
        text = said.decode("utf-16-le" if 0 in said[:8] else "utf-8")
    except UnicodeDecodeError:
        return None
    text = text.removeprefix("\ufeff")
    letters = sum(character.isascii() for character in text)
    return None if _CONTROLS.search(text) or letters * 2 < len(text) else text


def _base64(text: str) -> Iterator[Encoded]:
    marked = text.encode("ascii", "replace").translate(_TABLE)
    at = marked.find(_NEEDLE)
    tried = 0  # up to where lines were put together: each line once
    while at >= 0:
        end = _end(marked, at)
        said = None
        if at >= tried:
            tried = _over_lines(text, marked, at, end)
            if tried > end and (said := _said(text[at:tried])) is not None:
                end = tried
        if said is None:
            said = _said(text[at:end])
        if said is not None:
            yield Encoded(at, end, said)
        at = marked.find(_NEEDLE, end)


def _end(marked: bytes, at: int) -> int:
    end = marked.find(b" ", at)
    return end if end >= 0 else len(marked)


def _over_lines(text: str, marked: bytes, at: int, end: int) -> int:
    """Return where a value ends that is broken into lines of one length; the last may be less."""
    length = end - at
    while length >= _LEAST_LINE and (gap := _BREAK.match(text, end)) is not None:
        last = _end(marked, gap.end())
        if not 0 < last - gap.end() <= length:
            break
        end = last
        if last - gap.end() < length:
            break
    return end


def _said(value: str) -> str | None:
    return decoded("".join(value.split())) if len(value) <= _LONGEST else None


def _percent(text: str) -> Iterator[Encoded]:
    at = 0
    while (found := _SYNTAX.search(text, at)) is not None:
        least = max(at, found.start() - 512)
        before = text[least : found.start()]
        start = least + max(before.rfind(mark) for mark in " \t\n\"'`<>") + 1
        end = found.end()
        while (more := _WORD.match(text, end)) is not None and more[0]:
            end = more.end()
        yield Encoded(start, end, unquote(text[start:end]))
        at = end
