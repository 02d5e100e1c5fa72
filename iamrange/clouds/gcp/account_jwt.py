"""JWTs that a service account's own key signed: bearer tokens and assertions for tokens.

- They are judged in real time, not by the world's clock: unmodified clients sign them with the
  machine's time.
- Reading goes on past a refusal, so that a rogue cloud which ignores one really lets it through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.jose import Profile, Refusal, check_time, parse, parse_key_set, peek, verify_signature
from iamrange.jose.gate import UnverifiedToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.gcp.state import AccountKey, ServiceAccount, State
    from iamrange.core.clock import Clock

MAX_LIFETIME: Final = 3600
LAYERS: Final = ("token", "account", "key", "signature", "time")
PROFILE: Final = Profile(
    name="gcp-service-account",
    max_length=16_000,
    algorithms=frozenset({"RS256"}),
    expiry_leeway=0,
    # a signer's clock may run ahead a little; its `exp` may not (see `_time_refusal`)
    not_before_leeway=60,
    required_claims=frozenset({"iss", "iat", "exp"}),
)


@dataclass(frozen=True, slots=True)
class AccountJwt:
    """What was read of the JWT, and what is wrong with it, layer by layer."""

    unverified_claims: Mapping[str, Any]
    account: ServiceAccount | None
    refusals: Mapping[str, Refusal]

    @property
    def first_refusal(self) -> Refusal | None:
        """Return the refusal that wins."""
        return next((self.refusals[name] for name in LAYERS if name in self.refusals), None)


def read(text: str, state: State, wall: Clock, now: float) -> AccountJwt:
    """Read a JWT and check its key, signature and time.

    The JWT is dated by the client's clock (`wall`), its key by the world's (`now`).
    """
    token = parse(text, PROFILE)
    seen = token if isinstance(token, UnverifiedToken) else peek(text)
    refusals: dict[str, Refusal] = {}
    if isinstance(token, Refusal):
        refusals["token"] = token
    if seen is None:
        return AccountJwt({}, None, refusals)
    claims = seen.unverified_claims
    issuer = claims.get("iss")
    account = state.account(issuer) if isinstance(issuer, str) else None
    if account is None:
        refusals["account"] = Refusal("unknown-account")
    elif account.disabled:
        refusals["account"] = Refusal("account-disabled")
    key = account.keys.get(str(seen.header.get("kid", ""))) if account else None
    if key is None:
        refusals["key"] = Refusal("unknown-key")
    elif key.disabled:
        refusals["key"] = Refusal("key-disabled")
    elif key.has_expired(now):
        refusals["key"] = Refusal("key-expired")
    if key is None or not _signed_by(seen, key):
        refusals["signature"] = Refusal("signature-mismatch")
    if refusal := _time_refusal(claims, wall.now()):
        refusals["time"] = refusal
    return AccountJwt(claims, account, refusals)


def _signed_by(token: UnverifiedToken, key: AccountKey) -> bool:
    keys = parse_key_set({"keys": [key.public_jwk]}, PROFILE)
    return not isinstance(keys, Refusal) and not isinstance(
        verify_signature(token, keys, PROFILE), Refusal
    )


def _time_refusal(claims: Mapping[str, Any], now: float) -> Refusal | None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return Refusal("missing-claim")
    if refusal := check_time(claims, now, PROFILE):
        return refusal
    if expires - issued > MAX_LIFETIME or expires - now > MAX_LIFETIME:
        return Refusal("lifetime-too-long")
    return None
