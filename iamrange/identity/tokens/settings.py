"""What an operator may set of the token service; each `unsafe_...` leaves one control out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iamrange.identity.access_token import MAX_ACTORS, MAX_ANCESTORS
from iamrange.identity.names import ACCESS_TOKEN_LIFE
from iamrange.identity.stores.ports import Rate

_LONGEST: Final = 366 * 86_400
_PEER_RATE: Final = Rate(amount=30_000, seconds=60)
_AGENT_RATE: Final = Rate(amount=3_000, seconds=60)
_GLOBAL_RATE: Final = Rate(amount=600_000, seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """The settings; the defaults are the hardened ones.

    The chain of actors and the line of ancestors may be set shorter, never longer than what
    verifiers accept; a longer `lifetime` is the lapse of short tokens.
    """

    lifetime: int = ACCESS_TOKEN_LIFE
    nonce_required: bool = False
    assertion_age: int = 300
    """For how many seconds from its `iat` a client assertion is worth something."""
    assertion_lifetime: int = 3600
    """The longest `exp - iat` of a client assertion. Authlib's client writes an hour: its assertion
    still dies at `assertion_age`."""
    svid_lifetime: int = 3600
    """The longest `exp - iat` of a JWT-SVID where it has an `iat`, else the longest `exp - now`."""
    max_actors: int = MAX_ACTORS
    """How many actors an `act` chain may name (RFC 8693 section 4.1)."""
    max_ancestors: int = MAX_ANCESTORS
    """From how many earlier tokens a token may descend."""

    peer_rate: Rate = _PEER_RATE
    """Before authentication, by the address of the connection's peer."""
    agent_rate: Rate = _AGENT_RATE
    """After authentication, by the agent."""
    global_rate: Rate = _GLOBAL_RATE
    """All requests together."""

    unsafe_accepts_client_secret: bool = False
    unsafe_open_registration: bool = False
    unsafe_issues_bearer: bool = False
    unsafe_unbound_certificates: bool = False
    unsafe_ignores_withdrawal: bool = False
    unsafe_any_audience: bool = False
    unsafe_any_scope: bool = False
    unsafe_exchange_widens: bool = False
    unsafe_cloud_resources: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that verifiers would not follow.

        Raises:
            ValueError: a number is out of bounds.
        """
        bounds = (
            ("lifetime", self.lifetime, _LONGEST),
            ("max_actors", self.max_actors, MAX_ACTORS),
            ("max_ancestors", self.max_ancestors, MAX_ANCESTORS),
        )
        for name, value, most in bounds:
            if not 1 <= value <= most:
                raise ValueError(f"token setting {name}: expected 1 to {most}, got {value}")
