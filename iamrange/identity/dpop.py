"""DPoP proofs (RFC 9449): who holds the key, for this very request, just now.

- `check_proof` makes the checks of section 4.3 on one proof, the cheap ones first and the
  signature last; a pure function of its arguments.
- It does not spend the proof: replay is the caller's last question, once all else holds, keyed
  by `jkt` and `jti` alone and kept until `replay_until`.
- Whether the key is the one that a token is bound to is the caller's check too (section 4.3,
  check 12).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from iamrange.identity.names import DPOP_TYPE
from iamrange.identity.request_uri import normalised
from iamrange.jose import (
    PublicKey,
    Refusal,
    UnverifiedToken,
    VerifiedClaims,
    check_time,
    parse,
    parse_embedded_key,
    peek,
    strict,
    thumbprint,
    verify_embedded,
)
from iamrange.jose.gate import base64url, decode_base64url
from iamrange.jose.keys import PRIVATE_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WINDOW: Final = 60
SKEW: Final = 5
ALGORITHMS: Final = ("ES256",)
MAX_LENGTH: Final = 4096
PROFILE: Final = replace(
    strict(DPOP_TYPE),
    name="dpop",
    max_length=MAX_LENGTH,
    required_claims=frozenset({"jti", "htm", "htu", "iat"}),
    # a client's library may name the key beside showing it; nothing goes by that name
    header_allow_list=frozenset({"alg", "typ", "jwk", "kid"}),
    requires_kid=False,
    # RFC 7519 section 2: a NumericDate may have a fraction, and clients of others send one
    integer_dates=False,
    not_before_leeway=SKEW,
    max_lifetime=None,
    max_age=WINDOW + SKEW,
)
_JTI_LENGTHS: Final = range(16, 129)
_COORDINATE_BYTES: Final = 32
_PLAIN_MEMBERS: Final = frozenset({"kty", "crv", "x", "y"})
# what a WebCrypto export or a library adds to a public key, and nothing else
_JWK_MEMBERS: Final = frozenset(
    {"kty", "crv", "x", "y", "kid", "alg", "use", "key_ops", "ext"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof that holds, except that nobody has asked yet whether it was used before.

    `replay_until` is the far end of the window in which it could be accepted.
    """

    jkt: str
    jti: str
    iat: float
    replay_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRefusal:
    """Why a proof does not hold: a stable code, and what OAuth calls it.

    `unverified_jkt` is the thumbprint of the key in its header, where that can be read: for
    records, and for the answers of other layers.
    """

    code: str
    detail: str = ""
    unverified_jkt: str | None = None

    @property
    def error(self) -> str:
        """Return the OAuth error code (sections 5, 7.1, 8 and 9)."""
        return "use_dpop_nonce" if self.code in _NONCE_CODES else "invalid_dpop_proof"


_NONCE_CODES: Final = frozenset({"missing-nonce", "stale-nonce"})


def access_token_hash(token: str) -> str:
    """Return the `ath` of an access token (section 4.2)."""
    return base64url(hashlib.sha256(token.encode("ascii", "replace")).digest())


def check_proof(  # noqa: PLR0913 - a proof is for one request, token, moment and nonce
    proof: str,
    *,
    method: str,
    url: str,
    now: float,
    ath: str | None,
    nonce_ok: Callable[[str | None], bool] | None,
) -> Proof | ProofRefusal:
    """Return the proof if it is for this request and its own key signed it.

    `ath` is the hash of the access token that comes along, None at a token endpoint; `nonce_ok`
    tells whether the server accepts a nonce, None where the server asks for none.
    """
    token = parse(proof, PROFILE)
    if isinstance(token, Refusal):
        return _refused(token, _peeked_jkt(proof))
    jwk = token.header.get("jwk")
    embedded = _embedded_key(jwk)
    if isinstance(embedded, Refusal):
        # what is no key has no thumbprint that a token could name
        return _refused(embedded, _jkt(jwk) if embedded.code == "private-key" else None)
    key, jkt = embedded
    refusal = _request_refusal(
        token.unverified_claims, method=method, url=url, now=now, ath=ath, nonce_ok=nonce_ok
    )
    if refusal is not None:
        return _refused(refusal, jkt)
    verified = verify_embedded(token, key, PROFILE)
    if isinstance(verified, Refusal):
        return _refused(verified, jkt)
    return _proof(verified, jkt)


