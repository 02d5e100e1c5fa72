"""An issuer's keys, fetched as STS fetches them: discovery document, then JWKS.

- Nothing is cached: a key that the issuer withdrew is gone with the next call.
- A certificate that the trusted authorities vouch for needs no thumbprint (since 2023-07); any
  other must be pinned by the provider: the SHA-1 of the topmost certificate that the peer sends.
- IAM takes the issuer's own thumbprint when a provider is made without one. The embedded store
  cannot fetch, so that is made up for at the provider's first use, and kept from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from iamrange.clouds.fetch import Fetched, Fetcher, FetchError
from iamrange.jose import AWS, KeySet, Refusal, parse_key_set
from iamrange.jose.gate import DocumentError, read_json

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import OidcProviderRecord

_OK: Final = 200

# IAM user guide, "Create an OpenID Connect (OIDC) identity provider in IAM", prerequisites
_REQUIRED: Final = (
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
)


class IssuerKeys:
    """Fetches what issuers publish, and knows which certificates may vouch for it."""

    def __init__(self, fetcher: Fetcher) -> None:
        """Fetch through this port; nothing is pinned yet."""
        self._fetcher = fetcher
        self._first_seen: dict[tuple[str, str], str] = {}

    async def of(self, issuer: str, provider: OidcProviderRecord | None) -> KeySet | Refusal:
        """Return the keys of an issuer, or why they cannot be had; None: a built-in provider.

        The refusals are `unreachable` and `thumbprint-mismatch`.
        """
        base = issuer if issuer.startswith("https://") else f"https://{issuer}"
        url = f"{base.removesuffix('/')}/.well-known/openid-configuration"
        body = await self._get(url, provider)
        if isinstance(body, Refusal):
            return body
        discovery = _object(body)
        if any(not discovery.get(name) for name in _REQUIRED):
            return Refusal("unreachable", "the discovery document lacks a required member")
        # OpenID Connect Discovery 1.0, section 4.3: the issuer must be the one that was asked
        if discovery["issuer"] not in (issuer, base) or not isinstance(discovery["jwks_uri"], str):
            return Refusal("unreachable", "the discovery document is for another issuer")
        body = await self._get(discovery["jwks_uri"], provider)
        if isinstance(body, Refusal):
            return body
        keys = parse_key_set(body, AWS)
        return Refusal("unreachable", keys.detail) if isinstance(keys, Refusal) else keys

    async def _get(self, url: str, provider: OidcProviderRecord | None) -> bytes | Refusal:
        try:
            fetched = await self._fetcher.fetch(url)
        except FetchError as error:
            return Refusal("unreachable", str(error))
        if not fetched.trusted and not self._is_pinned(url, fetched, provider):
            return Refusal("thumbprint-mismatch", urlsplit(url).hostname or "")
        if fetched.status != _OK:
            return Refusal("unreachable", f"HTTP status {fetched.status}")
        return fetched.body

    def _is_pinned(self, url: str, fetched: Fetched, provider: OidcProviderRecord | None) -> bool:
        if provider is None or not fetched.chain:
            return False
        top = hashlib.sha1(fetched.chain[-1], usedforsecurity=False).hexdigest()
        if provider.thumbprints:
            return top in {thumbprint.lower() for thumbprint in provider.thumbprints}
        place = (provider.arn, urlsplit(url).hostname or "")
        return self._first_seen.setdefault(place, top) == top


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = read_json(body)
    except DocumentError:
        return {}
    return value if isinstance(value, Mapping) else {}
