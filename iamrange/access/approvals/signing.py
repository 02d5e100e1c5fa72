"""The person's signature: made on the person's side, and read here through the strict gate.

- A compact JWS, ES256, typ `approval+jwt`; header members are exactly alg, kid and typ, so that
  no key comes along with it; the claims are exactly those of `CLAIMS`.
- A view is a second, shorter-lived kind of signature, by which a person shows who reads; neither
  is ever taken for the other (RFC 8725 section 3.11).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.model import Verdict
from iamrange.access.approvals.settings import LONGEST
from iamrange.jose.gate import Refusal, UnverifiedToken, parse
from iamrange.jose.keys import parse_key_set
from iamrange.jose.profile import strict
from iamrange.jose.verify import verify_signature

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iamrange.access.approvals.model import ApprovalRequest
    from iamrange.identity.directory.model import AgentKey
    from iamrange.jose.profile import Profile
    from iamrange.jose.sign import SigningKey
    from iamrange.jose.verify import VerifiedClaims

TYPE: Final = "approval+jwt"
CLAIMS: Final = frozenset(
    {"approval_id", "request_digest", "decision", "approver", "iat", "exp", "jti"}
)
VIEW_TYPE: Final = "approval-view+jwt"
VIEW_CLAIMS: Final = frozenset({"viewer", "htm", "htu", "iat", "exp", "jti"})
VIEW_LIFE: Final = 60
_JTI: Final = range(16, 65)


def _profile(typ: str, claims: frozenset[str], life: int) -> Profile:
    # a decision's end is the request's: there is no leeway after it
    return replace(
        strict(typ),
        max_length=4096,
        required_claims=claims,
        max_lifetime=life,
        expiry_leeway=0,
    )


PROFILE: Final = _profile(TYPE, CLAIMS, LONGEST)
VIEW_PROFILE: Final = _profile(VIEW_TYPE, VIEW_CLAIMS, VIEW_LIFE)


def sign_decision(
    key: SigningKey, request: ApprovalRequest, *, verdict: Verdict, approver: str, now: float
) -> str:
    """Return a person's signature on a request; `now` is the moment that the service named."""
    claims = {
        "approval_id": request.id,
        "request_digest": request.digest(),
        "decision": verdict.value,
        "approver": approver,
        "iat": int(now),
        "exp": request.expires,
        "jti": secrets.token_urlsafe(16),
    }
    return key.sign(claims, typ=TYPE)


def sign_view(key: SigningKey, *, viewer: str, method: str, url: str, now: float) -> str:
    """Return a person's signature on one look at a list."""
    claims = {
        "viewer": viewer,
        "htm": method,
        "htu": url,
        "iat": int(now),
        "exp": int(now) + VIEW_LIFE,
        "jti": secrets.token_urlsafe(16),
    }
    return key.sign(claims, typ=VIEW_TYPE)


def read(text: str, profile: Profile) -> UnverifiedToken | Refusal:
    """Return a signature's parts if its form is right, unverified; else why not.

    Every claim is text but the dates, and there is no other: an unknown claim is one that somebody
    believes in and nobody checks.
    """
    token = parse(text, profile)
    if isinstance(token, Refusal):
        return token
    claims = token.unverified_claims
    if claims.keys() != profile.required_claims:
        return Refusal("malformed", "claims expected exactly those of the profile")
    texts = profile.required_claims - {"iat", "exp"}
    if not all(isinstance(claims[name], str) for name in texts):
        return Refusal("malformed", "a claim is not text")
    if len(claims["jti"]) not in _JTI or not claims["jti"].isprintable():
        return Refusal("malformed", f"jti expected {_JTI.start} to {_JTI.stop - 1} characters")
    if "decision" in claims and claims["decision"] not in tuple(Verdict):
        return Refusal("malformed", "decision expected approve or deny")
    return token


def signed_by(
    token: UnverifiedToken, keys: Iterable[AgentKey], profile: Profile
) -> VerifiedClaims | Refusal | None:
    """Return the claims if one of a person's keys signed them, else why not.

    None: none of these keys can have, whatever the signature is.
    """
    known = parse_key_set({"keys": [{**key.jwk, "kid": key.kid} for key in keys]}, profile)
    if isinstance(known, Refusal) or not known.candidates(token.header.get("kid"), "ES256"):
        return None
    return verify_signature(token, known, profile)
