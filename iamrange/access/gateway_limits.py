"""How often a peer, an agent, a route and everybody may call.

- Before a token is looked at, by the connection's peer and in all: keys that no header chooses.
- After it, by the agent that the token has proved, and by the route: nobody uses up another's.
- The counters may degrade to this process's own while their server is away, and the record says
  so; replay and revocation never do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.identity.stores.limits import SharedLimiter

if TYPE_CHECKING:
    from iamrange.access.gateway_settings import GatewaySettings
    from iamrange.access.routes import Route
    from iamrange.identity.stores.ports import Limiter, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What counting a call came to: the rate that it went over and the wait, or nothing."""

    over: str | None = None
    wait: int = 0
    local: bool = False
    """The server of the counters is away: this process counted for itself."""


class GatewayLimits:
    """Counts calls against four rates."""

    def __init__(self, limiter: Limiter, settings: GatewaySettings) -> None:
        """Take the counters and the rates."""
        self._limiter = limiter
        self._settings = settings

    def before(self, peer: str) -> Count:
        """Count a call of a peer, whoever it says it is."""
        settings = self._settings
        return self._count(
            ("peer-rate", f"gateway-peer:{peer}", settings.peer_rate),
            ("global-rate", "gateway-all", settings.global_rate),
        )

    def after(self, agent: str, route: Route | None) -> Count:
        """Count a call of an agent whose token is good."""
        settings = self._settings
        of_agent = ("agent-rate", f"gateway-agent:{agent}", settings.agent_rate)
        if route is None:
            return self._count(of_agent)
        name = f"gateway-route:{route.method} {route.service} {route.path}"
        return self._count(of_agent, ("route-rate", name, settings.route_rate))

    def _count(self, *rates: tuple[str, str, Rate]) -> Count:
        # one after the other: who is over the own rate does not use up everybody's
        for name, key, rate in rates:
            wait = self._limiter.hit(key, rate)
            if wait is not None:
                return Count(over=name, wait=max(1, wait.seconds), local=self._is_local())
        return _LOCAL if self._is_local() else _WITHIN

    def _is_local(self) -> bool:
        return isinstance(self._limiter, SharedLimiter) and self._limiter.degraded


_WITHIN = Count()
_LOCAL = Count(local=True)
