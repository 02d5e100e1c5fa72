"""What a caller is told of a refusal: RFC 6749 section 5.2, by the layer and reason behind it.

- The words are fixed: nothing that a caller sent comes back, and nothing that the directory holds.
- Everything about who a client is has one and the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.identity.tokens.http import HttpResponse, json_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.decision import LayerAnswer

STORE_DOWN: Final = "store-down"
_RETRY_AFTER_STORE: Final = "1"


@dataclass(frozen=True, slots=True)
class OAuthError:
    """One error of the protocol."""

    status: int
    error: str
    description: str


_CLIENT: Final = OAuthError(401, "invalid_client", "client authentication failed")
_UNAVAILABLE: Final = OAuthError(
    503, "temporarily_unavailable", "the service cannot decide now, try again"
)
_BY_LAYER: Final[Mapping[str, OAuthError]] = {
    "request": OAuthError(400, "invalid_request", "the request is malformed"),
    "client": _CLIENT,
    "registration": _CLIENT,
    "proof": OAuthError(400, "invalid_dpop_proof", "the DPoP proof was not accepted"),
    "scope": OAuthError(400, "invalid_scope", "a scope is not one that may be granted"),
    "resource": OAuthError(400, "invalid_target", "no token is issued for this resource"),
    "exchange": OAuthError(400, "invalid_request", "the token cannot be exchanged so"),
    "token": OAuthError(400, "invalid_request", "the token cannot be judged"),
    "access": OAuthError(400, "invalid_request", "the token cannot be judged"),
    "limit": OAuthError(429, "temporarily_unavailable", "too many requests, try again later"),
}
_NONCE: Final = OAuthError(
    400, "use_dpop_nonce", "the proof needs the nonce of this answer's DPoP-Nonce header"
)
_BY_REASON: Final[Mapping[str, OAuthError]] = {
    "body-too-large": OAuthError(413, "invalid_request", "the request body is too large"),
    "wrong-content-type": OAuthError(
        400, "invalid_request", "expected one form, application/x-www-form-urlencoded"
    ),
    "query-parameters": OAuthError(
        400, "invalid_request", "parameters belong in the body, not in the URI"
    ),
    "repeated-parameter": OAuthError(400, "invalid_request", "a parameter is given twice"),
    "several-methods": OAuthError(
        400, "invalid_request", "expected one client authentication method"
    ),
    # an unsupported or unreadable way to authenticate is a failure to authenticate
    "unknown-scheme": _CLIENT,
    "malformed-authorization": _CLIENT,
    "missing-grant-type": OAuthError(400, "invalid_request", "grant_type is missing"),
    "unsupported-grant-type": OAuthError(
        400,
        "unsupported_grant_type",
        "expected client_credentials or urn:ietf:params:oauth:grant-type:token-exchange",
    ),
    "missing-token": OAuthError(400, "invalid_request", "token is missing"),
    "missing-client-id": OAuthError(400, "invalid_request", "client_id is missing"),
    "exchange-parameters": OAuthError(
        400, "invalid_request", "a subject or actor token needs the token-exchange grant"
    ),
    "missing-nonce": _NONCE,
    "stale-nonce": _NONCE,
    "no-sender-constraint": OAuthError(
        400,
        "invalid_dpop_proof",
        "tokens are bound to their holder: send a DPoP proof or a client certificate",
    ),
    "several-proofs": OAuthError(400, "invalid_dpop_proof", "expected one DPoP header"),
    "several-resources": OAuthError(
        400, "invalid_target", "a token is for one resource, named once"
    ),
    "scope-widened": OAuthError(
        400, "invalid_scope", "an exchanged token holds no scope beyond the one it is made from"
    ),
    "resource-widened": OAuthError(
        400, "invalid_target", "an exchanged token reaches no further than the one it is made from"
    ),
    "possession-not-proved": OAuthError(
        400, "invalid_dpop_proof", "prove possession of the key that the subject token is bound to"
    ),
    "certificate-not-proved": OAuthError(
        400, "invalid_request", "use the certificate that the subject token is bound to"
    ),
    STORE_DOWN: _UNAVAILABLE,
}


def error_of(refusal: LayerAnswer) -> OAuthError:
    """Return the error that a refusing layer means."""
    if refusal.layer in ("client", "registration") and refusal.reason != STORE_DOWN:
        return _CLIENT
    return _BY_REASON.get(refusal.reason) or _BY_LAYER[refusal.layer]


def refusal_response(
    refusal: LayerAnswer,
    request_id: str,
    *,
    challenged: bool = False,
    extra: tuple[tuple[str, str], ...] = (),
) -> HttpResponse:
    """Return the answer; `challenged` tells that the client used the Authorization header."""
    error = error_of(refusal)
    headers = [("x-request-id", request_id), *extra]
    if error.status == 401 and challenged:  # noqa: PLR2004 - RFC 6749 section 5.2 asks for it
        headers.append(("www-authenticate", 'Basic realm="iamrange"'))
    if error.status == 429:  # noqa: PLR2004 - RFC 6585 section 4
        headers.append(("retry-after", refusal.detail or _RETRY_AFTER_STORE))
    if error is _UNAVAILABLE:
        headers.append(("retry-after", _RETRY_AFTER_STORE))
    body = {
        "error": error.error,
        "error_description": error.description,
        "request_id": request_id,
    }
    return json_response(error.status, body, tuple(headers))
