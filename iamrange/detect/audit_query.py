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


def condition_of(text: str) -> tuple[tuple[str, ...], str] | None:
    """Read `a.b=value`: a member's path and a pattern in which * stands for anything."""
    member, equals, value = text.partition("=")
    path = tuple(member.split("."))
    if not equals or not all(path) or len(path) > _MEMBER:
        return None
    return path, value


def holds(event: Mapping[str, Any], conditions: Iterable[tuple[tuple[str, ...], str]]) -> bool:
    """Tell whether an event has all of these. Of a list, one element is enough."""
    return all(
        any(fnmatchcase(value, pattern) for value in _values(event, path))
        for path, pattern in conditions
    )


def _values(value: Any, path: tuple[str, ...]) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return what stands at the end of a path, as text; JSON's own words for what is no text."""
    if isinstance(value, list):
        return [found for one in value for found in _values(one, path)]
    if isinstance(value, dict):
        return _values(value[path[0]], path[1:]) if path and path[0] in value else []
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


def _plain(text: str) -> str:
    """Show what strangers chose without what would move a terminal's cursor."""
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return "".join(one if one.isprintable() and one != " " else "?" for one in shown) or "-"
