"""Signed client assertions: `private_key_jwt` (RFC 7523) and JWT-SVIDs.

- The audience is this server's issuer identifier, alone: an assertion made out to an endpoint, or
  to several parties, is one that another server could have asked for (rfc7523bis; CVE-2025-27370).
- An assertion is used once, and is worth something for `assertion_age` seconds from its `iat`,
  however late its `exp`.
- The same work is done for a client that is not registered as for one with another key.
- The jti is spent only once the signature holds, so that nobody can spend another's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from iamrange.identity.names import AUTH_ISSUER
from iamrange.jose import (
    STRICT,
    KeySet,
    Profile,
    Refusal,
    SigningKey,
    UnverifiedToken,
    VerifiedClaims,
    check_time,
    parse,
    parse_key_set,
    peek,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.directory.model import Agent
    from iamrange.identity.stores.ports import ReplayStore
    from iamrange.identity.tokens.settings import TokenSettings

MAX_ASSERTION: Final = 4096
_JTI_LENGTHS: Final = range(8, 257)
_TYPES: Final = frozenset({"jwt", "client-authentication+jwt"})
_SVID_TYPES: Final = frozenset({"jwt", "jose"})
_KEPT_KEYS: Final = 8192


@dataclass(frozen=True, slots=True)
class ReadAssertion:
    """An assertion that nobody has verified: its form, and whom it claims to come from."""

    token: UnverifiedToken | Refusal
    unverified_subject: str
    text: str = field(repr=False)


def assertion_profile(settings: TokenSettings) -> Profile:
    """Return the demands on a `private_key_jwt` assertion; its `typ` is judged apart."""
    return replace(
        STRICT,
        name="client-assertion",
        max_length=MAX_ASSERTION,
        required_claims=frozenset({"iss", "sub", "aud", "iat", "exp", "jti"}),
        required_typ=None,
        requires_kid=False,
        # RFC 7519 section 2: a NumericDate may have a fraction
        integer_dates=False,
        max_lifetime=settings.assertion_lifetime,
        max_age=settings.assertion_age,
    )


def svid_profile(settings: TokenSettings) -> Profile:
    """Return the demands on a JWT-SVID (SPIFFE JWT-SVID sections 2 and 3)."""
    return replace(
        STRICT,
        name="jwt-svid",
        max_length=MAX_ASSERTION,
        algorithms=frozenset({"ES256", "ES384", "ES512", "RS256", "RS384", "RS512"}),
        required_claims=frozenset({"sub", "aud", "exp"}),
        required_typ=None,
        max_lifetime=settings.svid_lifetime,
    )


def read_assertion(text: str, profile: Profile) -> ReadAssertion:
    """Parse an assertion, and read whom it names even where it is refused."""
    token = parse(text, profile)
    seen = token if isinstance(token, UnverifiedToken) else peek(text, max_length=MAX_ASSERTION)
    subject = seen.unverified_claims.get("sub") if seen is not None else None
    return ReadAssertion(token, subject if isinstance(subject, str) else "", text)


class AssertionVerifier:
    """Judges assertions; spends their jtis."""

    def __init__(self, *, replay: ReplayStore, settings: TokenSettings) -> None:
        """Take the store of used assertions."""
        self._replay = replay
        self.settings = settings
        self.profile = assertion_profile(settings)
        self.svid_profile = svid_profile(settings)

    def refusal(
        self,
        read: ReadAssertion,
        keys: KeySet,
        client_id: str | None,
        now: float,
        *,
        spend: bool = True,
    ) -> str | None:
        """Return why a `private_key_jwt` assertion is not by one of the agent's keys, or None.

        It is spent only if told to: a client that is asked for a nonce repeats the request as it
        was (RFC 9449 section 8).

        Raises:
            StoreDownError: the replay store cannot answer.
        """
        profile = self.profile
        token = read.token
        if isinstance(token, Refusal):
            _decoy_work(None)
            return token.code
        claims = _signed(token, keys, profile)
        if isinstance(claims, Refusal):
            if claims.code == "unknown-key":
                _decoy_work(token)
            return claims.code
        reason = _claims_refusal(token, claims, client_id, _TYPES)
        if reason is not None:
            return reason
        if claims["iss"] != claims["sub"]:
            return "issuer-mismatch"
        late = check_time(claims, now, profile)
        if late is not None:
            return late.code
        if len(claims["jti"]) not in _JTI_LENGTHS:
            return "malformed"
        # Whole seconds: the last one that `check_time` accepts counts in full.
        end = min(
            claims["exp"] + profile.expiry_leeway, claims["iat"] + self.settings.assertion_age
        )
        scope = f"assertion:{claims['sub']}"
        first = self._first(scope, claims["jti"], end + 1, now, spend=spend)
        return None if first else "replayed"

    def svid_refusal(
        self,
        read: ReadAssertion,
        keys: KeySet | None,
        client_id: str | None,
        now: float,
        *,
        spend: bool = True,
    ) -> str | None:
        """Return why a JWT-SVID does not authenticate whom it names, or None.

        An SVID need have no jti: what it signs is what is used once. Its signature is not, since a
        second one that also verifies can be made of any ECDSA signature.

        Raises:
            StoreDownError: the replay store cannot answer.
        """
        if keys is None:
            return "method-not-allowed"
        profile = self.svid_profile
        token = read.token
        if isinstance(token, Refusal):
            return token.code
        claims = verify_signature(token, keys, profile)
        if isinstance(claims, Refusal):
            return claims.code
        reason = _claims_refusal(token, claims, client_id, _SVID_TYPES)
        if reason is not None:
            return reason
        late = check_time(claims, now, profile)
        if late is not None:
            return late.code
        if claims["exp"] - now > self.settings.svid_lifetime:
            return "lifetime-too-long"
        digest = hashlib.sha256(token.signing_input).hexdigest()
        end = claims["exp"] + profile.expiry_leeway + 1
        first = self._first(f"svid:{claims['sub']}", digest, end, now, spend=spend)
        return None if first else "replayed"

    def _first(self, scope: str, jti: str, expires: float, now: float, *, spend: bool) -> bool:
        if spend:
            return self._replay.insert(scope, jti, expires=expires, now=now)
        return not self._replay.seen(scope, jti, expires=expires)


def _claims_refusal(
    token: UnverifiedToken,
    claims: Mapping[str, Any],
    client_id: str | None,
    types: frozenset[str],
) -> str | None:
    typ = token.header.get("typ")
    if typ is not None and typ.lower().removeprefix("application/") not in types:
        return "wrong-typ"
    if claims["aud"] not in (AUTH_ISSUER, [AUTH_ISSUER]):
        return "wrong-audience"
    if client_id is not None and client_id != claims["sub"]:
        return "client-id-mismatch"
    return None


def _signed(token: UnverifiedToken, keys: KeySet, profile: Profile) -> VerifiedClaims | Refusal:
    """Try each key of the agent where the assertion names none: they are few, and all its own."""
    if "kid" in token.header:
        return verify_signature(token, keys, profile)
    seen: VerifiedClaims | Refusal = Refusal("unknown-key")
    for key in keys.keys:
        seen = verify_signature(token, KeySet((key,)), profile)
        if not isinstance(seen, Refusal):
            break
    return seen


def agent_keys(agent: Agent, now: float) -> KeySet:
    """Return the keys that may sign for the agent now: the current, and those still overlapping."""
    found = (_key(key.kid, key.jwk["x"], key.jwk["y"]) for key in agent.accepted_keys(now))
    return KeySet(tuple(key for keys in found for key in keys.keys))


@lru_cache(maxsize=_KEPT_KEYS)
def _key(kid: str, x: str, y: str) -> KeySet:
    """Import a registered key once."""
    member = {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256"}
    keys = parse_key_set({"keys": [member]}, STRICT)
    return keys if isinstance(keys, KeySet) else KeySet(())


_DECOY: Final = SigningKey.generate("ES256")
_DECOY_KEYS: Final = parse_key_set({"keys": [_DECOY.public_jwk()]}, STRICT)
_DECOY_TOKEN: Final = parse(
    _DECOY.sign({"iss": "d", "sub": "d", "aud": "d", "iat": 0, "exp": 1}), STRICT
)


def _decoy_work(token: UnverifiedToken | None) -> None:
    """Verify a signature that decides nothing: no clock tells who is registered."""
    looked_at = token if token is not None else _DECOY_TOKEN
    if isinstance(looked_at, Refusal) or isinstance(_DECOY_KEYS, Refusal):
        return
    header = {"alg": "ES256", "kid": _DECOY.kid}
    verify_signature(replace(looked_at, header=header), _DECOY_KEYS, STRICT)
