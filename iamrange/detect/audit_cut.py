"""Events that are longer than a record can be are cut, not refused: what happened is logged.

- Callers choose how long a name is that they ask for. One that is too long must neither be left out
  of the log nor keep others out of it.
- A text that was cut says so, and how long it was.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.event_members import member
from iamrange.detect.audit_seal import MAX_LINE, BodyError
from iamrange.detect.ocsf_network import log_flaw

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.detect.audit_log import AuditLog

LONGEST_TEXT: Final = 2048
"""Characters of a text that are kept of an event that is too long."""

_DEEPEST: Final = 32
_MOST: Final = 64
_LATEST: Final = 1 << 53
_ROOM: Final = MAX_LINE - 1000


def append(log: AuditLog, events: Iterable[Mapping[str, Any]]) -> int:
    """Append events, those that the log cannot take cut; return the log's size.

    Raises:
        LogDownError: the disk does not take them.
    """
    given = list(events)
    try:
        return log.append(given)
    except BodyError:
        return log.append(map(fitting, given))


def fitting(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event as a log takes it; what cannot be cut is told of as a flaw of a log."""
    if _fits(event):
        return event
    shorter: dict[str, Any] = {str(name): _cut(value, _DEEPEST) for name, value in event.items()}
    if _fits(shorter):
        return shorter
    time, uid = member(event, "time"), member(event, "metadata", "uid")
    moment = time / 1000 if isinstance(time, int) and 0 < time < _LATEST else 0.0
    flaw = log_flaw(time=moment, reason="event-not-loggable")
    if isinstance(uid, str):
        flaw["metadata"]["uid"] = _cut(uid, 0)
    return flaw


def _fits(event: Mapping[str, Any]) -> bool:
    try:
        length = len(json.dumps(event, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False
    return bool(event) and length <= _ROOM and not {"seq", "seal"} & event.keys()


def _cut(value: Any, depth: int) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        if len(value) <= LONGEST_TEXT:
            return value
        return f"{value[:LONGEST_TEXT]}... ({len(value)} characters)"
    if not depth:
        return "(too deep)" if isinstance(value, (dict, list, tuple)) else value
    if isinstance(value, dict):
        members = list(value.items())[:_MOST]
        return {str(_cut(str(name), 0)): _cut(one, depth - 1) for name, one in members}
    if isinstance(value, (list, tuple)):
        return [_cut(one, depth - 1) for one in value[:_MOST]]
    return value
