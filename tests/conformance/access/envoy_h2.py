"""Just enough of HTTP/2 (RFC 9113) to say what no well-behaved client says.

What became of a request is read from Envoy's access log, so that no answer has to be decoded.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4

Headers = list[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(headers: Sequence[tuple[str, str]]) -> bytes:
    """Return a header block of literals without indexing (RFC 7541 section 6.2.2)."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    return _number(len(raw)) + raw


def _number(value: int) -> bytes:
    """Return a number with a prefix of seven bits (RFC 7541 section 5.1)."""
    if value < 0x7F:
        return bytes([value])
    out, value = [0x7F], value - 0x7F
    while value >= 0x80:
        out.append(value % 0x80 + 0x80)
        value //= 0x80
    return bytes([*out, value])


def call(host: str, path: str, method: str = "GET") -> Headers:
    """Return the pseudo-headers of a request."""
    return [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]


def greet(connection: ssl.SSLSocket) -> None:
    """Open the connection, with room for whatever is answered."""
    window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24))
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + window)


def ask(
    connection: ssl.SSLSocket,
    stream: int,
    headers: Sequence[tuple[str, str]],
    body: bytes | None = None,
    trailers: Sequence[tuple[str, str]] = (),
) -> None:
    """Send a request."""
    ends = body is None and not trailers
    raw = frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block(headers))
    if body is not None:
        raw += frame(DATA, 0 if trailers else END_STREAM, stream, body)
    if trailers:
        raw += frame(HEADERS, END_HEADERS | END_STREAM, stream, block(trailers))
    connection.sendall(raw)


def ends(connection: ssl.SSLSocket, stream: int) -> str:
    """Read until the stream has been answered, reset, or the connection has ended."""
    buffered = b""
    while True:
        while len(buffered) >= 9:
            length = int.from_bytes(buffered[:3], "big")
            if len(buffered) < 9 + length:
                break
            kind, flags = buffered[3], buffered[4]
            on = int.from_bytes(buffered[5:9], "big")
            buffered = buffered[9 + length :]
            if kind == GOAWAY:
                return "connection ended"
            if on == stream and kind == 3:  # RST_STREAM
                return "reset"
            if on == stream and kind in {DATA, HEADERS} and flags & END_STREAM:
                return "answered"
        try:
            more = connection.recv(65536)
        except OSError:
            return "connection ended"
        if not more:
            return "connection ended"
        buffered += more
