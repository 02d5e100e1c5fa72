"""What the policy is asked: one call as JSON text, in the form of `policy/input.schema.json`.

- The text is made here alone, of values that were verified before: nothing in it is copied from
  a request but the path's parameter `id`.
- `approval` is what a verified signature says, never what a body claims.
- The agent's name is in its id, for the record; no rule looks at it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iamrange.access.approvals.model import ApprovalFacts
    from iamrange.access.routes import Matched
    from iamrange.identity.directory.model import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What is around a call. `tenant` is whose gateway this is; `actors` act for the agent."""

    time: float
    peer: str = ""
    actors: tuple[str, ...] = ()
    tenant: str


def policy_input(
    agent: Agent, matched: Matched, approval: ApprovalFacts | None, context: CallContext
) -> str:
    """Return the input for the policy, as JSON text."""
    return json.dumps(policy_values(agent, matched, approval, context), separators=(",", ":"))


def policy_values(
    agent: Agent, matched: Matched, approval: ApprovalFacts | None, context: CallContext
) -> dict[str, Any]:
    """Return the input for the policy, as values."""
    route = matched.route
    return {
        "agent": {
            "id": agent.id,
            "tenant": agent.tenant,
            "roles": sorted(agent.roles),
            "project": agent.project,
            "classification": agent.classification.value,
            "owner": agent.owner,
            "state": agent.state.value,
            "scopes": sorted(agent.scopes),
        },
        "action": route.action.value,
        "resource": {
            "service": route.service,
            "type": route.type,
            "id": matched.parameters.get("id", ""),
            "classification": route.classification.value,
            "project": route.project,
            "environment": route.environment,
            "high_impact": route.high_impact,
        },
        "approval": None
        if approval is None
        else {
            "id": approval.id,
            "approver": approval.approver,
            "agent": approval.agent,
            "expires": approval.expires,
            "manager_signed": approval.manager_signed is True,
        },
        "context": {
            "time": context.time,
            "peer": context.peer,
            "actors": list(context.actors),
            "tenant": context.tenant,
        },
    }
