"""Keep tokens out of what is written down: clients send them in the place of names, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD: Final = b"[token]"
_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*")
"""How every JWT and JWS begins, as far as it goes."""

_MARKED: Final = (
    (b"J", _TOKEN),
    # Google's own
    (b"ya29.", re.compile(rb"ya29\.[A-Za-z0-9_.-]{20,}")),
    # a text in JSON ends at its quote; its line ends are escapes
    (b"Y", re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"]*")),
)
"""What each kind cannot be without, and how it looks. To miss one byte is what costs least."""

_OF_A_VAULT: Final = re.compile(rb"s\.[A-Za-z0-9_-]{24}")
"""What each of a vault's tokens has."""

_PREFIXED: Final = re.compile(rb"hvs\.[A-Za-z0-9_-]{24,}")
_VAULTS: Final = re.compile(rb"s\.[A-Za-z0-9]{24,}")
"""A service token of OpenBao; it begins a word, or follows upon an escape of JSON."""

_BEFORE: Final = re.compile(rb"(?:\A|[^A-Za-z0-9_.-]|\\[bfnrt]|\\u[0-9a-fA-F]{4})\Z")
_LONGEST_BEFORE: Final = 6


def without_tokens(text: bytes) -> bytes:
    """Return a text with a word in the place of each token and private key."""
    for mark, token in _MARKED:
        if mark in text:
            text = token.sub(_WORD, text)
    if _OF_A_VAULT.search(text) is not None:
        text = b"".join(_without_vaults(_PREFIXED.sub(_WORD, text)))
    return text


def _without_vaults(text: bytes) -> Iterator[bytes]:
    at = 0
    for found in _VAULTS.finditer(text):
        start = found.start()
        yield text[at:start]
        is_one = _BEFORE.search(text[max(0, start - _LONGEST_BEFORE) : start])
        yield found[0] if is_one is None else _WORD
        at = found.end()
    yield text[at:]
