"""Requests and answers as values: what the service decides on, with no socket behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY = 64 * 1024
NO_STORE = (("cache-control", "no-store"), ("pragma", "no-cache"))
"""RFC 6749 section 5.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request; `body` is None when it was longer than `MAX_BODY`.

    `certificates` is the client's chain as DER, leaf first, as the terminating listener saw it.
    """

    method: str
    path: str
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=b"", repr=False)
    peer: str = ""
    certificates: tuple[bytes, ...] = field(default=(), repr=False)

    def header(self, name: bytes) -> tuple[str, ...]:
        """Return every value of one header; `name` is in lower case."""
        return tuple(value.decode("latin-1") for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """One answer."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def json_response(
    status: int, value: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()
) -> HttpResponse:
    """Return a JSON answer that no cache may keep."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return HttpResponse(
        status=status,
        body=body,
        headers=(("content-type", "application/json"), *NO_STORE, *headers),
    )
