"""Which permissions a role holds: Google's predefined roles, as far as this range serves them.

- The data (`roles.json`) names permissions of the services served here and no others.
- Well-known roles of other services (`unserved`) can be granted: what they grant is not here.
- A role that is in neither list is refused where a policy is set, as the real API refuses a role
  that does not exist: a binding never silently grants nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

Permissions = frozenset[str]
RoleBook = Callable[[str], Permissions | None]
"""Gives a role's permissions, or None for a role that does not exist."""

BASIC: Final = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
ADMINISTRATOR: Final = "roles/iamrange.administrator"
"""The range's own: held by the administrator of a project, above the project's policy. It holds all
but the use of other identities, as `roles/owner` does."""

OPERATOR: Final = "roles/iamrange.organizationOperator"
"""The range's own: what the administrators of an organisation's projects hold on the organisation.
It reaches policies, not what is in another project."""

_OPERATOR_PARTS: Final = ("resourcemanager.organizations.", "orgpolicy.", "iam.denypolicies.")
HIDDEN: Final = frozenset({ADMINISTRATOR, OPERATOR})


@cache
def _data() -> Mapping[str, Any]:
    text = resources.files("iamrange.clouds.gcp").joinpath("roles.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def predefined() -> Mapping[str, Permissions]:
    """Return the predefined roles."""
    data = _data()
    groups: dict[str, list[str]] = data["groups"]
    roles: dict[str, Permissions] = {}
    for role, members in data["roles"].items():
        held: set[str] = set()
        for member in members:
            held.update(groups[member[1:]] if member.startswith("@") else [member])
        roles[role] = frozenset(held)
    roles[ADMINISTRATOR] = frozenset().union(*roles.values()) - frozenset(data["identity_use"])
    roles[OPERATOR] = frozenset(
        name for name in roles[ADMINISTRATOR] if name.startswith((*_OPERATOR_PARTS, "iam.roles."))
    )
    return roles


@cache
def unserved() -> frozenset[str]:
    """Return roles of which every permission belongs to a service that is not served here."""
    return frozenset(_data()["unserved"])


@cache
def known_permissions() -> Permissions:
    """Return every permission that this range serves."""
    return frozenset().union(*predefined().values())
