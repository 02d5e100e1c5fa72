"""A line of Envoy's access log as a value: a request, or a connection that was refused.

- Each member has a type and a length here too, whatever the line says: strangers chose much of it.
- What is no line of ours is None. An id that is not one by its shape is left out: lines are joined
  to decisions by it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.network.envoy_log import NO_SUCH_NAME, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHOD: Final = re.compile(r"[A-Z]{1,32}")
_LONG: Final = 1024
_SHORT: Final = 256
_LARGEST: Final = (1 << 53) - 1
_NONE: Final = ("-", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """A request that Envoy answered, by itself or with a service's answer.

    `time` is in seconds since the epoch, `milliseconds` the whole request's. `reason` is the
    gateway's own, empty where a service has answered. `peer_san` is the URI of a certificate that
    was verified, `unverified_peer_san` of one that was not.
    """

    listener: str
    time: float
    peer: str
    host: str
    method: str
    path: str
    status: int
    reason: str
    details: str
    flags: str
    milliseconds: int
    tls: str
    certificate_sha256: str
    peer_san: str
    unverified_peer_san: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedConnection:
    """A connection that got no further than its handshake; `detail` is Envoy's own words."""

    listener: str
    time: float
    peer: str
    server_name: str
    reason: str
    detail: str
    unverified_peer_san: str


def parse(line: bytes) -> RequestLine | RefusedConnection | None:
    """Return what a line says; None if it is none of ours."""
    try:
        value = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    time = _time(value.get("time"))
    if time is None or not _text(value, "listener"):
        return None
    if value.get("kind") == "request":
        return _request(value, time)
    return _connection(value, time) if value.get("kind") == "connection" else None


def _request(value: Mapping[str, Any], time: float) -> RequestLine:
    method, request_id = _text(value, "method"), _text(value, "request_id")
    return RequestLine(
        listener=_text(value, "listener"),
        time=time,
        peer=_text(value, "peer"),
        host=_text(value, "host"),
        method=method if _METHOD.fullmatch(method) else "",
        path=_text(value, "path", _LONG),
        status=_number(value, "status"),
        reason=_text(value, "reason"),
        details=_text(value, "details"),
        flags=_text(value, "flags"),
        milliseconds=_number(value, "milliseconds"),
        tls=_text(value, "tls"),
        certificate_sha256=_text(value, "client_certificate_sha256"),
        peer_san=_text(value, "peer_san"),
        unverified_peer_san=_text(value, "unverified_peer_san"),
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else "",
    )


def _connection(value: Mapping[str, Any], time: float) -> RefusedConnection:
    detail = _text(value, "tls_failure", _LONG) or _text(value, "termination", _LONG)
    return RefusedConnection(
        listener=_text(value, "listener"),
        time=time,
        peer=_text(value, "peer"),
        server_name=_text(value, "server_name"),
        reason=reason_of(detail) if detail else NO_SUCH_NAME,
        detail=detail,
        unverified_peer_san=_text(value, "unverified_peer_san"),
    )


def _text(value: Mapping[str, Any], name: str, longest: int = _SHORT) -> str:
    found = value.get(name)
    return found[:longest] if isinstance(found, str) and found not in _NONE else ""


def _number(value: Mapping[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        return 0
    return found if 0 <= found <= _LARGEST else 0


def _time(value: object) -> float | None:
    try:
        return dt.datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