def _proof(claims: VerifiedClaims, jkt: str) -> Proof:
    issued = float(claims["iat"])
    # the moment of the last acceptance counts in full: a second more
    return Proof(jkt=jkt, jti=claims["jti"], iat=issued, replay_until=issued + WINDOW + SKEW + 1)


def _refused(refusal: Refusal, jkt: str | None) -> ProofRefusal:
    return ProofRefusal(code=refusal.code, detail=refusal.detail, unverified_jkt=jkt)


def _request_refusal(  # noqa: PLR0913 - as above
    claims: Mapping[str, Any],
    *,
    method: str,
    url: str,
    now: float,
    ath: str | None,
    nonce_ok: Callable[[str | None], bool] | None,
) -> Refusal | None:
    """Compare the claims with the request: everything that costs less than a signature."""
    for name in ("htm", "htu", "ath", "nonce"):
        if not isinstance(claims.get(name, ""), str):
            return Refusal("malformed", f"claim {name} is not text")
    if len(claims["jti"]) not in _JTI_LENGTHS:
        return Refusal("malformed", "jti has a length out of bounds")
    if claims["htm"] != method:
        return Refusal("method-mismatch", "htm is another method")
    target = normalised(claims["htu"])
    if target is None or target != normalised(url):
        return Refusal("uri-mismatch", "htu is another URI")
    late = check_time(claims, now, PROFILE)
    if late is not None:
        return Refusal("expired" if late.code == "too-old" else late.code, late.detail)
    if ath is not None and not _same(claims.get("ath"), ath):
        return Refusal("missing-ath" if "ath" not in claims else "ath-mismatch")
    if nonce_ok is not None and not nonce_ok(claims.get("nonce")):
        return Refusal("stale-nonce" if "nonce" in claims else "missing-nonce")
    return None


def _same(given: str | None, expected: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


def _embedded_key(jwk: object) -> tuple[PublicKey, str] | Refusal:
    """Return the public P-256 key of a proof's header (section 4.2: never a private one)."""
    if not isinstance(jwk, dict):
        return Refusal("missing-header", "jwk")
    if jwk.keys() == _PLAIN_MEMBERS:
        members = tuple(jwk.values())
        if all(isinstance(member, str) for member in members):
            return _known_key(**jwk)
    if jwk.keys() - _JWK_MEMBERS - PRIVATE_MEMBERS:
        return Refusal("unusable-key", "the key has unknown members")
    return _imported(jwk)


@lru_cache(maxsize=4096)
def _known_key(*, kty: str, crv: str, x: str, y: str) -> tuple[PublicKey, str] | Refusal:
    """Import a key once: an agent signs many proofs with it. Bounded, and public keys only."""
    return _imported({"kty": kty, "crv": crv, "x": x, "y": y})


def _imported(jwk: Mapping[str, Any]) -> tuple[PublicKey, str] | Refusal:
    key = parse_embedded_key(jwk, PROFILE)
    if isinstance(key, Refusal):
        return key
    if not _full_length(jwk):
        return Refusal("unusable-key", "a coordinate has another length (RFC 7518 6.2.1.2)")
    return key, thumbprint(jwk)


def _full_length(jwk: Mapping[str, Any]) -> bool:
    return all(len(decode_base64url(jwk[name])) == _COORDINATE_BYTES for name in ("x", "y"))


def _jkt(jwk: object) -> str | None:
    try:
        return thumbprint(jwk) if isinstance(jwk, dict) else None
    except ValueError:
        return None


def _peeked_jkt(proof: str) -> str | None:
    seen = peek(proof, max_length=MAX_LENGTH)
    return _jkt(seen.header.get("jwk")) if isinstance(seen, UnverifiedToken) else None
