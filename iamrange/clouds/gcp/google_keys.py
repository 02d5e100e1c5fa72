"""Google's own signing key: ID tokens of service accounts and the certificates that verify them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from iamrange.clouds.gcp import account_keys
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes

if TYPE_CHECKING:
    from iamrange.clouds.gcp.state import ServiceAccount, State

ISSUER: Final = "https://accounts.google.com"
ID_TOKEN_LIFETIME: Final = 3600
_KEY_ID: Final = "iamrange-google-1"


def id_token(
    state: State, account: ServiceAccount, audience: str, now: float, *, with_email: bool
) -> str:
    """Return an ID token of a service account."""
    claims: dict[str, Any] = {
        "aud": audience,
        "azp": account.unique_id,
        "exp": int(now) + ID_TOKEN_LIFETIME,
        "iat": int(now),
        "iss": ISSUER,
        "sub": account.unique_id,
    }
    if with_email:
        claims |= {"email": account.email, "email_verified": True}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return account_keys.sign_jwt(_KEY_ID, _key(state), payload)


class Certificates:
    """The public endpoints that publish keys."""

    def __init__(self, state: State) -> None:
        """Take the state that holds the keys."""
        self._state = state

    def routes(self) -> tuple[Route, ...]:
        """Return the routes; they need no credentials."""
        accounts = "/service_accounts/v1"
        discovery = ("GET", "/.well-known/openid-configuration", self.discovery)
        issuer = service_routes("accounts.google.com", [discovery], public=True)
        return issuer + service_routes(
            "www.googleapis.com",
            [
                ("GET", "/oauth2/v1/certs", self.x509),
                ("GET", "/oauth2/v3/certs", self.jwks),
                ("GET", "/robot/v1/metadata/x509/{account}", self.account_x509),
                ("GET", f"{accounts}/metadata/x509/{{account}}", self.account_x509),
                ("GET", f"{accounts}/jwk/{{account}}", self.account_jwks),
                ("GET", f"{accounts}/metadata/jwk/{{account}}", self.account_jwks),
                discovery,
            ],
            public=True,
        )

    def x509(self, call: Call) -> Body:
        """Return Google's certificates by key id."""
        del call
        return {_KEY_ID: account_keys.certificate("iamrange", _key(self._state), 1_700_000_000)}

    def jwks(self, call: Call) -> Body:
        """Return Google's keys."""
        del call
        return {"keys": [account_keys.public_jwk(_key(self._state), _KEY_ID)]}

    def account_x509(self, call: Call, account: str) -> Body:
        """Return a service account's certificates by key id."""
        del call
        found = self._state.account(account)
        keys = found.keys.values() if found else ()
        return {key.id: key.certificate_pem for key in keys if not key.disabled}

    def account_jwks(self, call: Call, account: str) -> Body:
        """Return a service account's keys."""
        del call
        found = self._state.account(account)
        keys = found.keys.values() if found else ()
        return {"keys": [key.public_jwk for key in keys if not key.disabled]}

    def discovery(self, call: Call) -> Body:
        """Return the discovery document of accounts.google.com."""
        del call
        return {
            "issuer": ISSUER,
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


def _key(state: State) -> rsa.RSAPrivateKey:
    if state.google_key is None:
        state.google_key = rsa.generate_private_key(
            public_exponent=65537, key_size=account_keys.KEY_BITS
        )
    return state.google_key
