"""Administrative changes as OCSF events: who did what to an agent, a key, a control.

Source: Open Cybersecurity Schema Framework 1.6, class Entity Management (3004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from iamrange.detect.ocsf import PRODUCT, VERSION

ENTITY_MANAGEMENT: Final = 3004
_CATEGORY: Final = 3
_CREATE, _READ, _UPDATE, _DELETE = 1, 2, 3, 4
_INFORMATIONAL, _LOW = 1, 2
_SUCCESS, _FAILURE = 1, 2
_ACTIVITIES: Final = {
    "register": _CREATE,
    "issue": _CREATE,
    "retire": _DELETE,
    "withdraw": _DELETE,
    "show": _READ,
}


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did, or was refused. `kind` is what the entity is: agent, key, control."""

    uid: str
    time: float
    actor: str
    action: str
    kind: str
    entity: str
    point: str
    detail: str = ""
    refused: str | None = None


def event_of_change(change: Change) -> dict[str, Any]:
    """Return the event of a change. Members without a value are left out."""
    activity = _ACTIVITIES.get(change.action.partition("_")[0], _UPDATE)
    event: dict[str, Any] = {
        "time": int(change.time * 1000),
        "class_uid": ENTITY_MANAGEMENT,
        "category_uid": _CATEGORY,
        "activity_id": activity,
        "type_uid": ENTITY_MANAGEMENT * 100 + activity,
        "severity_id": _INFORMATIONAL if change.refused is None else _LOW,
        "status_id": _SUCCESS if change.refused is None else _FAILURE,
        "metadata": {"version": VERSION, "product": PRODUCT, "uid": change.uid},
        "api": {"operation": change.action, "service": {"name": change.point}},
        "actor": {"user": {"uid": change.actor}},
        "entity": {"type": change.kind, "uid": change.entity},
        # what queries over both classes ask for
        "resources": [{"uid": change.entity}],
    }
    if change.refused is not None:
        event["status_detail"] = change.refused
    if change.detail:
        event["comment"] = change.detail
    return event
