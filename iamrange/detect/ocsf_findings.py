"""What a scan found as OCSF events: a credential, where it lay, and whether it opened anything.

Source: Open Cybersecurity Schema Framework 1.6, class Detection Finding (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from iamrange.detect.ocsf import PRODUCT, VERSION

DETECTION_FINDING: Final = 2004
_CATEGORY: Final = 2
_CREATE: Final = 1
_INFORMATIONAL, _MEDIUM, _HIGH = 1, 3, 4
_NEW: Final = 1
_SEVERITIES: Final = {"live": _HIGH, "unknown": _MEDIUM}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCredential:
    """One finding. `value` is a keyed hash; `state` is live, dead or unknown, `why` in words."""

    rule: str
    place: str
    value: str
    state: str
    why: str


def event_of_finding(found: FoundCredential, *, time: float, actor: str) -> dict[str, Any]:
    """Return the event of a finding; `time` in seconds, `actor` whoever scanned."""
    return {
        "time": int(time * 1000),
        "class_uid": DETECTION_FINDING,
        "category_uid": _CATEGORY,
        "activity_id": _CREATE,
        "type_uid": DETECTION_FINDING * 100 + _CREATE,
        "severity_id": _SEVERITIES.get(found.state, _INFORMATIONAL),
        "status_id": _NEW,
        "status_code": found.state,
        "status_detail": found.why,
        "metadata": {"version": VERSION, "product": PRODUCT, "uid": f"credential-{found.value}"},
        "finding_info": {"uid": found.value, "title": found.rule, "types": ["credential"]},
        "api": {"operation": "found", "service": {"name": "scan.secrets"}},
        "actor": {"user": {"uid": actor}},
        "resources": [{"uid": found.place}],
    }
