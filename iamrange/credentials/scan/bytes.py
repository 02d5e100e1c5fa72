"""From bytes to text: encodings, binaries, archives. Pure.

- No input is an error: what is no text is said to be binary or an archive.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

_HEAD: Final = 8192
_ARCHIVES: Final = (
    (0, b"PK\x03\x04", "zip"), (0, b"PK\x05\x06", "zip"), (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"), (0, b"\xfd7zXZ\x00", "xz"), (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"), (0, b"Rar!\x1a\x07", "rar"), (257, b"ustar", "tar"),
    (0, b"PACK", "git pack"), (0, b"# v2 git bundle", "git bundle"),
)  # fmt: skip
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ASCII, _WIDE = 127, 4
_CONTROLS: Final = bytes({*range(32), 127} - set(b"\t\n\r\x0c\x1b"))
_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\n\r\x0c\x1b"


@dataclass(frozen=True, slots=True)
class Archive:
    """Bytes that hold files of their own; `kind` is the format's name."""

    kind: str


class Binary:
    """Bytes that are no text."""


def text_of(content: bytes) -> str | Archive | Binary:
    """Return what bytes say as text, in whatever encoding, or what they are instead."""
    head = content[:_HEAD]
    for offset, magic, kind in _ARCHIVES:
        if head[offset : offset + len(magic)] == magic:
            return Archive(kind)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return content.decode(encoding, "replace")
    if b"\x00" in head:
        guessed = _without_a_mark(head)
        return content.decode(guessed, "replace") if guessed else _with_zeros(content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    odd = len(head.translate(None, _PRINTABLE)) - sum(byte > _ASCII for byte in head)
    if odd * 10 > len(head):
        return Binary()
    return content.decode("latin-1")


def _with_zeros(content: bytes) -> str | Binary:
    """Tell text with zeros in it, as a log that was cut or an environment has, from binaries.

    One zero must not hide a file. Binaries have other control characters too, or bytes of no text.
    """
    head = content[:_HEAD]
    plain = head.replace(b"\0", b"")
    if len(plain) * 4 < len(head) * 3 or len(plain.translate(None, _CONTROLS)) < len(plain):
        return Binary()
    try:
        return content.replace(b"\0", b" ").decode("utf-8")
    except UnicodeDecodeError:
        return Binary()


def _without_a_mark(head: bytes) -> str | None:
    """Tell UTF-16 and UTF-32 by where the zeros of plain letters stand."""
    half = max(len(head) // 2, 1)
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) >= _WIDE and even + odd > 1.4 * half:
        if head[0] and not any(head[1:4]):
            return "utf-32-le"
        return "utf-32-be" if not any(head[:3]) and head[3] else None
    if odd > 0.7 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None
