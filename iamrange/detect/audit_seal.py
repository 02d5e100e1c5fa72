"""How a record of the audit log is sealed, and how a sealed line is read. Pure.

- A line is an OCSF event as JSON, with its number and its seal as the last two members: any reader
  of JSON lines can read it.
- The seal is HMAC-SHA-256 over the seal before, the number and the event. Whoever lacks the key
  can neither change, nor reorder, nor drop, nor put in a record without being found at that record.
- The key moves on every `EPOCH` records, by a hash that does not run backwards, and the old one is
  gone: who takes the machine today cannot write yesterday anew (forward security, as in Bellare and
  Yee, "Forward-Security in Private-Key Cryptography", 2003).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

EPOCH: Final = 4096
"""Records under one key."""

KEY_BYTES: Final = 32
SEAL_BYTES: Final = 16
FIRST: Final = bytes(SEAL_BYTES)
"""The seal before the first record."""

MAX_LINE: Final = 1 << 20
_END: Final = re.compile(rb',"seq":(0|[1-9][0-9]{0,18}),"seal":"([0-9a-f]{32})"\}\n?\Z')
_END_BYTES: Final = 80


class BodyError(ValueError):
    """An event that cannot become a line; the message names what is wrong, not the event."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, taken apart; nothing of it was checked."""

    sequence: int
    seal: bytes
    body: bytes


def key_after(key: bytes) -> bytes:
    """Return the key of the next epoch; there is no way back."""
    return sha256(b"iamrange audit: next key\0" + key).digest()


def key_of(first: bytes, epoch: int) -> bytes:
    """Return the key of an epoch, from the first one."""
    key = first
    for _ in range(epoch):
        key = key_after(key)
    return key


def seal_of(key: bytes, before: bytes, sequence: int, body: bytes) -> bytes:
    """Return the seal of a record."""
    return hmac.digest(key, before + sequence.to_bytes(8, "big") + body, "sha256")[:SEAL_BYTES]


def line_of(body: bytes, sequence: int, seal: bytes) -> bytes:
    """Return the line of a sealed record, its end included."""
    return b'%s,"seq":%d,"seal":"%s"}\n' % (body[:-1], sequence, seal.hex().encode())


def check_body(body: bytes) -> None:
    """Refuse what would not come back out of its line as it went in.

    Raises:
        BodyError: it is no JSON object of one line, or longer than a line may be.
    """
    if len(body) + _END_BYTES > MAX_LINE:
        raise BodyError(f"audit event: expected at most {MAX_LINE - _END_BYTES} bytes")
    if not body.startswith(b'{"') or not body.endswith(b"}") or b"\n" in body:
        raise BodyError("audit event: expected a JSON object with members, on one line")


def read_line(line: bytes) -> Line | None:
    """Take a line apart; None if it is none."""
    found = _END.search(line, max(0, len(line) - _END_BYTES))
    if found is None or not line.startswith(b"{"):
        return None
    return Line(int(found[1]), bytes.fromhex(found[2].decode()), line[: found.start()] + b"}")
