"""What a world's Envoys wrote of requests and refused connections, as events of the audit log.

- Each control that works in Envoy starts another one, with a folder and a log of its own: all are
  read, the newest last.
- Of a path only what a route is for is told, as in a decision's record: whatever else was asked
  for may be a token. Our own names' paths are told by their first word.
- A line that is none of ours, and a log that was cut, are told as such: nothing is left out
  silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iamrange.access.routes import SERVICE_OF_HOST, Matched, is_public, match
from iamrange.core.clock import SystemClock
from iamrange.detect.ocsf_network import http_activity, log_flaw, refused_connection
from iamrange.network.envoy_lines import RefusedConnection, RequestLine, parse
from iamrange.network.envoy_tail import READ_BYTES, AccessLogTail

if TYPE_CHECKING:
    from pathlib import Path

UNREADABLE: Final = "unreadable-line"
GAP: Final = "log-gap"
_DECIDED: Final = "UAEX"
"""Envoy's flag of a request that the decision service refused, or did not answer."""

_FIRST_WORD: Final = re.compile(r"/(?:\.well-known|[a-z][a-z-]{0,23})(?=/|$)")


class AccessLogs:
    """The access logs of one world, below its folder of sockets."""

    def __init__(self, sockets: Path) -> None:
        """Begin with the oldest line that is there."""
        self._sockets = sockets
        self._tails: dict[str, AccessLogTail] = {}
        self._ended: set[str] = set()
        self._found: list[dict[str, Any]] = []

    def events(self) -> list[dict[str, Any]]:
        """Return the next events: at most what `READ_BYTES` of each log hold.

        Raises:
            OSError: a log cannot be read.
        """
        names = self._folders()
        for name in names:
            tail = self._tails.setdefault(name, AccessLogTail(self._sockets / name))
            lines = tail.read(READ_BYTES)
            # kept should the next log not be readable: a tail gives each line once
            self._found += [event_of_line(line) for line in lines]
            self._found += self._flaws(tail)
            if not lines and tail.gone and name != names[-1]:
                tail.close()
                del self._tails[name]
                self._ended.add(name)
        found, self._found = self._found, []
        return found

    def close(self) -> None:
        """Let all files go."""
        for tail in self._tails.values():
            tail.close()

    def _folders(self) -> list[str]:
        found = [one.name for one in self._sockets.iterdir() if one.is_dir()]
        return sorted((one for one in found if one not in self._ended), key=_by_number)

    def _flaws(self, tail: AccessLogTail) -> list[dict[str, Any]]:
        reasons = [UNREADABLE] * tail.dropped + [GAP] * tail.gaps
        tail.dropped = tail.gaps = 0
        return [_flaw(reason) for reason in reasons]


def _by_number(name: str) -> tuple[int, str]:
    """Return the order of the folders: they are numbered."""
    return len(name), name


def event_of_line(line: bytes) -> dict[str, Any]:
    """Return the event of one line."""
    seen = parse(line)
    if isinstance(seen, RequestLine):
        return _request(seen)
    if isinstance(seen, RefusedConnection):
        return refused_connection(
            time=seen.time,
            service=seen.listener,
            server_name=seen.server_name,
            reason=seen.reason,
            detail=seen.detail,
            peer=seen.peer,
            unmapped={"unverified_peer_san": seen.unverified_peer_san},
        )
    return _flaw(UNREADABLE)


def _flaw(reason: str) -> dict[str, Any]:
    """Return the event of what could not be read: no word of it, since it may hold anything."""
    return log_flaw(time=SystemClock().now(), reason=reason)


def _request(seen: RequestLine) -> dict[str, Any]:
    denied = bool(seen.reason) or _DECIDED in seen.flags.split(",")
    host = seen.host.lower().partition(":")[0]
    return http_activity(
        time=seen.time,
        service=seen.listener,
        method=seen.method,
        host=host,
        path=_told_path(host, seen),
        status=seen.status,
        reason=seen.reason,
        denied=denied,
        request_id=seen.request_id,
        peer=seen.peer,
        milliseconds=seen.milliseconds,
        tls=seen.tls,
        certificate_sha256=seen.certificate_sha256,
        actor=seen.peer_san,
        unmapped={
            "details": seen.details,
            "flags": seen.flags,
            "unverified_peer_san": seen.unverified_peer_san,
        },
    )


def _told_path(host: str, seen: RequestLine) -> str:
    service = SERVICE_OF_HOST.get(host.replace(".mesh.", ".", 1))
    if service is None:
        first = _FIRST_WORD.match(seen.path)
        return first.group() if first else ""
    known = is_public(service, seen.method, seen.path) or isinstance(
        match(service, seen.method, seen.path), Matched
    )
    return seen.path if known else ""
