"""What a control and an invariant are, and how a refusal is recognised in a decision record.

- A control is one mechanism that an operator can really leave out. It is on unless switched off.
- An invariant is what the platform guarantees and nobody can switch off; a rogue cloud that lacks
  it stands in for the world without it.
- Many controls refuse by *absence* (no statement allows). A Sid is a hint for readers and is never
  used for attribution: a refusal is recognised by decision point, layer, effect and condition key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import ClassVar

from iamrange.core import frameworks as fw
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement


class Layer(StrEnum):
    """Where a control works."""

    AWS = "aws"
    GCP = "gcp"
    IDENTITY = "identity"
    ACCESS = "access"
    SECRETS = "secrets"
    DETECT = "detect"


class SwitchedIn(StrEnum):
    """Where a control is switched: `iamrange:controls` of the stack, or a world's settings."""

    STACK = "stack"
    WORLD = "world"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a control's refusal looks like in a decision record.

    `action` and `condition_key` are patterns (`*` matches any run of characters, keys in lower
    case). Without `condition_key`, an implicit deny must be one of plain absence: no statement
    that named the action and the resource failed on a condition alone.
    """

    point: str
    layer: str
    effect: Effect
    action: str = "*"
    condition_key: str | None = None
    reason: str = "*"

    def answer_in(self, record: DecisionRecord) -> LayerAnswer | None:
        """Return the layer answer in `record` that is this refusal, or None."""
        if record.outcome is not Outcome.DENY:
            return None
        if not fnmatchcase(record.action.lower(), self.action.lower()):
            return None
        return next((a for a in record.layers if self.is_answer(record.point, a)), None)

    def is_answer(self, point: str, answer: LayerAnswer) -> bool:
        """Tell whether this answer of one layer at `point` is this refusal, whatever the action."""
        if (point, answer.layer, answer.effect) != (self.point, self.layer, self.effect):
            return False
        if not fnmatchcase(answer.reason, self.reason):
            return False
        if self.condition_key is not None:
            return any(fnmatchcase(key, self.condition_key) for key in _keys_behind(answer))
        return not (self.effect is Effect.IMPLICIT_DENY and answer.near_misses)


def _keys_behind(answer: LayerAnswer) -> tuple[str, ...]:
    statements: tuple[Statement, ...] = answer.near_misses
    if answer.decided_by is not None:
        statements = (answer.decided_by, *statements)
    return tuple(key for statement in statements for key in statement.condition_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One mechanism that an operator can leave out.

    `touches` are the Pulumi resource types that switching it may change, and no other. One that
    `detects` keeps nobody from anything: its refusal is that of whoever looks afterwards.
    """

    id: str
    layer: Layer
    summary: str
    without_it: str
    refusal: Refusal
    touches: frozenset[str]
    maps_to: tuple[fw.Reference, ...]
    switched_in: SwitchedIn = SwitchedIn.STACK
    detects: bool = False

    def __post_init__(self) -> None:
        """Refuse a control that could never be switched or recognised."""
        if self.switched_in is SwitchedIn.STACK and not self.touches:
            msg = f"control '{self.id}': touches expected at least one resource type, got none"
            raise ValueError(msg)


def own_control(  # noqa: PLR0913 - one argument a fact
    of: Layer,
    name: str,
    *,
    summary: str,
    without_it: str,
    point: str,
    layer: str,
    reason: str,
    maps_to: tuple[fw.Reference, ...],
) -> Control:
    """Return a control of the range's own services: a setting of a world, denying in one layer."""
    return Control(
        id=f"{of}.{name}",
        layer=of,
        summary=summary,
        without_it=without_it,
        refusal=Refusal(point=point, layer=layer, effect=Effect.DENY, reason=reason),
        touches=frozenset(),
        maps_to=maps_to,
        switched_in=SwitchedIn.WORLD,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """What a platform guarantees; `rogue` names the cloud that lacks it.

    `lacks` are the refusals that the rogue does not make. They can be more than `refusal`: a cloud
    that skips the signature also never misses the key that would have checked it.
    """

    detects: ClassVar[bool] = False
    id: str
    layer: Layer
    summary: str
    refusal: Refusal
    rogue: str
    lacks: tuple[Refusal, ...]
    maps_to: tuple[fw.Reference, ...] = field(default=(fw.NHI4, fw.IA_13_2))
