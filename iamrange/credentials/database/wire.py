"""As much of PostgreSQL's protocol, version 3, as it takes to see who is let in. Pure.

The messages are those of the chapter "Frontend/Backend Protocol" of PostgreSQL's documentation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

CANCEL: Final = 80877102
SSL: Final = 80877103
GSS: Final = 80877104
ENCRYPTS: Final = frozenset({SSL, GSS})
NO: Final = b"N"
"""The answer to whoever asks for TLS or GSS: the client goes on in clear, over loopback."""

ERROR: Final = b"E"
READY: Final = b"Z"

MAX_FIRST: Final = 10_000
"""Bytes: the server's own limit for the first packet."""

MAX_MESSAGE: Final = 1 << 20
"""Bytes: of what comes before a session is open, nothing is nearly as long."""

_MAJOR: Final = 3
_MAX_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Startup:
    """Who wants in, and to which database."""

    user: str
    database: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the server says when it lets somebody not in: a code (SQLSTATE) and its words."""

    code: str
    message: str


def length_of(header: bytes) -> int | None:
    """Return how many bytes follow a length of four, None where that cannot be."""
    (length,) = struct.unpack("!i", header)
    return int(length) - 4 if length >= 4 else None  # noqa: PLR2004 - it counts itself


def code_of(packet: bytes) -> int:
    """Return what the first packet (without its length) asks for; 0 if it is too short."""
    return int(struct.unpack_from("!i", packet)[0]) if len(packet) >= 4 else 0  # noqa: PLR2004 - bytes of a number


def startup_of(packet: bytes) -> Startup | None:
    """Read the first packet (without its length); None if it opens no session of version 3."""
    if code_of(packet) >> 16 != _MAJOR:
        return None
    words = packet[4:].split(b"\0")
    # pairs of a name and a value, an empty name at the end
    found = {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in zip(words[0::2], words[1::2], strict=False)
        if name
    }
    user = found.get("user", "")
    if not user:
        return None
    return Startup(user[:_MAX_NAME], (found.get("database") or user)[:_MAX_NAME])


def told_in(body: bytes) -> Told:
    """Read the body of an error: fields of one letter, each ended by a zero."""
    found = {
        field[:1]: field[1:].decode("utf-8", "replace") for field in body.split(b"\0") if field
    }
    return Told(found.get(b"C", ""), found.get(b"M", ""))


def error(code: str, message: str) -> bytes:
    """Return an error as the server sends one that ends the connection."""
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": message}
    body = b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0"
    return ERROR + struct.pack("!i", len(body) + 4) + body
