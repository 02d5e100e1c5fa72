"""What agents do and what is said against it: the values of behaviour watching.

- A call counts for or against an agent only if its identity was verified at a decision point.
  Whoever merely names an agent can neither teach its baseline nor have it accused.
- An accusation says what was seen, what was expected and by which calls, for a human to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CLASSES = ("public", "internal", "confidential", "restricted")
"""Labels of data, the least sensitive first; a call's `level` is an index into them."""

NO_DATA = -1
"""The level of a call whose data carries no label: the clouds' own APIs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call by an agent. `time` is in seconds since the epoch, by the clock of who decided.

    `service` is who was asked (`hr`, `aws:secretsmanager`), `operation` what for. `allowed` tells
    whether the call was let through: a refused one can accuse and never teaches.
    """

    id: str
    time: float
    agent: str
    service: str
    operation: str
    level: int
    place: str
    allowed: bool
    authenticated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an agent is registered for. `rate` is the most calls a minute that it will ever need.

    `services` are those of our own that its scopes reach; clouds are named in none. `homes` are
    the places that it may come from before it has any history.
    """

    services: frozenset[str]
    level: int
    rate: int
    homes: frozenset[str]


class Rule(StrEnum):
    """Why a call is no ordinary one."""

    UNDECLARED_SERVICE = "undeclared-service"
    ABOVE_DECLARED_LEVEL = "above-declared-level"
    ABOVE_DECLARED_RATE = "above-declared-rate"
    NOT_AT_HOME = "not-at-home"
    DRIFTED = "drifted-from-what-was-first-learned"
    RATE_UP = "rate-up"
    SERVICE_NEVER_USED = "service-never-used"
    LEVEL_NEVER_TOUCHED = "level-never-touched"
    PLACE_NEVER_SEEN = "place-never-seen"
    OPERATION_NEVER_MADE = "operation-never-made"
    HOUR_NEVER_WORKED = "hour-never-worked"


HARD = frozenset(
    {
        Rule.UNDECLARED_SERVICE,
        Rule.ABOVE_DECLARED_LEVEL,
        Rule.ABOVE_DECLARED_RATE,
        Rule.NOT_AT_HOME,
        Rule.DRIFTED,
    }
)
"""Rules that go by what is declared, or was first learned: no behaviour teaches them."""

NOTICES = frozenset({Rule.OPERATION_NEVER_MADE, Rule.HOUR_NEVER_WORKED})
"""Rules too weak to cut anybody off: they are written down, and the call is learned."""

HELD = frozenset({Rule.UNDECLARED_SERVICE, Rule.ABOVE_DECLARED_LEVEL, Rule.NOT_AT_HOME})
"""Rules that another control may keep too: where it refused the call, it is only written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """One rule that a call broke. `evidence` are ids of calls, the accusing one last.

    `contains` tells whether it is reason enough to cut the agent off; else it is a notice.
    """

    agent: str
    time: float
    rule: Rule
    seen: str
    expected: str
    evidence: tuple[str, ...]
    contains: bool

    @property
    def layer(self) -> str:
        """Return who says so: `limits` (declared) or `baseline` (learned)."""
        return "limits" if self.rule in HARD else "baseline"

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.rule}: saw {self.seen}; expected {self.expected}"
