"""IAM Credentials: short-lived credentials of a service account for whoever may impersonate it.

- A delegation chain is walked link by link: each link must let the one before it through.
- What is signed here carries the account's own system-managed key.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp import account_keys
from iamrange.clouds.gcp.errors import ApiError, invalid_argument
from iamrange.clouds.gcp.google_keys import id_token
from iamrange.clouds.gcp.state import AccessToken, ServiceAccount
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes

if TYPE_CHECKING:
    from iamrange.clouds.gcp.access import Access
    from iamrange.clouds.gcp.org_policy import OrganizationPolicies
    from iamrange.clouds.gcp.service_accounts import ServiceAccounts
    from iamrange.core.clock import Clock

HOST: Final = "iamcredentials.googleapis.com"
DEFAULT_LIFETIME: Final = 3600
MAX_LIFETIME: Final = 43_200
_ONE: Final = "/v1/projects/{project}/serviceAccounts/{account}"
# The reference asks for the full name; a bare address or unique id is what google-auth's callers
# write, and names the same account.
_DELEGATE: Final = re.compile(r"(?:projects/-/serviceAccounts/)?([^/]+@[^/]+|\d+)")
_DURATION: Final = re.compile(r"(-?\d{1,12}(?:\.\d{1,9})?)s")
_SCOPE: Final = re.compile(
    r"https://(?:www\.googleapis\.com/auth/|mail\.google\.com/)\S*|openid|email|profile"
)
_MAX_JWT_LIFETIME: Final = 43_200
_MAX_DELEGATES: Final = 4


class Credentials:
    """The four methods."""

    def __init__(
        self,
        access: Access,
        accounts: ServiceAccounts,
        organization_policies: OrganizationPolicies,
        wall: Clock,
    ) -> None:
        """Take the shared access, the accounts, the policies and the clock clients sign by."""
        self._access = access
        self._accounts = accounts
        self._organization_policies = organization_policies
        self._wall = wall

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            HOST,
            [
                ("POST", _ONE + ":generateAccessToken", self.generate_access_token),
                ("POST", _ONE + ":generateIdToken", self.generate_id_token),
                ("POST", _ONE + ":signJwt", self.sign_jwt),
                ("POST", _ONE + ":signBlob", self.sign_blob),
            ],
        )

    def generate_access_token(self, call: Call, project: str, account: str) -> Body:
        """Return an access token of the account."""
        body = call.json()
        scopes = body.get("scope")
        if not isinstance(scopes, list) or not scopes:
            raise invalid_argument("Request contains an invalid argument: scope is required.")
        if not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in scopes):
            raise invalid_argument("Request contains an invalid argument: scope is not known.")
        lifetime = _lifetime(body.get("lifetime"))
        found = self._impersonated(call, body, project, account, "getAccessToken")
        if lifetime > DEFAULT_LIFETIME:
            self._organization_policies.require_longer_lifetime(call, found.project, found.email)
        if lifetime > MAX_LIFETIME:
            raise invalid_argument(
                f"Access tokens for service account {found.email} can not have lifetimes of more "
                "than 12 hours."
            )
        expires = self._access.clock.now() + lifetime
        token = AccessToken(
            found.caller, expires, "service-account", tuple(scopes), found.unique_id
        )
        moment = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"accessToken": self._access.state.issue_token(token), "expireTime": moment}

    def generate_id_token(self, call: Call, project: str, account: str) -> Body:
        """Return an ID token of the account, signed by Google."""
        body = call.json()
        audience = body.get("audience")
        if not _is_text(audience):
            raise invalid_argument("Request contains an invalid argument: audience is required.")
        found = self._impersonated(call, body, project, account, "getOpenIdToken")
        token = id_token(
            self._access.state,
            found,
            str(audience),
            self._access.clock.now(),
            with_email=bool(body.get("includeEmail")),
        )
        return {"token": token}

    def sign_jwt(self, call: Call, project: str, account: str) -> Body:
        """Sign a claims set that the caller made."""
        body = call.json()
        payload = body.get("payload")
        self._check_claims(payload)
        found = self._impersonated(call, body, project, account, "signJwt")
        key_id, private = account_keys.system_key(found, self._access.clock.now())
        signed = account_keys.sign_jwt(key_id, private, str(payload).encode())
        return {"keyId": key_id, "signedJwt": signed}

    def sign_blob(self, call: Call, project: str, account: str) -> Body:
        """Sign bytes."""
        body = call.json()
        try:
            payload = base64.b64decode(str(body.get("payload") or ""), validate=True)
        except ValueError as error:
            raise invalid_argument("Invalid value at 'payload': base64 is expected.") from error
        found = self._impersonated(call, body, project, account, "signBlob")
        key_id, private = account_keys.system_key(found, self._access.clock.now())
        signature = base64.b64encode(account_keys.sign(private, payload)).decode("ascii")
        return {"keyId": key_id, "signedBlob": signature}

    def _impersonated(
        self, call: Call, body: Body, project: str, account: str, verb: str
    ) -> ServiceAccount:
        """Return the account, if the caller, through its delegates, may use it this way.

        Raises:
            ApiError: 403, 404, or 400 for an account that is disabled.
        """
        if project != "-":
            raise invalid_argument("The project must be the wildcard '-'.")
        delegates = body.get("delegates") or []
        if not isinstance(delegates, list) or len(delegates) > _MAX_DELEGATES:
            raise invalid_argument("Invalid value at 'delegates'.")
        asker = call.caller
        try:
            for name in delegates:
                match = _DELEGATE.fullmatch(str(name))
                if match is None:
                    raise invalid_argument(
                        "Invalid value at 'delegates': projects/-/serviceAccounts/NAME is expected."
                    )
                link = self._accounts.find(
                    call, "-", match[1], "iam.serviceAccounts.implicitDelegation"
                )
                _must_be_enabled(link)
                call.caller = link.caller
            found = self._accounts.find(call, "-", account, f"iam.serviceAccounts.{verb}")
        finally:
            call.caller = asker
        _must_be_enabled(found)
        return found

    def _check_claims(self, payload: Any) -> None:  # noqa: ANN401 - any JSON value
        try:
            claims = json.loads(payload) if isinstance(payload, str) else None
        except ValueError:
            claims = None
        if not isinstance(claims, dict):
            raise invalid_argument("The payload must be a JSON object, as text.")
        expires = claims.get("exp")
        if expires is None:
            return
        now = self._wall.now()
        if isinstance(expires, bool) or not isinstance(expires, int) or expires <= now:
            raise invalid_argument("The exp claim must be an integer that is not in the past.")
        if expires - now > _MAX_JWT_LIFETIME:
            raise invalid_argument("The exp claim must be at most 12 hours in the future.")


def _lifetime(text: Any) -> float:  # noqa: ANN401 - any JSON value
    if text is None:
        return DEFAULT_LIFETIME
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise invalid_argument("Invalid value at 'lifetime': a duration such as '3600s'.")
    seconds = float(match[1])
    if seconds <= 0:
        raise invalid_argument("Lifetime of access token must be larger then zero.")
    return seconds


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _must_be_enabled(account: ServiceAccount) -> None:
    if account.disabled:
        raise ApiError("FAILED_PRECONDITION", f"Service account {account.email} is disabled.")
