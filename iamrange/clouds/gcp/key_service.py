"""Keys of service accounts on the wire: iam.googleapis.com/v1/.../keys."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from iamrange.clouds.gcp import account_keys
from iamrange.clouds.gcp.errors import ApiError, invalid_argument, not_found
from iamrange.clouds.gcp.state import AccountKey, ServiceAccount, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes

if TYPE_CHECKING:
    from iamrange.clouds.gcp.access import Access
    from iamrange.clouds.gcp.org_policy import OrganizationPolicies
    from iamrange.clouds.gcp.service_accounts import ServiceAccounts

CREATION: Final = (
    "iam.disableServiceAccountKeyCreation",
    "iam.managed.disableServiceAccountKeyCreation",
)
UPLOAD: Final = (
    "iam.disableServiceAccountKeyUpload",
    "iam.managed.disableServiceAccountKeyUpload",
)
_KEYS: Final = "/v1/projects/{project}/serviceAccounts/{account}/keys"
_KEY: Final = _KEYS + "/{key}"
_MAX_USER_KEYS: Final = 10


class Keys:
    """The collection of an account's keys."""

    def __init__(
        self,
        access: Access,
        accounts: ServiceAccounts,
        organization_policies: OrganizationPolicies,
    ) -> None:
        """Take the shared access, the accounts and the policies that forbid keys."""
        self._access = access
        self._accounts = accounts
        self._organization_policies = organization_policies

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            "iam.googleapis.com",
            [
                ("POST", _KEYS, self.create),
                ("GET", _KEYS, self.list_keys),
                ("GET", _KEY, self.get),
                ("DELETE", _KEY, self.delete),
                ("POST", _KEY + ":disable", self.disable),
                ("POST", _KEY + ":enable", self.enable),
                ("POST", _KEYS + ":upload", self.upload),
            ],
        )

    def create(self, call: Call, project: str, account: str) -> Body:
        """Create a key; the answer holds its private half, once."""
        found = self._accounts.find(call, project, account, "iam.serviceAccountKeys.create")
        body = call.json()
        kind = body.get("privateKeyType") or "TYPE_GOOGLE_CREDENTIALS_FILE"
        if kind not in ("TYPE_GOOGLE_CREDENTIALS_FILE", "TYPE_UNSPECIFIED"):
            raise ApiError("UNIMPLEMENTED", f"Private key type {kind} is not served here.")
        algorithm = body.get("keyAlgorithm") or "KEY_ALG_RSA_2048"
        if algorithm not in ("KEY_ALG_RSA_2048", "KEY_ALG_UNSPECIFIED"):
            raise ApiError("UNIMPLEMENTED", f"Key algorithm {algorithm} is not served here.")
        self._may_have_one_more(call, found, CREATION, "creation")
        key, document = account_keys.create_user_key(
            found,
            self._access.clock.now(),
            self._organization_policies.key_lifetime(found.project),
        )
        return {
            **key_to_json(found, key),
            "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
            "privateKeyData": account_keys.encode_file(document),
        }

    def list_keys(self, call: Call, project: str, account: str) -> Body:
        """List an account's keys."""
        found = self._accounts.find(call, project, account, "iam.serviceAccountKeys.list")
        wanted = call.query.get("keyTypes")
        keys = [
            key_to_json(found, key)
            for key in found.keys.values()
            if wanted in (None, "", "KEY_TYPE_UNSPECIFIED", key.kind)
        ]
        return {"keys": keys} if keys else {}

    def get(self, call: Call, project: str, account: str, key: str) -> Body:
        """Return a key, with its public half if that is asked for."""
        found, one = self._find(call, project, account, key, "get")
        answer = key_to_json(found, one)
        if call.query.get("publicKeyType") == "TYPE_X509_PEM_FILE":
            answer["publicKeyData"] = base64.b64encode(one.certificate_pem.encode()).decode()
        return answer

    def delete(self, call: Call, project: str, account: str, key: str) -> Body:
        """Delete a key."""
        found, one = self._find(call, project, account, key, "delete")
        if one.kind == account_keys.SYSTEM:
            raise invalid_argument("A system-managed key cannot be deleted.")
        del found.keys[one.id]
        return {}

    def disable(self, call: Call, project: str, account: str, key: str) -> Body:
        """Disable a key."""
        self._find(call, project, account, key, "disable")[1].disabled = True
        return {}

    def enable(self, call: Call, project: str, account: str, key: str) -> Body:
        """Enable a key."""
        self._find(call, project, account, key, "enable")[1].disabled = False
        return {}

    def upload(self, call: Call, project: str, account: str) -> Body:
        """Take the public key of a certificate; its private half is the caller's own."""
        found = self._accounts.find(call, project, account, "iam.serviceAccountKeys.create")
        try:
            pem = base64.b64decode(str(call.json().get("publicKeyData") or ""), validate=True)
            self._may_have_one_more(call, found, UPLOAD, "upload")
            return key_to_json(found, account_keys.upload_user_key(found, pem))
        except ValueError as error:
            raise invalid_argument(
                "Invalid public key data: an X.509 certificate in PEM, base64-encoded, of an RSA "
                "key of 2048 bits or more is expected."
            ) from error

    def _may_have_one_more(
        self, call: Call, account: ServiceAccount, constraints: tuple[str, ...], verb: str
    ) -> None:
        for constraint in constraints:
            self._organization_policies.require_not_enforced(
                call,
                account.project,
                constraint,
                f"projects/{account.project.id}/serviceAccounts/{account.email}",
                f"Key {verb} is not allowed on this service account.",
            )
        user_keys = [k for k in account.keys.values() if k.kind == account_keys.USER]
        if len(user_keys) >= _MAX_USER_KEYS:
            raise ApiError("FAILED_PRECONDITION", "Precondition check failed: too many keys.")

    def _find(
        self, call: Call, project: str, account: str, key: str, verb: str
    ) -> tuple[ServiceAccount, AccountKey]:
        permission = f"iam.serviceAccountKeys.{verb}"
        found = self._accounts.find(call, project, account, permission)
        one = found.keys.get(key)
        if one is None:
            raise not_found(f"Service account key {key} does not exist.")
        return found, one


def key_to_json(account: ServiceAccount, key: AccountKey) -> Body:
    """Return a key as the API shows it."""
    answer: Body = {
        "name": account_keys.key_name(account, key),
        "validAfterTime": timestamp(key.created)[:19] + "Z",
        "validBeforeTime": account_keys.NEVER
        if key.expires is None
        else timestamp(key.expires)[:19] + "Z",
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": key.origin,
        "keyType": key.kind,
    }
    return {**answer, "disabled": True} if key.disabled else answer
