"""Authorization server metadata (RFC 8414): what clients configure themselves by.

- A client assertion's `aud` is the `issuer` of this document, not the token endpoint.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.identity.names import AUTH_ISSUER, TOKEN_ENDPOINT
from iamrange.identity.tokens.credentials import Method
from iamrange.identity.tokens.issue import EXCHANGE
from iamrange.identity.tokens.keys import KeyDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.tokens.settings import TokenSettings

METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path
REVOKE_PATH: Final = "/oauth/revoke"
INTROSPECT_PATH: Final = "/oauth/introspect"
REGISTER_PATH: Final = "/oauth/register"
KEYS_PATH: Final = "/oauth/jwks"
_ALGORITHMS: Final = ("ES256",)


def metadata(
    resources: Mapping[str, frozenset[str] | None],
    settings: TokenSettings,
    *,
    certificates: bool,
    svids: bool,
) -> dict[str, Any]:
    """Return the document; `certificates` and `svids` tell which methods can work here."""
    methods = [Method.PRIVATE_KEY_JWT.value, "self_signed_tls_client_auth"]
    if certificates:
        methods.append(Method.CERTIFICATE.value)
    if svids:
        methods.append(Method.SPIFFE_JWT.value)
    if settings.unsafe_accepts_client_secret:
        methods += [Method.SECRET_BASIC.value, Method.SECRET_POST.value]
    scopes = sorted(frozenset[str]().union(*(known for known in resources.values() if known)))
    document = {
        "issuer": AUTH_ISSUER,
        "token_endpoint": TOKEN_ENDPOINT,
        "jwks_uri": AUTH_ISSUER + KEYS_PATH,
        "revocation_endpoint": AUTH_ISSUER + REVOKE_PATH,
        "introspection_endpoint": AUTH_ISSUER + INTROSPECT_PATH,
        "scopes_supported": scopes,
        # RFC 8414 section 2 requires the member and section 3.2 forbids an empty list; there is no
        # authorization endpoint to ask for a response type
        "response_types_supported": ["none"],
        "grant_types_supported": ["client_credentials", EXCHANGE],
        "dpop_signing_alg_values_supported": list(_ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": not settings.unsafe_unbound_certificates,
        # RFC 8705 section 5: one listener takes clients with and without a certificate
        "mtls_endpoint_aliases": {
            "token_endpoint": TOKEN_ENDPOINT,
            "revocation_endpoint": AUTH_ISSUER + REVOKE_PATH,
            "introspection_endpoint": AUTH_ISSUER + INTROSPECT_PATH,
        },
        "protected_resources": sorted(resources),
    }
    for endpoint in ("token", "revocation", "introspection"):
        document[f"{endpoint}_endpoint_auth_methods_supported"] = methods
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(_ALGORITHMS)
    if settings.unsafe_open_registration:
        document["registration_endpoint"] = AUTH_ISSUER + REGISTER_PATH
    return document


def metadata_document(document: Mapping[str, Any]) -> KeyDocument:
    """Return the document ready to send, with its entity tag."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return KeyDocument(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
