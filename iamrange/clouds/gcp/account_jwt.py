"""JWTs that a service account's own key signed: bearer tokens and assertions for tokens.

- They are judged in real time, not by the world's clock: unmodified clients sign them with the
  machine's time.
- Reading goes on past a refusal, so that a rogue cloud which ignores one really lets it through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.jose import Profile, Refusal, check_time, parse, parse_key_set, peek, verify_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.gcp.state import ServiceAccount, State
    from iamrange.core.clock import Clock

MAX_LIFETIME: Final = 3600
PROFILE: Final = Profile(
    name="gcp-service-account",
    max_length=16_000,
    algorithms=frozenset({"RS256"}),
    expiry_leeway=0,
    # a signer's clock may run ahead a little; its `exp` may not (see `too_far_ahead`)
    not_before_leeway=60,
    required_claims=frozenset({"iss", "iat", "exp"}),
)


@dataclass(frozen=True, slots=True)
class AccountJwt:
    """What was read of the JWT, and the first thing that is wrong with it."""

    unverified_claims: Mapping[str, Any]
    account: ServiceAccount | None
    refusal: Refusal | None


def read(text: str, state: State, wall: Clock) -> AccountJwt:
    """Read a JWT and check its key, signature and time."""
    token = parse(text, PROFILE)
    if isinstance(token, Refusal):
        seen = peek(text)
        claims = seen.unverified_claims if seen else {}
        return AccountJwt(claims, _account(claims, state), token)
    claims = token.unverified_claims
    account = _account(claims, state)
    if account is None:
        return AccountJwt(claims, None, Refusal("unknown-account"))
    if account.disabled:
        return AccountJwt(claims, account, Refusal("account-disabled"))
    key = account.keys.get(str(token.header.get("kid", "")))
    if key is None:
        return AccountJwt(claims, account, Refusal("unknown-key"))
    if key.disabled:
        return AccountJwt(claims, account, Refusal("key-disabled"))
    keys = parse_key_set({"keys": [key.public_jwk]}, PROFILE)
    verified = keys if isinstance(keys, Refusal) else verify_signature(token, keys, PROFILE)
    if isinstance(verified, Refusal):
        return AccountJwt(claims, account, Refusal("signature-mismatch"))
    return AccountJwt(claims, account, _time_refusal(claims, wall.now()))


def _time_refusal(claims: Mapping[str, Any], now: float) -> Refusal | None:
    if refusal := check_time(claims, now, PROFILE):
        return refusal
    if claims["exp"] - claims["iat"] > MAX_LIFETIME or claims["exp"] - now > MAX_LIFETIME:
        return Refusal("lifetime-too-long")
    return None


def _account(claims: Mapping[str, Any], state: State) -> ServiceAccount | None:
    issuer = claims.get("iss")
    return state.account(issuer) if isinstance(issuer, str) else None
