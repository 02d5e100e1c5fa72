"""What a protected resource tells a client that it refused: status, error, challenges.

- RFC 6750 section 3, RFC 9449 sections 7.1 and 9, RFC 9728 section 5.1.
- Descriptions are constants: they say what kind of refusal it was, and hold nothing of the
  request. The exact reason is in the decision record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iamrange.identity.dpop import ALGORITHMS
from iamrange.identity.presentation import Scheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class Fault:
    """The status and OAuth error of a kind of refusal."""

    status: int
    error: str
    description: str


_NO_ERROR: Final = ""
UNAVAILABLE: Final = Fault(503, "temporarily_unavailable", "a store or key set is away")
_INVALID_REQUEST: Final = "invalid_request"
_INVALID_TOKEN: Final = "invalid_token"  # noqa: S105 - an error code
_INVALID_PROOF: Final = "invalid_dpop_proof"
_BY_REASON: Final[Mapping[tuple[str, str], Fault]] = {
    # RFC 6750 section 3.1: whoever sent no credentials is told of no error
    ("presentation", "no-token"): Fault(401, _NO_ERROR, "an access token is needed"),
    ("presentation", "too-long"): Fault(431, _INVALID_REQUEST, "the header is too long"),
    ("proof", "missing-nonce"): Fault(401, "use_dpop_nonce", "the proof needs the given nonce"),
    ("proof", "stale-nonce"): Fault(401, "use_dpop_nonce", "the proof needs the given nonce"),
    ("keys", "keys-unavailable"): UNAVAILABLE,
    ("proof", "replay-unavailable"): UNAVAILABLE,
    ("revocation", "revocation-unavailable"): UNAVAILABLE,
}
_BY_LAYER: Final[Mapping[str, Fault]] = {
    "presentation": Fault(
        400, _INVALID_REQUEST, "a token is presented once, in the Authorization header"
    ),
    "token": Fault(401, _INVALID_TOKEN, "the access token is malformed"),
    "keys": Fault(401, _INVALID_TOKEN, "the access token is not signed by a known key"),
    "signature": Fault(401, _INVALID_TOKEN, "the access token is not signed by a known key"),
    "issuer": Fault(401, _INVALID_TOKEN, "the access token is by another issuer"),
    "audience": Fault(401, _INVALID_TOKEN, "the access token is for another resource"),
    "time": Fault(401, _INVALID_TOKEN, "the access token is not valid now"),
    "binding": Fault(401, _INVALID_TOKEN, "the access token is bound to another key"),
    "proof": Fault(401, _INVALID_PROOF, "the DPoP proof does not hold"),
    "revocation": Fault(401, _INVALID_TOKEN, "the access token is revoked"),
    "scope": Fault(403, "insufficient_scope", "the access token lacks a scope"),
}


def fault(layer: str, reason: str) -> Fault:
    """Return what a refusal of this layer for this reason is called outside."""
    return _BY_REASON.get((layer, reason)) or _BY_LAYER[layer]


def metadata_url(resource: str) -> str:
    """Return where the metadata of a resource is (RFC 9728 section 3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{METADATA_PATH}{parts.path.rstrip('/')}"


def challenges(
    resource: str, answer: Fault, *, scheme: Scheme | None, scopes: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Return the `WWW-Authenticate` headers: both schemes, the error with the one it is about."""
    if answer.status not in (400, 401, 403):
        return ()
    about = Scheme.DPOP if "dpop" in answer.error or scheme is None else scheme
    told = {"error": answer.error, "error_description": answer.description}
    named = {"scope": " ".join(sorted(scopes)), "resource_metadata": metadata_url(resource)}
    headers = []
    # requests-oauth2client takes each 401 whose first challenge is DPoP for a demand for a nonce,
    # and fails when that is the one it has used; the order means nothing (RFC 9110 section 11.6.1)
    wants_nonce = answer.error == "use_dpop_nonce"
    for one in (Scheme.DPOP, Scheme.BEARER) if wants_nonce else (Scheme.BEARER, Scheme.DPOP):
        parameters = {
            **(told if one is about and answer.error else {}),
            **({"algs": " ".join(ALGORITHMS)} if one is Scheme.DPOP else {}),
            **named,
        }
        text = ", ".join(f'{name}="{_quotable(v)}"' for name, v in parameters.items() if v)
        headers.append(("WWW-Authenticate", f"{one.value} {text}"))
    return tuple(headers)


def _quotable(text: str) -> str:
    return text.replace("\\", "").replace('"', "")
