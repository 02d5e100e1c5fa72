"""What each layer of a call's decision answers, from the evidence alone.

- Every layer answers, whatever an earlier one has said: `not-evaluated` where there was nothing
  to ask.
- The order is that of the record, and of who gives the answer where several refuse.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.canonical import CanonicalRefusal
from iamrange.access.evidence import Away, Principal
from iamrange.access.routes import Matched, RouteRefusal
from iamrange.core.decision import Effect, LayerAnswer, Statement
from iamrange.identity.directory.model import AgentState, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.access.evidence import Evidence
    from iamrange.access.gateway_limits import Count
    from iamrange.access.policy_engine import PolicyAnswer

PACKAGE: Final = "ai.authorization"
APPROVAL_REQUIRED: Final = "approval-required"
NOT_EVALUATED: Final = "not-evaluated"
UNKNOWN_SERVICE: Final = "unknown-service"


def layers_of(evidence: Evidence) -> tuple[LayerAnswer, ...]:
    """Return the answer of each layer, in order."""
    return tuple([answer(evidence) for answer in _LAYERS])


def approval_is_needed(evidence: Evidence) -> bool:
    """Tell whether the table of routes wants a human's approval of this call."""
    if evidence.settings.unsafe_needs_no_approval or not isinstance(evidence.route, Matched):
        return False
    return evidence.route.route.high_impact


def _denied(layer: str, reason: str, detail: str = "") -> LayerAnswer:
    return LayerAnswer(layer, Effect.DENY, reason, detail=detail)


def _allowed(layer: str, reason: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.ALLOW, reason)


def _silent(layer: str, reason: str = NOT_EVALUATED) -> LayerAnswer:
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, reason)


_NAMES: Final = (
    "canonical",
    "route",
    "pre-limit",
    "token",
    "agent",
    "scope",
    "policy",
    "approval",
    "limit",
)
_UNASKED: Final = {name: _silent(name) for name in _NAMES}
_PUBLIC: Final = {name: _silent(name, "public-path") for name in _NAMES}
_LAPSED: Final = {name: _silent(name, "not-checked") for name in _NAMES}
_CANONICAL: Final = _allowed("canonical", "one-meaning")
_ROUTE: Final = _allowed("route", "route-found")
_TOKEN: Final = _allowed("token", "admitted")
_AGENT: Final = _allowed("agent", "active")
_SCOPE: Final = _allowed("scope", "scope-held")
_NO_APPROVAL: Final = _silent("approval", "no-approval-needed")
_NOBODY: Final = _silent("limit", "nobody-to-count")
_WITHIN: Final = {name: _allowed(name, "within-rates") for name in ("pre-limit", "limit")}


def _canonical_layer(evidence: Evidence) -> LayerAnswer:
    if isinstance(evidence.target, CanonicalRefusal):
        return _denied("canonical", evidence.target.reason)
    return _LAPSED["canonical"] if evidence.settings.unsafe_raw_paths else _CANONICAL


def _route_layer(evidence: Evidence) -> LayerAnswer:
    route = evidence.route
    if isinstance(route, RouteRefusal):
        return _denied("route", route.reason)
    if evidence.public:
        return _PUBLIC["route"]
    return _UNASKED["route"] if route is None else _ROUTE


def _count_layer(layer: str, count: Count | None, evidence: Evidence) -> LayerAnswer:
    if evidence.settings.unsafe_no_rate_limit:
        return _LAPSED[layer]
    if count is None:
        return _UNASKED[layer]
    local = "counted-locally" if count.local else ""
    if count.over is not None:
        return _denied(layer, count.over, local)
    return (
        LayerAnswer(layer, Effect.ALLOW, "within-rates", detail=local) if local else _WITHIN[layer]
    )


def _pre_limit_layer(evidence: Evidence) -> LayerAnswer:
    return _count_layer("pre-limit", evidence.before, evidence)


def _limit_layer(evidence: Evidence) -> LayerAnswer:
    if evidence.public:
        return _PUBLIC["limit"]
    token = evidence.token
    if evidence.after is None and token is not None and not token.proved:
        return _NOBODY
    return _count_layer("limit", evidence.after, evidence)


def _token_layer(evidence: Evidence) -> LayerAnswer:
    if evidence.public:
        return _PUBLIC["token"]
    token = evidence.token
    if token is None:
        return _UNASKED["token"]
    if token.proved:
        return _TOKEN
    return _denied("token", token.reason, token.layer)


