"""An issuer's keys, fetched as STS fetches them: discovery document, then JWKS.

- Nothing is cached: a key that the issuer withdrew is gone with the next call.
- A certificate that the trusted authorities vouch for needs no thumbprint (since 2023-07); any
  other must be pinned by the provider: the SHA-1 of the topmost certificate that the peer sends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from iamrange.clouds.fetch import Fetched, Fetcher, FetchError
from iamrange.jose import AWS, KeySet, Refusal, parse_key_set
from iamrange.jose.gate import DocumentError, read_json

_OK: Final = 200

# IAM user guide, "Create an OpenID Connect (OIDC) identity provider in IAM", prerequisites
_REQUIRED: Final = (
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
)


async def issuer_keys(
    fetcher: Fetcher, issuer: str, thumbprints: tuple[str, ...]
) -> KeySet | Refusal:
    """Return the keys that an issuer publishes, or why they cannot be had.

    The refusals are `unreachable` and `thumbprint-mismatch`.
    """
    base = issuer if issuer.startswith("https://") else f"https://{issuer}"
    document = await _get(fetcher, f"{base.removesuffix('/')}/.well-known/openid-configuration")
    if isinstance(document, Refusal):
        return document
    if not _is_pinned(document, thumbprints):
        return Refusal("thumbprint-mismatch", "discovery document")
    discovery = _object(document.body)
    if any(not discovery.get(name) for name in _REQUIRED):
        return Refusal("unreachable", "the discovery document lacks a required member")
    # OpenID Connect Discovery 1.0, section 4.3: the issuer must be the one that was asked
    if discovery["issuer"] != issuer or not isinstance(discovery["jwks_uri"], str):
        return Refusal("unreachable", "the discovery document is for another issuer")
    key_set = await _get(fetcher, discovery["jwks_uri"])
    if isinstance(key_set, Refusal):
        return key_set
    if not _is_pinned(key_set, thumbprints):
        return Refusal("thumbprint-mismatch", "key set")
    keys = parse_key_set(key_set.body, AWS)
    return Refusal("unreachable", keys.detail) if isinstance(keys, Refusal) else keys


async def _get(fetcher: Fetcher, url: str) -> Fetched | Refusal:
    try:
        fetched = await fetcher.fetch(url)
    except FetchError as error:
        return Refusal("unreachable", str(error))
    if fetched.status != _OK:
        return Refusal("unreachable", f"HTTP status {fetched.status}")
    return fetched


def _is_pinned(fetched: Fetched, thumbprints: tuple[str, ...]) -> bool:
    if fetched.trusted:
        return True
    if not fetched.chain:
        return False
    top = hashlib.sha1(fetched.chain[-1], usedforsecurity=False).hexdigest()
    return top in {thumbprint.lower() for thumbprint in thumbprints}


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = read_json(body)
    except DocumentError:
        return {}
    return value if isinstance(value, Mapping) else {}
