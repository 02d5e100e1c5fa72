"""How the gateway asks the policy: once for each agent that the token speaks of.

- Each agent is judged as if it called alone: what a chain may do is what the least of it may.
- An answer is remembered only where the policy can look at nothing that changes
  (`PolicyEngine.remembers`), for the very entry, route and engine that it was given for: a new
  policy, or an entry that the directory has replaced, is asked about again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from iamrange.access.evidence import Away
from iamrange.access.policy_engine import PolicyError
from iamrange.access.policy_input import CallContext, policy_input
from iamrange.identity.directory.model import AgentState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iamrange.access.approvals.model import ApprovalFacts
    from iamrange.access.policy_engine import PolicyAnswer, PolicyEngine
    from iamrange.access.routes import Matched, Route
    from iamrange.identity.directory.model import Agent

_CAPACITY: Final = 20_000
_Key = tuple[int, int, str]
_Known = tuple["PolicyEngine", "Agent", "Route", "PolicyAnswer"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer for each agent, and the digest of the policy that gave them."""

    answers: tuple[PolicyAnswer, ...]
    digest: str


class PolicyAsker:
    """Asks the policy of the moment."""

    def __init__(
        self, policy: Callable[[], PolicyEngine], *, tenant: str, ignores_state: bool
    ) -> None:
        """Take the policy, whose gateway this is, and whether an agent's state is left out."""
        self._policy = policy
        self._tenant = tenant
        self._ignores_state = ignores_state
        self._known: dict[_Key, _Known] = {}

    def ask(  # noqa: PLR0913 - what a policy goes by
        self,
        agents: Sequence[Agent],
        matched: Matched,
        approval: ApprovalFacts | None,
        *,
        now: float,
        peer: str,
        actors: tuple[str, ...],
    ) -> Asked | Away:
        """Return the answer for each agent."""
        try:
            engine = self._policy()
        except PolicyError:
            return Away("policy")
        context = CallContext(time=now, peer=peer, actors=actors, tenant=self._tenant)
        if approval is not None or self._ignores_state or not engine.remembers:
            answers = tuple(
                engine.evaluate(policy_input(self._judged(agent), matched, approval, context))
                for agent in agents
            )
        else:
            answers = tuple(self._remembered(engine, agent, matched, context) for agent in agents)
        return Asked(answers, engine.digest)

    def _remembered(
        self, engine: PolicyEngine, agent: Agent, matched: Matched, context: CallContext
    ) -> PolicyAnswer:
        key = (id(agent), id(matched.route), matched.parameters.get("id", ""))
        known = self._known.get(key)
        # the values themselves are held here, so that no other can have come to have their ids
        if (
            known is not None
            and known[0] is engine
            and known[1] is agent
            and known[2] is matched.route
        ):
            return known[3]
        answer = engine.evaluate(policy_input(agent, matched, None, context))
        if len(self._known) >= _CAPACITY:
            self._known = {}
        self._known[key] = (engine, agent, matched.route, answer)
        return answer

    def _judged(self, agent: Agent) -> Agent:
        if self._ignores_state:
            return replace(agent, state=AgentState.ACTIVE, expires=None)
        return agent
