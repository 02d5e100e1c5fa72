"""Which events of the audit log are meant, and how one reads in a line. Pure."""

from __future__ import annotations

import datetime as dt
import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHOWN: Final = 160
_MEMBER: Final = 64
_DEEPEST: Final = 128
"""Members and lists in each other, below which nobody looks."""


def condition_of(text: str) -> tuple[tuple[str, ...], str] | None:
    """Read `a.b=value`: a member's path and a pattern: * is anything, ? any character."""
    member, equals, value = text.partition("=")
    path = tuple(member.split("."))
    if not equals or not all(path) or len(path) > _MEMBER:
        return None
    return path, value.replace("[", "[[]")  # only * and ? stand for something else


def holds(event: Mapping[str, Any], conditions: Iterable[tuple[tuple[str, ...], str]]) -> bool:
    """Tell whether an event has all of these. Of a list, one element is enough."""
    return all(
        any(fnmatchcase(value, pattern) for value in _values(event, path))
        for path, pattern in conditions
    )


def read_event(line: bytes) -> Mapping[str, Any] | None:
    """Return the event of a line; None where it is none, whatever somebody has made of it."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _values(value: Any, path: tuple[str, ...], depth: int = _DEEPEST) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return what stands at the end of a path, as text; JSON's own words for what is no text."""
    if not depth:
        return []
    if isinstance(value, list):
        return [found for one in value for found in _values(one, path, depth - 1)]
    if isinstance(value, dict):
        inner = path and path[0] in value
        return _values(value[path[0]], path[1:], depth - 1) if inner else []
    if path:
        return []
    return [value if isinstance(value, str) else json.dumps(value)]


def sentence(event: Mapping[str, Any]) -> str:
    """Return one line for people: number, moment, outcome, where, who, what, why."""
    moment = _moment(event.get("time"))
    outcome = {"1": "allowed", "2": "denied"}.get(_first(event, "action_id"), "-")
    told = (_first(event, *paths) for paths in _PARTS)
    parts = [_first(event, "seq"), moment, outcome, *told]
    return " ".join(_plain(part) for part in parts)


_PARTS: Final = (
    ("api.service.name", "dst_endpoint.svc_name"),
    ("status_code",),
    ("actor.user.uid",),
    ("api.operation", "http_request.http_method", "activity_name"),
    ("resources.uid", "http_request.url.url_string", "dst_endpoint.hostname"),
)
"""What a line tells, by where a class of events has it: the first that is there."""


def _first(event: Mapping[str, Any], *paths: str) -> str:
    found = (value for path in paths for value in _values(event, tuple(path.split("."))))
    return next(found, "-")


def _moment(time: object) -> str:
    if not isinstance(time, (int, float)) or isinstance(time, bool):
        return "-"
    try:
        moment = dt.datetime.fromtimestamp(time / 1000, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return "-"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unreadable(line: bytes) -> str:
    """Return one line for people about a line that is no event."""
    return f"not a record: {_plain(line[: 4 * _SHOWN].decode(errors='replace').strip())}"


def _plain(text: str) -> str:
    """Show what strangers chose without what would move a terminal's cursor."""
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return "".join(one if one.isprintable() and one != " " else "?" for one in shown) or "-"
