"""The decision record: what each decision point answered, layer by layer, and why.

- A refusal is a value; an exception means that the range broke.
- A record carries the answer of *every* layer, not only of the first that refused, so that a
  reader can tell a single point of failure from defence in depth.
- A record never holds a token, a secret or a key: identifiers and reasons only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Effect(StrEnum):
    """What one layer answers.

    `IMPLICIT_DENY` is silence where a permission was needed; `DENY` is a statement, rule or
    check that refuses; `NOT_APPLICABLE` is a layer that has no say in this request.
    """

    ALLOW = "allow"
    DENY = "deny"
    IMPLICIT_DENY = "implicit-deny"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement or rule of a policy: which policy, which statement, on which keys it turned.

    `policy` names the document (an ARN, a resource name, `inline:NAME`); `statement` is its Sid,
    or `#N` counted from zero. `condition_keys` are the condition keys, lower case, on which the
    statement did not match (empty when it matched).
    """

    policy: str
    statement: str
    condition_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerAnswer:
    """The answer of one layer of one decision point.

    `reason` is a short stable code (`no-statement-allows`, `statement-denies`, `bad-signature`).
    `decided_by` is the statement behind an allow or an explicit deny. `near_misses` are
    statements that named this action and resource and failed on a condition alone: they say what
    an implicit deny turned on.
    """

    layer: str
    effect: Effect
    reason: str
    decided_by: Statement | None = None
    near_misses: tuple[Statement, ...] = ()
    detail: str = ""

    @property
    def refuses(self) -> bool:
        """Tell whether this layer, asked alone, does not let the request through."""
        return self.effect in (Effect.DENY, Effect.IMPLICIT_DENY)


class Outcome(StrEnum):
    """What the decision point did with the request."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision of one decision point about one request.

    `point` is `<cloud>.<decider>`: `aws.authenticate`, `aws.authorize`, `aws.web-identity`,
    `gcp.sts`, `gcp.authenticate`, `gcp.authorize`, `gcp.organization-policy`, ...
    `unevaluated` lists policy elements that could not be evaluated (they refuse, and are listed).
    """

    request_id: str
    time: float
    point: str
    action: str
    resource: str
    principal: str
    outcome: Outcome
    reason: str
    layers: tuple[LayerAnswer, ...]
    source_ip: str = ""
    user_agent: str = ""
    account: str = ""
    unevaluated: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


RecordSink = Callable[[DecisionRecord], None]
"""Takes each record as it is made. Must not raise: a record that cannot be kept stops the world."""

Tamper = Callable[[str, tuple[LayerAnswer, ...]], tuple[LayerAnswer, ...]]
"""The seam by which a rogue cloud is made: (decision point, layer answers) -> layer answers.

Every decision point passes its layers through this before it combines them. The honest cloud
uses `honest`. The range's own tests use rogues to attack the harness.
"""


def honest(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
    """Return the layers as they are."""
    del point
    return layers


def record_to_json(record: DecisionRecord) -> dict[str, Any]:
    """Return the record as JSON-ready values; the inverse of `record_from_json`."""
    return {
        "request_id": record.request_id,
        "time": record.time,
        "point": record.point,
        "action": record.action,
        "resource": record.resource,
        "principal": record.principal,
        "outcome": record.outcome.value,
        "reason": record.reason,
        "layers": [_layer_to_json(layer) for layer in record.layers],
        "source_ip": record.source_ip,
        "user_agent": record.user_agent,
        "account": record.account,
        "unevaluated": list(record.unevaluated),
        "facts": dict(record.facts),
    }


def record_from_json(value: Mapping[str, Any]) -> DecisionRecord:
    """Build a record from what `record_to_json` made.

    Raises:
        KeyError: a member is missing.
        ValueError: an effect or outcome is unknown.
    """
    return DecisionRecord(
        request_id=value["request_id"],
        time=value["time"],
        point=value["point"],
        action=value["action"],
        resource=value["resource"],
        principal=value["principal"],
        outcome=Outcome(value["outcome"]),
        reason=value["reason"],
        layers=tuple(_layer_from_json(layer) for layer in value["layers"]),
        source_ip=value["source_ip"],
        user_agent=value["user_agent"],
        account=value["account"],
        unevaluated=tuple(value["unevaluated"]),
        facts=dict(value["facts"]),
    )


def _statement_to_json(statement: Statement) -> dict[str, Any]:
    return {
        "policy": statement.policy,
        "statement": statement.statement,
        "condition_keys": list(statement.condition_keys),
    }


def _statement_from_json(value: Mapping[str, Any]) -> Statement:
    return Statement(value["policy"], value["statement"], tuple(value["condition_keys"]))


def _layer_to_json(layer: LayerAnswer) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "effect": layer.effect.value,
        "reason": layer.reason,
        "decided_by": _statement_to_json(layer.decided_by) if layer.decided_by else None,
        "near_misses": [_statement_to_json(s) for s in layer.near_misses],
        "detail": layer.detail,
    }


def _layer_from_json(value: Mapping[str, Any]) -> LayerAnswer:
    return LayerAnswer(
        layer=value["layer"],
        effect=Effect(value["effect"]),
        reason=value["reason"],
        decided_by=_statement_from_json(value["decided_by"]) if value["decided_by"] else None,
        near_misses=tuple(_statement_from_json(s) for s in value["near_misses"]),
        detail=value["detail"],
    )
