"""Revocation as the directory knows it: epochs and states straight from its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from iamrange.identity.stores.ports import RevocationReader, RevocationState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.core.clock import Clock


class RegisteredAgent(Protocol):
    """What is asked of a directory entry."""

    @property
    def epoch(self) -> int:
        """Return the agent's current epoch."""
        ...

    @property
    def state(self) -> str:
        """Return the agent's state; only `active` may do anything."""
        ...

    @property
    def expires(self) -> float | None:
        """Return the moment from which the agent is no longer approved."""
        ...


class RegisteredAgents(Protocol):
    """The directory, or a view of it."""

    def by_id(self, agent_id: str) -> RegisteredAgent | None:
        """Return the agent with exactly this id.

        Raises:
            StoreDownError: the directory cannot answer.
        """
        ...


class DirectoryRevocation:
    """Epochs and states from the directory, revoked token ids from a revocation store."""

    def __init__(
        self, agents: RegisteredAgents, revoked: RevocationReader, *, clock: Clock
    ) -> None:
        """Take the directory, the store of revoked tokens, and the clock that agents expire by."""
        self._agents = agents
        self._revoked = revoked
        self._clock = clock

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        """Return what is known against these agents and token ids; the higher epoch counts.

        Raises:
            StoreDownError: the directory or the store cannot answer.
        """
        known = self._revoked.state(agents, jtis)
        epochs = dict(known.epochs)
        inactive = set(known.inactive)
        now = self._clock.now()
        for agent_id in agents:
            agent = self._agents.by_id(agent_id)
            if agent is None or agent.state != "active" or _expired(agent, now):
                inactive.add(agent_id)
            if agent is not None:
                epochs[agent_id] = max(agent.epoch, epochs.get(agent_id, agent.epoch))
        return RevocationState(
            epochs=epochs,
            revoked=known.revoked,
            inactive=frozenset(inactive),
            forgotten_until=known.forgotten_until,
        )


def _expired(agent: RegisteredAgent, now: float) -> bool:
    return agent.expires is not None and now >= agent.expires
