"""Rates: of all, of the connection's peer, and of the agent once it is known.

- Keys are the socket's peer and the authenticated agent: nothing that a header says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.core.decision import Effect, LayerAnswer

if TYPE_CHECKING:
    from iamrange.identity.stores.ports import Limiter
    from iamrange.identity.tokens.settings import TokenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts requests against the three rates."""

    limiter: Limiter
    settings: TokenSettings

    def before(self, peer: str) -> LayerAnswer | None:
        """Count a request of a peer; return the refusal if it is one too many."""
        wait = self.limiter.hit(f"token-peer:{peer}", self.settings.peer_rate)
        if wait is not None:
            return _refused("peer-rate", wait.seconds)
        wait = self.limiter.hit("token-all", self.settings.global_rate)
        return _refused("global-rate", wait.seconds) if wait is not None else None

    def of_agent(self, agent_id: str | None) -> LayerAnswer:
        """Count a request of an authenticated agent."""
        if agent_id is None:
            return LayerAnswer("limit", Effect.NOT_APPLICABLE, "not-evaluated")
        wait = self.limiter.hit(f"token-agent:{agent_id}", self.settings.agent_rate)
        if wait is not None:
            return _refused("agent-rate", wait.seconds)
        return LayerAnswer("limit", Effect.ALLOW, "within-rates")


def _refused(reason: str, seconds: int) -> LayerAnswer:
    return LayerAnswer("limit", Effect.DENY, reason, detail=str(max(1, seconds)))