def _agent_layer(evidence: Evidence) -> LayerAnswer:
    if evidence.public:
        return _PUBLIC["agent"]
    principals = evidence.principals
    if isinstance(principals, Away):
        return _denied("agent", f"{principals.what}-unavailable")
    if not principals:
        return _UNASKED["agent"]
    for principal in principals:
        reason = _agent_refusal(principal, evidence)
        if reason is not None:
            return _denied("agent", reason, principal.id)
    return _LAPSED["agent"] if evidence.settings.unsafe_ignores_agent_state else _AGENT


def _agent_refusal(principal: Principal, evidence: Evidence) -> str | None:
    agent = principal.agent
    if agent is None:
        return "agent-unknown"
    if agent.kind is not Kind.AGENT:
        return "agent-is-a-person"
    if evidence.settings.unsafe_ignores_agent_state:
        return None
    if agent.state is not AgentState.ACTIVE:
        return f"agent-{agent.state}"
    return "agent-expired" if agent.expired(evidence.now) else None


def _scope_layer(evidence: Evidence) -> LayerAnswer:
    if evidence.public:
        return _PUBLIC["scope"]
    if evidence.settings.unsafe_ignores_scope:
        return _LAPSED["scope"]
    token = evidence.token
    if token is None or not isinstance(evidence.route, Matched):
        return _UNASKED["scope"]
    if token.layer == "scope":
        return _denied("scope", token.reason, evidence.route.route.scope)
    if token.token is None:
        return _UNASKED["scope"]
    scope = evidence.route.route.scope
    return _SCOPE if scope in token.token.scopes else _denied("scope", "insufficient-scope", scope)


def _policy_layer(evidence: Evidence) -> LayerAnswer:
    if evidence.public:
        return _PUBLIC["policy"]
    if evidence.settings.unsafe_asks_no_policy:
        return _LAPSED["policy"]
    answers = evidence.policy
    if isinstance(answers, Away):
        return _denied("policy", f"{answers.what}-unavailable")
    asked = len(evidence.principals) if isinstance(evidence.principals, tuple) else 0
    if not answers or len(answers) != asked:
        return _UNASKED["policy"]
    refusing = next((answer for answer in answers if not answer.allow), None)
    if refusing is None:
        return _policy_allows(tuple(answer.rules for answer in answers))
    return _denied("policy", _policy_reason(answers), " ".join(refusing.deny))


@lru_cache(maxsize=1024)
def _policy_allows(rules: tuple[tuple[str, ...], ...]) -> LayerAnswer:
    named = ",".join(dict.fromkeys(rule for several in rules for rule in several))
    return LayerAnswer(
        "policy", Effect.ALLOW, "policy-allows", decided_by=Statement(PACKAGE, named)
    )


def _policy_reason(answers: tuple[PolicyAnswer, ...]) -> str:
    """Return one reason for all: that an approval is lacking only where that is all."""
    reasons = [
        reason
        for answer in answers
        if not answer.allow
        for reason in answer.deny or ("policy-undefined",)
    ]
    return next((reason for reason in reasons if reason != APPROVAL_REQUIRED), reasons[0])


def _approval_layer(evidence: Evidence) -> LayerAnswer:
    if evidence.public:
        return _PUBLIC["approval"]
    approval = evidence.approval
    if isinstance(approval, Away):
        return _denied("approval", f"{approval.what}-unavailable")
    if isinstance(approval, ApprovalRefusal):
        return _denied("approval", approval.reason)
    if approval is not None:
        return LayerAnswer("approval", Effect.ALLOW, "approved", detail=approval.approver)
    if not isinstance(evidence.route, Matched):
        return _UNASKED["approval"]
    if approval_is_needed(evidence) or _policy_wants_approval(evidence):
        return _denied("approval", APPROVAL_REQUIRED)
    return _NO_APPROVAL


def _policy_wants_approval(evidence: Evidence) -> bool:
    answers = evidence.policy
    if not answers or isinstance(answers, Away) or all(answer.allow for answer in answers):
        return False
    return _policy_layer(evidence).reason == APPROVAL_REQUIRED


_LAYERS: Final[tuple[Callable[[Evidence], LayerAnswer], ...]] = (
    _canonical_layer,
    _route_layer,
    _pre_limit_layer,
    _token_layer,
    _agent_layer,
    _scope_layer,
    _policy_layer,
    _approval_layer,
    _limit_layer,
)
LAYERS: Final = _NAMES
"""The layers of the point, in order."""
