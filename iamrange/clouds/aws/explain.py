"""A refusal in AWS's own words, as its AccessDenied messages end."""

from __future__ import annotations

_NAMES = {
    "scp": "service control policy",
    "rcp": "resource control policy",
    "identity": "identity-based policy",
    "permissions-boundary": "permissions boundary",
    "session-policy": "session policy",
    "resource": "resource-based policy",
}


def refusal_phrase(reason: str, action: str) -> str:
    """Return how a message about a refusal goes on after the resource; "" if AWS says no more.

    `reason` is what `combine` gave. IAM user guide, "Troubleshoot access denied error messages":
    `with an explicit deny in a ...`, `because no ... allows the ... action`. Of trust policies AWS
    says nothing.
    """
    layer, denies, _ = reason.rpartition("-denies")
    if denies and layer in _NAMES:
        name = _NAMES[layer]
        return f"with an explicit deny in {'an' if name[0] == 'i' else 'a'} {name}"
    layer, silent, _ = reason.rpartition("-does-not-allow")
    if silent and layer in _NAMES:
        return f"because no {_NAMES[layer]} allows the {action} action"
    return ""
