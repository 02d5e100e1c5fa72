"""An OIDC provider's keys: uploaded with it, or fetched by discovery, one fetch per exchange."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iamrange.clouds.fetch import Fetcher, FetchError
from iamrange.jose import GCP, KeySet, Refusal, parse_key_set

if TYPE_CHECKING:
    from collections.abc import Mapping

_OK = 200


async def provider_keys(oidc: Mapping[str, Any], fetcher: Fetcher) -> KeySet | Refusal:
    """Return the keys that may have signed a token of this provider, or why there are none."""
    if inline := oidc.get("jwksJson"):
        return parse_key_set(str(inline).encode(), GCP)
    issuer = str(oidc["issuerUri"])
    discovery = await _document(
        f"{issuer.removesuffix('/')}/.well-known/openid-configuration", fetcher
    )
    if isinstance(discovery, Refusal):
        return discovery
    try:
        document = json.loads(discovery)
    except ValueError:
        return Refusal("unreachable", "the discovery document is not JSON")
    if not isinstance(document, dict) or document.get("issuer", issuer) != issuer:
        return Refusal("unreachable", "the discovery document names another issuer")
    address = document.get("jwks_uri")
    if not isinstance(address, str):
        return Refusal("unreachable", "the discovery document has no jwks_uri")
    keys = await _document(address, fetcher)
    if isinstance(keys, Refusal):
        return keys
    found = parse_key_set(keys, GCP)
    return Refusal("unreachable", found.detail) if isinstance(found, Refusal) else found


async def _document(url: str, fetcher: Fetcher) -> bytes | Refusal:
    try:
        fetched = await fetcher.fetch(url)
    except FetchError as error:
        return Refusal("unreachable", str(error))
    if not fetched.trusted:
        return Refusal("unreachable", "the certificate is not from a trusted authority")
    if fetched.status != _OK:
        return Refusal("unreachable", f"status {fetched.status}")
    return fetched.body
