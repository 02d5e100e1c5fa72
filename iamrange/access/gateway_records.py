"""The record of a decision on a call: who asked for what, each layer's answer, by which rule.

- Names and ids only: no token, no query, no body; of a path, only what a route is for: whatever
  else was asked for may be a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.access.canonical import Target
from iamrange.access.decide import POINT
from iamrange.access.routes import Matched
from iamrange.core.decision import DecisionRecord, Outcome

if TYPE_CHECKING:
    from iamrange.access.decide import Decision
    from iamrange.access.evidence import AccessCall, Evidence
    from iamrange.core.decision import LayerAnswer
    from iamrange.identity.access_token import AccessToken

_LONGEST_AGENT = 256
_LONGEST_METHOD = 16


def record_of(call: AccessCall, evidence: Evidence, decision: Decision) -> DecisionRecord:
    """Return the record of one call."""
    token = evidence.token.token if evidence.token else None
    route = evidence.route.route if isinstance(evidence.route, Matched) else None
    return DecisionRecord(
        request_id=call.request_id,
        time=evidence.now,
        point=POINT,
        action=route.action.value if route else call.method[:_LONGEST_METHOD],
        resource=_resource(evidence),
        principal=token.acting if token else "",
        outcome=Outcome.ALLOW if decision.allow else Outcome.DENY,
        reason=decision.reason,
        layers=decision.layers,
        source_ip=call.peer,
        user_agent=call.user_agent[:_LONGEST_AGENT],
        facts=_facts(evidence, token),
    )


def _resource(evidence: Evidence) -> str:
    """Return what was asked for, as far as it is there: a path that is none may hold anything."""
    target = evidence.target
    if not isinstance(target, Target):
        return ""
    known = evidence.public or isinstance(evidence.route, Matched)
    return target.location if known else f"https://{target.host}"


def failure_record(call: AccessCall, now: float, layer: LayerAnswer) -> DecisionRecord:
    """Return the record of a call that could not be decided."""
    return DecisionRecord(
        request_id=call.request_id,
        time=now,
        point=POINT,
        action=call.method[:_LONGEST_METHOD],
        resource="",
        principal="",
        outcome=Outcome.DENY,
        reason=layer.reason,
        layers=(layer,),
        source_ip=call.peer,
        user_agent=call.user_agent[:_LONGEST_AGENT],
    )


def _facts(evidence: Evidence, token: AccessToken | None) -> dict[str, str]:
    facts: dict[str, str] = {}
    if isinstance(evidence.target, Target):
        facts["method"] = evidence.target.method
    if isinstance(evidence.route, Matched):
        route = evidence.route.route
        facts["service"] = route.service
        facts["route"] = route.path
        facts["scope"] = route.scope
    if token is not None:
        facts["jti"] = token.jti
        if token.actors:
            facts["subject"] = token.subject
            facts["act"] = " ".join(token.actors)
    if evidence.policy_digest:
        facts["policy"] = evidence.policy_digest
    approval = getattr(evidence.approval, "id", None)
    if isinstance(approval, str):
        facts["approval"] = approval
    return facts
