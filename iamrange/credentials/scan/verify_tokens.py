"""Tell whether a signed token still counts: by its issuer's published keys, then by the issuer.

- Only the range's own two issuers are asked, at addresses that are written here.
- An access token is introspected (RFC 7662) as the client that it was issued to: nobody else is
  told. A bound token is live with its key only, and the reason says so.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.scan.live import Answer, dead, live, unknown
from iamrange.identity.names import AUTH_ISSUER, ISSUER
from iamrange.jose import (
    AWS,
    STRICT,
    KeySet,
    Refusal,
    SigningKey,
    parse_key_set,
    peek,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

_TIMEOUT: Final = 10
_DONE: Final = 200
_KEYS: Final = {
    AUTH_ISSUER: f"{AUTH_ISSUER}/oauth/jwks",
    ISSUER: f"{ISSUER}/.well-known/jwks.json",
}
_INTROSPECTION: Final = f"{AUTH_ISSUER}/oauth/introspect"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Holder:
    """A client and its private key, as its home has it."""

    client_id: str
    key: Mapping[str, Any] = field(repr=False)


def token_state(
    token: str, session: requests.Session, holder: Callable[[str], Holder | None], now: float
) -> Answer:
    """Return whether a token is live.

    Raises:
        requests.RequestException: an issuer did not answer.
    """
    seen = peek(token)
    if seen is None:
        return unknown("not well-formed")
    issuer = seen.unverified_claims.get("iss")
    if not isinstance(issuer, str) or issuer not in _KEYS:
        return unknown("its issuer is not one of this range")
    answer = session.get(_KEYS[issuer], timeout=_TIMEOUT, allow_redirects=False)
    profile = AWS if issuer == ISSUER else STRICT  # clouds take RS256, our own services do not
    keys = parse_key_set(answer.content, profile) if answer.status_code == _DONE else None
    if not isinstance(keys, KeySet):
        return unknown("its issuer's keys could not be had")
    claims = verify_signature(seen, keys, profile)
    if isinstance(claims, Refusal):
        return dead(f"{issuer}: {claims.code}")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires <= now:
        return dead(f"{issuer}: expired")
    if issuer == ISSUER:
        return live(f"{issuer}: its keys verify it for {int(expires - now)} s more")
    asking = holder(str(claims.get("client_id", "")))
    if asking is None:
        return unknown("its keys verify it; its client is not here to ask whether it is revoked")
    bound = ", with the key that it is bound to only" if "cnf" in claims else ""
    return _introspected(token, session, asking, int(now), bound)


def _introspected(
    token: str, session: requests.Session, asking: Holder, now: int, bound: str
) -> Answer:
    client = asking.client_id
    answer = session.post(
        _INTROSPECTION,
        data={
            "token": token,
            "client_id": client,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": SigningKey.from_jwk(asking.key).sign(_assertion(client, now)),
        },
        timeout=_TIMEOUT,
        allow_redirects=False,
    )
    if answer.status_code != _DONE:
        return unknown(f"introspection: status {answer.status_code}")
    if answer.json().get("active") is not True:
        return dead("introspection: not active")
    return live(f"introspection: active{bound}")


def _assertion(client: str, now: int) -> dict[str, Any]:
    return {
        "iss": client,
        "sub": client,
        "aud": AUTH_ISSUER,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(16),
    }
