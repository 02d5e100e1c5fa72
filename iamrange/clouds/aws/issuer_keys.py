"""An issuer's keys, fetched as STS fetches them: discovery document, then JWKS.

- Nothing is cached: a key that the issuer withdrew is gone with the next call.
- A certificate that the trusted authorities vouch for needs no thumbprint (since 2023-07); any
  other must be pinned by the provider: the SHA-1 of the topmost certificate that the peer sends.
- IAM takes the issuer's own thumbprint when a provider is made without one (`thumbprints`).
"""

from __future__ import annotations

import contextlib
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
        """Fetch through this port."""
        self._fetcher = fetcher

    async def thumbprints(self, issuer: str) -> tuple[str, ...] | Refusal:
        """Return the thumbprints of an issuer, and of the host of its keys if that is another.

        Any answer will do, because only the certificate counts. An issuer without TLS, which only
        a map of names can bring about, has none. The one refusal is `unreachable`.
        """
        url = _discovery_url(issuer)
        try:
            fetched = await self._fetcher.fetch(url)
        except (FetchError, ValueError) as error:
            return Refusal("unreachable", _said(error))
        found = [_thumbprint(fetched)]
        keys_url = _object(fetched.body).get("jwks_uri")
        if isinstance(keys_url, str) and _host(keys_url) != _host(url):
            # The issuer itself answered; whether its keys can be had is told when they are needed.
            with contextlib.suppress(FetchError, ValueError):
                found.append(_thumbprint(await self._fetcher.fetch(keys_url)))
        return tuple(dict.fromkeys(one for one in found if one is not None))

    async def of(self, issuer: str, provider: OidcProviderRecord | None) -> KeySet | Refusal:
        """Return the keys of an issuer, or why they cannot be had; None: a built-in provider.

        The refusals are `unreachable` and `thumbprint-mismatch`.
        """
        base = issuer if issuer.startswith("https://") else f"https://{issuer}"
        body = await self._get(_discovery_url(base), provider)
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
        except (FetchError, ValueError) as error:
            return Refusal("unreachable", _said(error))
        if not fetched.trusted and not _is_pinned(fetched, provider):
            return Refusal("thumbprint-mismatch", _host(url))
        if fetched.status != _OK:
            return Refusal("unreachable", f"HTTP status {fetched.status}")
        return fetched.body


def _said(error: FetchError | ValueError) -> str:
    """Say why nothing was fetched; a ValueError is an issuer's own text that is no URL."""
    return str(error) if isinstance(error, FetchError) else "not a URL"


def _is_pinned(fetched: Fetched, provider: OidcProviderRecord | None) -> bool:
    pins = provider.thumbprints if provider is not None else ()
    return _thumbprint(fetched) in {thumbprint.lower() for thumbprint in pins}


def _thumbprint(fetched: Fetched) -> str | None:
    """Return the SHA-1 of the topmost certificate that the peer sent; None without TLS."""
    if not fetched.chain:
        return None
    return hashlib.sha1(fetched.chain[-1], usedforsecurity=False).hexdigest()


def _discovery_url(issuer: str) -> str:
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = read_json(body)
    except DocumentError:
        return {}
    return value if isinstance(value, Mapping) else {}
