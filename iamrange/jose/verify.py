"""Signature and time. Only `verify_signature` makes `VerifiedClaims`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from iamrange.jose.gate import DATES, Refusal, UnverifiedToken, is_date
from iamrange.jose.profile import RSA_AND_EC

if TYPE_CHECKING:
    from iamrange.jose.keys import KeySet, PublicKey
    from iamrange.jose.profile import Profile

_SEAL: Final = object()


class VerifiedClaims(Mapping[str, Any]):
    """Claims whose signature was verified. Made by `verify_signature` alone."""

    __slots__ = ("_claims",)

    def __init__(self, claims: Mapping[str, Any], *, seal: object) -> None:
        """Refuse to be made elsewhere.

        Raises:
            TypeError: the caller is not `verify_signature`.

        """
        if seal is not _SEAL:
            raise TypeError("VerifiedClaims are made by verify_signature only")
        self._claims = dict(claims)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return one claim."""
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the claims' names."""
        return iter(self._claims)

    def __len__(self) -> int:
        """Count the claims."""
        return len(self._claims)

    def __repr__(self) -> str:
        """Show issuer, subject and expiry only."""
        return f"VerifiedClaims({ {n: self.get(n) for n in ('iss', 'sub', 'exp')}!r})"


_REGISTRY: Final = jws.JWSRegistry(algorithms=sorted(RSA_AND_EC))
_ALGORITHMS: Final = {name: _REGISTRY.get_alg(name) for name in RSA_AND_EC}
"""joserfc's own algorithms, asked directly: the gate has read the token, and reading it again in
the library costs a third of a verification."""


def verify_signature(
    token: UnverifiedToken, keys: KeySet, profile: Profile
) -> VerifiedClaims | Refusal:
    """Return the claims if one of the fitting keys signed them.

    The key is chosen by exact `kid` and by what the key was published for; a key or an address
    inside the token (`jwk`, `jku`, `x5c`, `x5u`) is never used.
    """
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in profile.algorithms:
        return Refusal("algorithm-not-allowed", "alg is not one of those allowed")
    candidates = keys.candidates(token.header.get("kid"), algorithm)
    if not candidates:
        return Refusal("unknown-key", "no published key has this kid and serves this alg")
    if any(_signed_by(token, key, algorithm) for key in candidates):
        return VerifiedClaims(token.unverified_claims, seal=_SEAL)
    return Refusal("signature-mismatch", "the signature is not by the published key")


def verify_embedded(
    token: UnverifiedToken, key: PublicKey, profile: Profile
) -> VerifiedClaims | Refusal:
    """Return the claims if this key, which the token itself carries, signed them.

    Such a signature says who holds the key, never whose it is: only DPoP proofs are read so
    (RFC 9449 section 4.3).
    """
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in profile.algorithms & key.algorithms:
        return Refusal("algorithm-not-allowed", "alg is not one of those allowed")
    if _signed_by(token, key, algorithm):
        return VerifiedClaims(token.unverified_claims, seal=_SEAL)
    return Refusal("signature-mismatch", "the signature is not by the key in the header")


def check_time(claims: Mapping[str, Any], now: float, profile: Profile) -> Refusal | None:
    """Return why the claims are not valid at this moment, or None.

    The gate has refused dates of another type; where a cloud looks on past that refusal, they are
    no dates here either.
    """
    for name in DATES:
        if name in claims and not is_date(claims[name], integer=profile.integer_dates):
            return Refusal("malformed", f"claim {name} is not a numeric date")
    issued, expires = claims.get("iat"), claims.get("exp")
    # dates are whole seconds: the second after the last one begins the refusal
    if expires is not None and int(now) > expires + profile.expiry_leeway:
        return Refusal("expired", f"expired at {expires}, now {int(now)}")
    for name in ("nbf", "iat"):
        start = claims.get(name)
        if start is not None and now < start - profile.not_before_leeway:
            return Refusal("not-yet-valid", f"{name} is {start}, now {int(now)}")
    return _age_refusal(issued, expires, now, profile) if issued is not None else None


def _age_refusal(
    issued: float, expires: float | None, now: float, profile: Profile
) -> Refusal | None:
    if profile.max_age is not None and now - issued > profile.max_age:
        return Refusal("too-old", f"{int(now - issued)}")
    if profile.max_lifetime is not None and expires is not None:
        lifetime = expires - issued
        if lifetime <= 0 or lifetime > profile.max_lifetime:
            return Refusal("lifetime-too-long", f"lives {int(lifetime)} s")
    return None


def _signed_by(token: UnverifiedToken, key: PublicKey, algorithm: str) -> bool:
    chosen = _ALGORITHMS[algorithm]
    try:
        chosen.check_key(key.key)
        return bool(chosen.verify(token.signing_input, token.signature, key.key))
    except (JoseError, ValueError, TypeError):
        return False
