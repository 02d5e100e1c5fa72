"""oauth2.googleapis.com: tokens for service-account keys (RFC 7523), and what tokens stand for.

- Only the JWT-bearer grant is served; there are no people who could consent.
- A subject other than the issuer needs domain-wide delegation, which no account here has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp import account_jwt
from iamrange.clouds.gcp.errors import OAuthError
from iamrange.clouds.gcp.form import Form, read_form
from iamrange.clouds.gcp.google_keys import id_token
from iamrange.clouds.gcp.state import AccessToken, hash_token
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes
from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.gcp.access import Access
    from iamrange.core.clock import Clock

POINT: Final = "gcp.service-account-key"
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME: Final = 3600
AUDIENCES: Final = (
    "https://oauth2.googleapis.com/token",
    "https://www.googleapis.com/oauth2/v4/token",
    "https://accounts.google.com/o/oauth2/token",
)
_SHORT_LIVED: Final = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim. The lifetime cannot exceed 3600 seconds."
)
_ANSWERS: Final = {
    "unsupported-grant-type": ("unsupported_grant_type", "Invalid grant_type."),
    "unknown-account": ("invalid_grant", "Invalid grant: account not found"),
    "account-disabled": ("invalid_grant", "Invalid grant: account is disabled"),
    "unknown-key": ("invalid_grant", "Invalid JWT Signature."),
    "key-disabled": ("invalid_grant", "Invalid JWT Signature."),
    "key-expired": ("invalid_grant", "Invalid JWT Signature."),
    "signature-mismatch": ("invalid_grant", "Invalid JWT Signature."),
    "lifetime-too-long": ("invalid_grant", _SHORT_LIVED),
    "expired": ("invalid_grant", _SHORT_LIVED),
    "not-yet-valid": ("invalid_grant", _SHORT_LIVED),
    "wrong-audience": ("invalid_grant", "Invalid JWT: Failed audience check."),
    "delegation-not-granted": (
        "unauthorized_client",
        (
            "Client is unauthorized to retrieve access tokens using this method, or client not "
            "authorized for any of the scopes requested."
        ),
    ),
    "missing-scope": ("invalid_scope", "Empty or missing scope not allowed."),
    "invalid-scope": ("invalid_scope", "Invalid OAuth scope or ID token audience provided."),
    "duplicate-parameter": ("invalid_request", "A parameter is given more than once."),
}


class OAuth2:
    """The token endpoint, and the endpoints that tell about tokens."""

    def __init__(self, access: Access, wall: Clock) -> None:
        """Take the shared access and the clock that clients sign by."""
        self._access = access
        self._wall = wall

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        public = service_routes(
            "oauth2.googleapis.com",
            [
                ("POST", "/token", self.token),
                ("POST", "/oauth2/v4/token", self.token),
                ("GET", "/tokeninfo", self.token_info),
                ("POST", "/tokeninfo", self.token_info),
                ("GET", "/oauth2/v3/tokeninfo", self.token_info),
            ],
            public=True,
        )
        user_info = service_routes(
            "openidconnect.googleapis.com",
            [
                ("GET", "/v1/userinfo", self.user_info),
                ("GET", "/oauth2/v1/userinfo", self.user_info),
                ("GET", "/oauth2/v2/userinfo", self.user_info),
                ("GET", "/oauth2/v3/userinfo", self.user_info),
            ],
        )
        return (*public, *user_info)

    def token(self, call: Call) -> Body:
        """Return an access token, or an ID token, for an assertion.

        Raises:
            OAuthError: the assertion is refused.
        """
        form = read_form(call.body)
        now = self._access.clock.now()
        assertion = form.values.get("assertion", "")
        jwt = account_jwt.read(assertion, self._access.state, self._wall, now)
        claims = jwt.unverified_claims
        layers = [_answer("request", _request_refusal(form))]
        layers += [_answer(name, jwt.refusals.get(name)) for name in account_jwt.LAYERS]
        wrong = claims.get("aud") not in AUDIENCES
        layers.append(_answer("audience", Refusal("wrong-audience") if wrong else None))
        acting = claims.get("sub", claims.get("iss")) != claims.get("iss")
        layers.append(_answer("subject", Refusal("delegation-not-granted") if acting else None))
        scopes, target = tuple(_text(claims, "scope").split()), _text(claims, "target_audience")
        layers.append(_answer("scope", _scope_refusal(claims)))
        if jwt.account is not None:
            call.caller = jwt.account.caller
        outcome, decided = self._access.decide(
            call, POINT, "oauth2.token", call.caller.email, tuple(layers), combine
        )
        if outcome is Outcome.DENY or jwt.account is None:
            raise _refused(decided)
        if target:
            token = id_token(self._access.state, jwt.account, target, now, with_email=True)
            return {"id_token": token}
        issued = AccessToken(
            call.caller, now + LIFETIME, "service-account", scopes, jwt.account.unique_id
        )
        return {
            "access_token": self._access.state.issue_token(issued),
            "expires_in": LIFETIME - 1,
            "token_type": "Bearer",
        }

    def token_info(self, call: Call) -> Body:
        """Tell what an access token stands for.

        Raises:
            OAuthError: it is not a live token of a Google identity.
        """
        text = (
            call.query.get("access_token") or read_form(call.body).values.get("access_token") or ""
        )
        token = self._access.state.tokens.get(hash_token(text))
        now = self._access.clock.now()
        if token is None or token.expires <= now or token.caller.federated is not None:
            raise OAuthError("invalid_token", "Invalid Value")
        remaining = min(token.expires - now, LIFETIME)
        return {
            "azp": token.caller.unique_id,
            "aud": token.caller.unique_id,
            "scope": " ".join(token.scopes),
            "exp": str(int(now + remaining)),
            "expires_in": str(int(remaining)),
            "email": token.caller.email,
            "email_verified": "true",
        }

    def user_info(self, call: Call) -> Body:
        """Tell who calls."""
        caller = call.caller
        return {
            "sub": caller.unique_id or caller.email,
            "email": caller.email,
            "email_verified": True,
        }


def combine(layers: tuple[LayerAnswer, ...]) -> tuple[Outcome, str]:
    """Return the outcome: the first layer that refuses wins."""
    refusing = next((layer for layer in layers if layer.refuses), None)
    return (Outcome.DENY, refusing.reason) if refusing else (Outcome.ALLOW, "assertion-accepted")


def _request_refusal(form: Form) -> Refusal | None:
    if form.problem is not None:
        return form.problem
    if form.values.get("grant_type") != GRANT_TYPE:
        return Refusal("unsupported-grant-type")
    return None if form.values.get("assertion") else Refusal("malformed")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _scope_refusal(claims: Mapping[str, Any]) -> Refusal | None:
    """Refuse an assertion that asks for nothing, or in another form than text."""
    asked = [claims[name] for name in ("scope", "target_audience") if claims.get(name)]
    if not all(isinstance(value, str) for value in asked):
        return Refusal("invalid-scope")
    return None if any(value.strip() for value in asked) else Refusal("missing-scope")


def _answer(layer: str, refusal: Refusal | None) -> LayerAnswer:
    if refusal is None:
        return LayerAnswer(layer, Effect.ALLOW, "passed")
    return LayerAnswer(layer, Effect.DENY, refusal.code, detail=refusal.detail)


def _refused(layers: tuple[LayerAnswer, ...]) -> OAuthError:
    reason = combine(layers)[1]
    error, description = _ANSWERS.get(
        reason, ("invalid_grant", "Invalid JWT: it is not an assertion of a service account.")
    )
    return OAuthError(error, description, 401 if error == "unauthorized_client" else 400)
