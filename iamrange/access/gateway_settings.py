"""What an operator may set of the gateway's decisions; each `unsafe_...` leaves one control out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iamrange.identity.names import service_resource
from iamrange.identity.stores.ports import Rate

_PEER_RATE: Final = Rate(amount=300_000, seconds=60)
_GLOBAL_RATE: Final = Rate(amount=600_000, seconds=60)
_AGENT_RATE: Final = Rate(amount=3_000, seconds=60)
_ROUTE_RATE: Final = Rate(amount=300_000, seconds=60)
APPROVALS_ENDPOINT: Final = f"{service_resource('approvals')}/requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The settings; the defaults are the hardened ones."""

    peer_rate: Rate = _PEER_RATE
    """Before authentication, by the address of the connection's peer."""
    global_rate: Rate = _GLOBAL_RATE
    """Before authentication, all calls together."""
    agent_rate: Rate = _AGENT_RATE
    """After authentication, by the agent that acts; refused calls count too."""
    route_rate: Rate = _ROUTE_RATE
    """After authentication, by the route, whoever calls."""
    approvals_endpoint: str = APPROVALS_ENDPOINT
    """Where an agent asks for a human's approval."""

    unsafe_ignores_scope: bool = False
    """Any good token opens every route of its service."""
    unsafe_asks_no_policy: bool = False
    """Whoever has the scope may: no role, no project, no classification."""
    unsafe_unlabelled_data: bool = False
    """Nobody has classified the data: all of it counts as public."""
    unsafe_no_rate_limit: bool = False
    unsafe_needs_no_approval: bool = False
    """No route counts as high impact."""
    unsafe_raw_paths: bool = False
    """The target is matched by prefix, as it came."""
    unsafe_ignores_agent_state: bool = False
    """The directory is asked for roles alone: what became of an agent since is not looked at.

    The gateway's share in the lapse of `identity.revocation`.
    """
