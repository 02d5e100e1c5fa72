"""Inputs for the policy as the gateway, people and mischief write them: always the same ones."""

from __future__ import annotations

import copy
import itertools
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = (
    "data-analyst",
    "log-writer",
    "hr-assistant",
    "payments-agent",
    "deploy-bot",
    "platform-admin",
    "credential-broker",
    "fleet-sensor",
    "support-llm",
    "intern",
)
ACTIONS = ("read", "write", "delete", "deploy", "transfer", "execute", "drop")
LABELS = ("public", "internal", "confidential", "restricted", "secret")
SERVICES = ("customers", "logs", "hr", "payments", "deployments", "telemetry")
SIGNED = ({"manager_signed": True}, {"manager_signed": False}, None)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    1.5,
    "",
    "true",
    "public",
    [],
    ["data-analyst"],
    {},
    {"a": 1},
)
_ABSENT = object()


def proper() -> Iterator[dict[str, Any]]:
    """Yield the product of what a call may be, as the gateway writes it: 4,200 calls."""
    for role, action, label, service, approval in itertools.product(
        ROLES, ACTIONS, LABELS, SERVICES, SIGNED[:2]
    ):
        yield call(role, action, label, service, approval)


def call(
    role: str, action: str, label: str, service: str, approval: dict[str, Any] | None
) -> dict[str, Any]:
    """Return one whole call."""
    return {
        "agent": {
            "id": "spiffe://iamrange.example/agent/somebody",
            "tenant": "iamrange",
            "roles": [role],
            "project": "analytics",
            "classification": "restricted",
            "owner": "ana@iamrange.example",
            "state": "active",
            "scopes": [],
        },
        "action": action,
        "resource": {
            "service": service,
            "type": "records",
            "id": "7",
            "classification": label,
            "project": "analytics",
            "environment": None,
            "high_impact": action in {"delete", "transfer"},
        },
        "approval": copy.deepcopy(approval),
        "context": {"time": 1.0, "peer": "", "actors": [], "tenant": "iamrange"},
    }


def by_hand(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield calls as people write them: members missing, one role as text, other projects."""
    chance = random.Random(seed)  # noqa: S311 - the same inputs each time, no secret
    for _ in range(count):
        role: object = chance.choice(ROLES)
        agent = {
            "role": chance.choice([role, role, _ABSENT]),
            "roles": chance.choice([[role], [role, chance.choice(ROLES)], _ABSENT, _ABSENT]),
            "project": chance.choice(["analytics", "analytics", "people", "", None, _ABSENT]),
            "classification": chance.choice([*LABELS, *[_ABSENT] * 5]),
            "state": chance.choice([*["active", _ABSENT] * 4, "quarantined"]),
            "tenant": chance.choice([*["iamrange", _ABSENT] * 4, "elsewhere"]),
        }
        resource = {
            "service": chance.choice([*SERVICES, *SERVICES, _ABSENT]),
            "classification": chance.choice([*LABELS, *LABELS[:3], _ABSENT]),
            "project": chance.choice(["analytics", "analytics", "people", "", None, _ABSENT]),
            "environment": chance.choice(["production", "staging", "prod", None, _ABSENT]),
            "high_impact": chance.choice([True, False, _ABSENT, _ABSENT]),
        }
        values = {
            "agent": _present(agent),
            "action": chance.choice([*ACTIONS, *ACTIONS, "read", "read", _ABSENT]),
            "resource": _present(resource),
            "approval": chance.choice([*SIGNED, _ABSENT, {"manager_signed": "true"}, {}]),
            "context": chance.choice([_ABSENT, {}, None, {"tenant": "iamrange"}]),
        }
        yield _present(values)


def mischief(seed: int, count: int) -> Iterator[Any]:
    """Yield calls with something odd in one or two places, or in place of the whole."""
    chance = random.Random(seed)  # noqa: S311 - the same inputs each time, no secret
    yield from ODD
    for _ in range(count):
        values = call(
            chance.choice(ROLES),
            chance.choice(ACTIONS),
            chance.choice(LABELS),
            chance.choice(SERVICES),
            chance.choice(SIGNED),
        )
        for _ in range(chance.choice([1, 1, 2])):
            _spoil(chance, values)
        yield values


def _spoil(chance: random.Random, values: dict[str, Any]) -> None:
    """Put something odd into one place, or take the place away."""
    top = chance.choice(list(values))
    inner = values[top]
    odd = copy.deepcopy(chance.choice(ODD)) if chance.random() < 0.9 else _ABSENT
    place, name = values, top
    if isinstance(inner, dict) and inner and chance.random() < 0.8:
        place, name = inner, chance.choice([*inner, "role", "manager_signed"])
    if odd is _ABSENT:
        place.pop(name, None)
    elif isinstance(place.get(name), list) and chance.choice([True, False]):
        place[name] = [*place[name], odd]
    else:
        place[name] = odd


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _ABSENT}
