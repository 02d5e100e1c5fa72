"""What a world knows about agents, and the services that rest on it.

- The directory is the one source: the clouds' issuer, the broker and the token service ask it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.identity.directory import lifecycle
from iamrange.identity.directory.model import Agent, DirectoryRefusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.core.clock import Clock
    from iamrange.range.config import AgentRegistration


class RegistrationError(ValueError):
    """The directory did not do what the runner asked."""


class MemoryAgents:
    """The agents of one world, in memory."""

    def __init__(self, clock: Clock) -> None:
        """Start empty."""
        self._clock = clock
        self._agents: dict[str, Agent] = {}

    def __iter__(self) -> Iterator[Agent]:
        """Iterate over the agents in the order of registration."""
        return iter(tuple(self._agents.values()))

    def by_id(self, agent_id: str) -> Agent | None:
        """Return the agent with exactly this id, or None."""
        return self._agents.get(agent_id)

    def register(self, registration: AgentRegistration) -> Agent:
        """Register an active agent, or replace its registration and its key."""
        spec = registration.spec()
        agent = lifecycle.provision(spec, "", self._clock.now(), activate=True)
        before = self._agents.get(spec.id)
        if before is not None:
            agent = replace(agent, epoch=before.epoch + 1)
        self._agents[agent.id] = agent
        return agent

    def find(self, name: str) -> Agent:
        """Return the agent that an operator means by a SPIFFE id or a plain name.

        Raises:
            RegistrationError: there is none, or several tenants have one.
        """
        found = [agent for agent in self if name in (agent.id, agent.name)]
        if len(found) != 1:
            raise RegistrationError(f"agent {name!r}: {len(found)} found")
        return found[0]

    def change(self, name: str, transition: str) -> Agent:
        """Carry out a transition of its life: `quarantine`, `release`, `retire`, `revoke`.

        Raises:
            RegistrationError: it cannot be.
        """
        agent = self.find(name)
        after: Agent | DirectoryRefusal = getattr(lifecycle, transition)(agent, self._clock.now())
        if isinstance(after, DirectoryRefusal):
            raise RegistrationError(f"{after.code}: {after.detail}")
        self._agents[agent.id] = after
        return after
