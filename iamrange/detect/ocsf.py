"""Decision records as OCSF events: what a SIEM reads without being told of this range.

Source: Open Cybersecurity Schema Framework 1.6, class API Activity (6003) with the profile
Security Control; what it has no place for is in `unmapped`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import Outcome
from iamrange.core.detect_controls import AUDIT, RESPONSE, WATCH

if TYPE_CHECKING:
    from iamrange.core.decision import DecisionRecord

VERSION: Final = "1.6.0"
PRODUCT: Final = {"name": "iamrange", "vendor_name": "iamrange"}
MADE_BY: Final = {"version": VERSION, "product": PRODUCT, "profiles": ["security_control"]}
"""The metadata of a class with that profile: without it `action_id` is no attribute of it."""

UNKNOWN: Final = {"name": "unknown"}
"""Who or where it was, in a class that must say so."""

API_ACTIVITY: Final = 6003
_CATEGORY: Final = 6
_OTHER, _CREATE, _READ, _UPDATE, _DELETE = 99, 1, 2, 3, 4
_INFORMATIONAL, _LOW, _HIGH = 1, 2, 4
_ALLOWED, _DENIED = 1, 2
_SUCCESS, _FAILURE = 1, 2
_ACTIVITIES: Final = (
    (_READ, ("get", "list", "describe", "read", "head", "lookup", "access", "scan", "query")),
    (_CREATE, ("create", "post", "put", "add", "generate", "mint", "register", "issue")),
    (_UPDATE, ("update", "patch", "set", "attach", "tag", "modify", "rotate")),
    (_DELETE, ("delete", "remove", "revoke", "detach", "destroy")),
)


def event_of(record: DecisionRecord) -> dict[str, Any]:
    """Return the event of one decision record. Members without a value are left out.

    Where the class asks for one, an actor or a source, it is `unknown`.

    `unmapped.layers` has each layer's answer, `EFFECT REASON` by its name; `unmapped.details` and
    `unmapped.decided_by` what some of them say more, by name too.
    """
    denied = record.outcome is Outcome.DENY
    activity = _activity(record.action)
    user: dict[str, Any] = {"uid": record.principal} if record.principal else {}
    if record.account:
        user["account"] = {"uid": record.account}
    event: dict[str, Any] = {
        "time": int(record.time * 1000),
        "class_uid": API_ACTIVITY,
        "category_uid": _CATEGORY,
        "activity_id": activity,
        "type_uid": API_ACTIVITY * 100 + activity,
        "severity_id": _severity(record, denied=denied),
        "status_id": _FAILURE if denied else _SUCCESS,
        "status_code": record.reason,
        "action_id": _DENIED if denied else _ALLOWED,
        "metadata": {**MADE_BY, "uid": record.request_id},
        "actor": {"user": user or UNKNOWN},
        "src_endpoint": {"ip": record.source_ip} if record.source_ip else UNKNOWN,
        "api": {"operation": record.action, "service": {"name": record.point}},
        "resources": [{"uid": record.resource}],
        "unmapped": _unmapped(record),
    }
    if record.user_agent:
        event["http_request"] = {"user_agent": record.user_agent}
    return event


def _severity(record: DecisionRecord, *, denied: bool) -> int:
    """Return OCSF's severity: a refusal is everyday work, an accused agent is an incident."""
    if not denied:
        return _INFORMATIONAL
    return _HIGH if record.point in (AUDIT, WATCH, RESPONSE) else _LOW


def _unmapped(record: DecisionRecord) -> dict[str, Any]:
    layers, details, decided = {}, {}, {}
    for answer in record.layers:
        layers[answer.layer] = f"{answer.effect.value} {answer.reason}"
        if answer.detail:
            details[answer.layer] = answer.detail
        if answer.decided_by is not None:
            decided[answer.layer] = f"{answer.decided_by.policy} {answer.decided_by.statement}"
    found: dict[str, Any] = {"layers": layers}
    if details:
        found["details"] = details
    if decided:
        found["decided_by"] = decided
    if record.unevaluated:
        found["unevaluated"] = list(record.unevaluated)
    if record.facts:
        found["facts"] = dict(record.facts)
    return found


@lru_cache(maxsize=4096)
def _activity(action: str) -> int:
    """Return OCSF's kind of activity by the verb of an operation."""
    verb = action.rpartition(":")[2].rpartition(".")[2].lower()
    found = (kind for kind, verbs in _ACTIVITIES if verb.startswith(verbs))
    return next(found, _OTHER)
