"""The decision on one call: the evidence in, allowed or one reason why not. Pure.

- Allowed only where every layer was asked, or has no say, and none refuses.
- The first layer that refuses gives the reason, except where a later one refuses for the same
  cause and knows more of it.
- What is asked of the agent in answer is in `gateway_answers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.access.gateway_answers import Answer, answer_to
from iamrange.access.gateway_layers import APPROVAL_REQUIRED, NOT_EVALUATED, layers_of
from iamrange.core.decision import Effect, LayerAnswer, Tamper, honest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.access.evidence import Evidence

POINT: Final = "gateway.call"
ADMITTED: Final = "admitted"
UNDECIDED: Final = LayerAnswer("decision", Effect.DENY, "undecided")
"""In the record where no layer refuses and one that has a say was not asked: nothing is forwarded
undecided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a call. `headers` go into the answer, `identity` to the service."""

    allow: bool
    status: int
    reason: str
    error: str
    description: str
    layers: tuple[LayerAnswer, ...]
    headers: tuple[tuple[str, str], ...] = ()
    identity: tuple[tuple[str, str], ...] = ()
    request_id: str = ""
    pointer: str = ""
    """Where to ask for the approval that is lacking."""


_KNOWS_BETTER: Final[Mapping[tuple[str, str], str]] = {
    # what is wrong with the approval that was presented
    ("policy", APPROVAL_REQUIRED): "approval",
    # what has become of the agent
    ("token", "agent-inactive"): "agent",
}
"""A refusal that a later layer can say more of -> that layer."""


def decide(evidence: Evidence, tamper: Tamper = honest, *, request_id: str = "") -> Decision:
    """Decide a call from what is known of it; the id is handed on."""
    layers = tamper(POINT, layers_of(evidence))
    refusing = _deciding(layers)
    if refusing is None and not evidence.public and _unasked(layers, evidence):
        refusing = UNDECIDED
        layers = (*layers, UNDECIDED)
    if refusing is None:
        return Decision(
            allow=True,
            status=200,
            reason=ADMITTED,
            error="",
            description="",
            layers=layers,
            headers=evidence.token.headers if evidence.token else (),
            identity=_identity(evidence),
            request_id=request_id,
        )
    answer: Answer = answer_to(refusing, evidence)
    return Decision(
        allow=False,
        status=answer.status,
        reason=refusing.reason,
        error=answer.error,
        description=answer.description,
        layers=layers,
        headers=answer.headers,
        request_id=request_id,
        pointer=evidence.settings.approvals_endpoint
        if refusing.reason == APPROVAL_REQUIRED
        else "",
    )


def _deciding(layers: tuple[LayerAnswer, ...]) -> LayerAnswer | None:
    refusing = [layer for layer in layers if layer.refuses]
    if not refusing:
        return None
    first = refusing[0]
    knows_better = _KNOWS_BETTER.get((first.layer, first.reason))
    return next((layer for layer in refusing if layer.layer == knows_better), first)


def _unasked(layers: tuple[LayerAnswer, ...], evidence: Evidence) -> bool:
    """Tell whether a layer was not asked though all that were allow: nobody knows who calls."""
    nobody = evidence.token is None or evidence.token.token is None or not evidence.principals
    return nobody or any(layer.reason == NOT_EVALUATED for layer in layers)


def _identity(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Return who calls, as the service is told."""
    token = evidence.token.token if evidence.token else None
    principals = evidence.principals
    if token is None or not isinstance(principals, tuple) or not principals:
        return ()
    acting = principals[0]
    roles = sorted(acting.agent.roles) if acting.agent else ()
    told = (
        ("x-agent-id", acting.id),
        ("x-agent-subject", token.subject),
        ("x-agent-roles", ",".join(roles)),
    )
    approval = evidence.approval
    approved = getattr(approval, "approver", None)
    return told if approved is None else (*told, ("x-agent-approver", approved))
