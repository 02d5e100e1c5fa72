"""Who calls: opaque access tokens, and JWTs that a service account's key signed itself.

- A token's own fate is looked at on each call: its expiry, its account, its pool. A provider that
  was disabled since leaves its tokens working, a pool does not
  (cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools).
- Some APIs take no federated token (`NO_FEDERATED`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.clouds.gcp import account_jwt
from iamrange.clouds.gcp.errors import ApiError, unauthenticated
from iamrange.clouds.gcp.principals import ANONYMOUS, Caller
from iamrange.clouds.gcp.state import AccessToken, hash_token
from iamrange.core.decision import Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from iamrange.clouds.gcp.access import Access
    from iamrange.clouds.gcp.wire import Call
    from iamrange.core.clock import Clock

POINT: Final = "gcp.authenticate"
LAYER: Final = "access-token"
NO_FEDERATED: Final = frozenset({"openidconnect.googleapis.com", ""})
"""Services that know Google identities only, and whatever is not served here."""

_CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"
_MESSAGES: Final = {
    "missing": (
        "CREDENTIALS_MISSING",
        (
            "Request is missing required authentication credential. Expected OAuth 2 access "
            "token, login cookie or other valid authentication credential."
        ),
    ),
    "expired": ("ACCESS_TOKEN_EXPIRED", ""),
    "insufficient-scope": ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", ""),
    "account-disabled": ("ACCOUNT_STATE_INVALID", ""),
    "lifetime-too-long": (
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "Invalid JWT: the lifetime of a self-signed token cannot exceed 3600 seconds.",
    ),
}
_INVALID: Final = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


class Authenticator:
    """Finds the caller of each request."""

    def __init__(self, access: Access, wall: Clock) -> None:
        """Take the shared access, and the clock that clients sign by."""
        self._access = access
        self._wall = wall

    def authenticate(self, call: Call) -> Caller:
        """Return the caller, having written the record.

        Raises:
            ApiError: 401, or 403 for a token without the scope.
        """
        caller, reason = self._look_up(call)
        call.caller = caller
        effect = Effect.ALLOW if reason == "valid" else Effect.DENY
        outcome, _ = self._access.decide(
            call, POINT, call.service, call.path, (LayerAnswer(LAYER, effect, reason),), combine
        )
        if outcome is Outcome.DENY:
            raise _refusal(reason, call.service)
        return caller

    def _look_up(self, call: Call) -> tuple[Caller, str]:
        scheme, _, text = call.headers.get("authorization", "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            return ANONYMOUS, "missing"
        token = self._access.state.tokens.get(hash_token(text))
        if token is not None:
            return token.caller, self._token_reason(token, call.service)
        if text.startswith("ey") and text.count(".") == 2:  # noqa: PLR2004 - the shape says it
            return self._self_signed(text, call.service)
        return ANONYMOUS, "unknown"

    def _token_reason(self, token: AccessToken, service: str) -> str:
        if token.expires <= self._access.clock.now():
            return "expired"
        if token.account_id:
            account = self._access.state.accounts.get(token.account_id)
            if account is None or account.disabled or account.deleted_at is not None:
                return "account-disabled"
        if token.caller.federated is not None:
            if service in NO_FEDERATED:
                return "federated-not-accepted"
            if not self._pool_is_live(token.caller.federated.pool):
                return "pool-disabled"
        return "valid" if scope_allows(token.scopes, service) else "insufficient-scope"

    def _pool_is_live(self, name: str) -> bool:
        _, number, _, _, _, pool_id = name.split("/")
        pool = self._access.state.pools.get((number, pool_id))
        return pool is not None and pool.deleted_at is None and not pool.document.get("disabled")

    def _self_signed(self, text: str, service: str) -> tuple[Caller, str]:
        """Judge a self-signed JWT (google.aip.dev/auth/4111): an audience or a scope, not both."""
        jwt = account_jwt.read(text, self._access.state, self._wall, self._access.clock.now())
        caller = jwt.account.caller if jwt.account else ANONYMOUS
        if jwt.first_refusal is not None:
            return caller, jwt.first_refusal.code
        claims = jwt.unverified_claims
        if claims.get("sub", claims["iss"]) != claims["iss"]:
            return caller, "subject-not-issuer"
        scope, audience = claims.get("scope"), claims.get("aud")
        if scope is not None:
            named = tuple(scope.split()) if isinstance(scope, str) else ()
            fits = bool(named) and scope_allows(named, service)
            return caller, "valid" if fits else "insufficient-scope"
        if not isinstance(audience, str) or audience.rstrip("/") != f"https://{service}":
            return caller, "wrong-audience"
        return caller, "valid"


def combine(layers: tuple[LayerAnswer, ...]) -> tuple[Outcome, str]:
    """Return the outcome: every layer must allow."""
    refusing = next((layer for layer in layers if layer.refuses), None)
    if refusing is not None:
        return Outcome.DENY, refusing.reason
    return Outcome.ALLOW, "authenticated"


def scope_allows(scopes: tuple[str, ...], service: str) -> bool:
    """Tell whether a token's scopes reach a service; an administrator's has none, and does."""
    if not scopes or _CLOUD_PLATFORM in scopes:
        return True
    narrow = {
        "iamcredentials.googleapis.com": {"https://www.googleapis.com/auth/iam"},
        "iam.googleapis.com": {"https://www.googleapis.com/auth/iam"},
        "openidconnect.googleapis.com": {
            "openid",
            "email",
            "https://www.googleapis.com/auth/userinfo.email",
        },
    }
    return bool(narrow.get(service, set()) & set(scopes))


def _refusal(reason: str, service: str) -> ApiError:
    code, message = _MESSAGES.get(reason, ("ACCESS_TOKEN_TYPE_UNSUPPORTED", ""))
    if reason == "insufficient-scope":
        return ApiError(
            "PERMISSION_DENIED",
            "Request had insufficient authentication scopes.",
            [_info(code, service)],
        )
    return unauthenticated(code, message or _INVALID, service)


def _info(reason: str, service: str) -> dict[str, object]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": service},
    }
