"""Instructions that are written so that only who decodes them reads them.

Only a text that says so is decoded: a block that nobody asked to decode is an attachment.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import zlib
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CUE = re.compile(
    r"\b(?:de-?cod|en-?cod|base-?(?:64|32|16)|b64|decrypt|decipher|unscrambl|rot-?13|caesar|hex\b|"
    r"hexadecimal|revers|backwards?\b|atob|binary|gzip|decompress|unpack|translat|percent-?encod|"
    r"url-?encod|un-?escap|escape|convert|interpret)",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{4,}[ \t]*\n?[ \t]*){1,400}={0,2}")
_BASE32 = re.compile(r"\b[A-Z2-7]{16,4000}={0,6}")
_HEX = re.compile(r"\b(?:0x)?(?:[0-9a-fA-F]{2}[ :\n,]?(?:0x|\\x)?){10,4000}")
_BINARY = re.compile(r"\b(?:[01]{8}\s{0,2}){8,2000}")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_WORDY = re.compile(r"[A-Za-z]{2,}")
_MOST = 16
_LIMIT = 64 * 1024
_PRINTABLE = 0.9


def decoded(text: str) -> Iterator[str]:
    """Return what a text's encoded parts say, most plausible first; none if there are none."""
    low = text.lower()
    found: list[str] = []
    found += _each(_BASE64, text, _base64)
    if "32" in low:
        found += _each(_BASE32, text, lambda run: base64.b32decode(run + "=" * (-len(run) % 8)))
    found += _each(_HEX, text, lambda run: bytes.fromhex(re.sub(r"0x|\\x|[\s:,]", "", run)))
    found += _each(_BINARY, text, _binary)
    if "%" in text:
        found.append(unquote(text))
    if _ESCAPED.search(text):
        found.append(_ESCAPED.sub(_unescaped, text))
    if re.search(r"rot-?13|caesar|decod|decipher", low):
        found.append(codecs.decode(text, "rot13"))
    if re.search(r"revers|backward", low):
        found += [line[::-1] for line in text.split("\n") if line.strip()]
    for one in found:
        if one != text and _readable(one):
            yield one


def _each(pattern: re.Pattern[str], text: str, decode: Callable[[str], bytes]) -> list[str]:
    found: list[str] = []
    for match in pattern.finditer(text):
        for run in _runs(match.group()) if pattern is _BASE64 else [match.group()]:
            try:
                value = decode(run)
                if value[:2] in {b"\x1f\x8b", b"x\x9c", b"x\xda"}:
                    value = zlib.decompressobj(47).decompress(value, _LIMIT)
                said = value[:_LIMIT].decode(errors="replace" if pattern is _HEX else "strict")
            except (ValueError, binascii.Error, zlib.error):
                continue
            said = said.replace("\ufffd", " ")  # a word beside it looked like more of it
            found.append(said)
            if _readable(said):
                break
        if len(found) >= _MOST:
            break
    return found


def _runs(match: str) -> list[str]:
    """Return a wrapped block as one, and each of its words alone: prose looks like base64 too."""
    parts = [part for part in match.split() if len(part) >= 16]  # noqa: PLR2004 - twelve bytes
    lines = [line.strip() for line in match.split("\n")]
    solid = [line for line in lines if line and " " not in line and len(line) >= 4]  # noqa: PLR2004
    joined = "".join(solid)
    return [*([joined] if len(solid) > 1 else []), *parts[:_MOST]]


def _base64(run: str) -> bytes:
    clean = re.sub(r"\s", "", run).rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(clean + "=" * (-len(clean) % 4), validate=True)


def _binary(run: str) -> bytes:
    bits = re.sub(r"\s", "", run)
    return bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8))


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match.group(1) or match.group(2), 16))


def _readable(text: str) -> bool:
    if not text or not _WORDY.search(text):
        return False
    printable = sum(c.isprintable() or c in "\n\t\r" for c in text[:2000])
    return printable >= _PRINTABLE * len(text[:2000])
