"""Service accounts and their policies: iam.googleapis.com/v1.

- Deleting an account renames its member in every policy to `deleted:...?uid=`: an account made
  again under the same name inherits nothing.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from iamrange.clouds.gcp import policies
from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.authorize import MODIFIED_ROLES
from iamrange.clouds.gcp.errors import ApiError, already_exists, invalid_argument, not_found
from iamrange.clouds.gcp.paging import page
from iamrange.clouds.gcp.state import SOFT_DELETE_SECONDS, Project, ServiceAccount, new_etag
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes

if TYPE_CHECKING:
    from iamrange.clouds.gcp.org_policy import OrganizationPolicies

_BASE: Final = "/v1/projects/{project}/serviceAccounts"
_ONE: Final = _BASE + "/{account}"
_ID: Final = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_CONSTRAINTS: Final = (
    "iam.disableServiceAccountCreation",
    "iam.managed.disableServiceAccountCreation",
)
_MAX_DISPLAY: Final = 100
_MAX_DESCRIPTION: Final = 256


class ServiceAccounts:
    """The collection."""

    def __init__(self, access: Access, organization_policies: OrganizationPolicies) -> None:
        """Take the shared access and the organisation policies."""
        self._access = access
        self._state = access.state
        self._organization_policies = organization_policies

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            "iam.googleapis.com",
            [
                ("POST", _BASE, self.create),
                ("GET", _BASE, self.list_accounts),
                ("GET", _ONE, self.get),
                ("PATCH", _ONE, self.patch),
                ("PUT", _ONE, self.put),
                ("DELETE", _ONE, self.delete),
                ("POST", _ONE + ":undelete", self.undelete),
                ("POST", _ONE + ":disable", self.disable),
                ("POST", _ONE + ":enable", self.enable),
                ("POST", _ONE + ":getIamPolicy", self.get_policy),
                ("POST", _ONE + ":setIamPolicy", self.set_policy),
                ("POST", _ONE + ":testIamPermissions", self.test_permissions),
            ],
        )

    def create(self, call: Call, project: str) -> Body:
        """Create an account."""
        owner = self._owner(call, project, "iam.serviceAccounts.create")
        body = call.json()
        account_id = str(body.get("accountId", ""))
        if not _ID.fullmatch(account_id):
            raise invalid_argument(
                f"The account ID {account_id!r} is invalid: 6 to 30 characters, lower case "
                "alphanumerical and dashes, starting with a letter."
            )
        for constraint in _CONSTRAINTS:
            self._organization_policies.require_not_enforced(
                call,
                owner,
                constraint,
                f"projects/{owner.id}/serviceAccounts/{account_id}",
                "Service account creation is not allowed on this project.",
            )
        settings = body.get("serviceAccount") or {}
        account = ServiceAccount(account_id, owner, str(10**20 + secrets.randbelow(10**20)))
        if self._state.account(account.email):
            raise already_exists(
                f"Service account {account_id} already exists within project projects/{owner.id}."
            )
        _apply(account, settings, ("displayName", "description"))
        self._state.accounts[account.unique_id] = account
        return account_to_json(account)

    def list_accounts(self, call: Call, project: str) -> Body:
        """List a project's accounts."""
        owner = self._owner(call, project, "iam.serviceAccounts.list")
        accounts = [
            account_to_json(account)
            for account in self._state.accounts.values()
            if account.project is owner and account.deleted_at is None
        ]
        return page(call, "accounts", accounts)

    def get(self, call: Call, project: str, account: str) -> Body:
        """Return an account."""
        return account_to_json(self.find(call, project, account, "iam.serviceAccounts.get"))

    def patch(self, call: Call, project: str, account: str) -> Body:
        """Change what the update mask names."""
        found = self.find(call, project, account, "iam.serviceAccounts.update")
        body = call.json()
        settings = body.get("serviceAccount") or {}
        text = str(body.get("updateMask") or "")
        mask = tuple(re.sub(r"_([a-z])", lambda m: m[1].upper(), n) for n in text.split(",") if n)
        if not mask:
            raise invalid_argument("The update mask is required.")
        _apply(found, settings, mask)
        return account_to_json(found)

    def put(self, call: Call, project: str, account: str) -> Body:
        """Replace display name and description."""
        found = self.find(call, project, account, "iam.serviceAccounts.update")
        _apply(found, call.json(), ("displayName", "description"))
        return account_to_json(found)

    def delete(self, call: Call, project: str, account: str) -> Body:
        """Delete an account; for 30 days it can be undeleted by its unique id."""
        found = self.find(call, project, account, "iam.serviceAccounts.delete")
        found.deleted_at = self._access.clock.now()
        policies.rename_member(self._state, f"serviceAccount:{found.email}", _deleted_member(found))
        return {}

    def undelete(self, call: Call, project: str, account: str) -> Body:
        """Bring a deleted account back, with its bindings."""
        found = self._state.accounts.get(account)
        if found is None or found.deleted_at is None:
            raise self._absent(call, project, account, "iam.serviceAccounts.undelete")
        self._access.require(
            call, "iam.serviceAccounts.undelete", self._access.project_target(found.project)
        )
        if self._access.clock.now() - found.deleted_at > SOFT_DELETE_SECONDS:
            raise not_found(f"Unknown service account {account}")
        if self._state.account(found.email):
            raise ApiError("FAILED_PRECONDITION", f"The name {found.email} is in use again.")
        found.deleted_at = None
        policies.rename_member(self._state, _deleted_member(found), f"serviceAccount:{found.email}")
        return {"restoredAccount": account_to_json(found)}

    def disable(self, call: Call, project: str, account: str) -> Body:
        """Disable an account: its tokens and keys stop working."""
        self.find(call, project, account, "iam.serviceAccounts.disable").disabled = True
        return {}

    def enable(self, call: Call, project: str, account: str) -> Body:
        """Enable an account."""
        self.find(call, project, account, "iam.serviceAccounts.enable").disabled = False
        return {}

    def get_policy(self, call: Call, project: str, account: str) -> Body:
        """Return who may do what with the account."""
        found = self.find(call, project, account, "iam.serviceAccounts.getIamPolicy")
        version = policies.requested_version(call.json(), call.query)
        return policies.policy_to_json(found.policy, version)

    def set_policy(self, call: Call, project: str, account: str) -> Body:
        """Replace the account's policy."""
        known = self._known(project, account)
        owner = known.project if known else None
        write = policies.parse_write(call.json(), self._state, owner)
        roles = policies.modified_roles(known.policy, write) if known else []
        found = self.find(call, project, account, "iam.serviceAccounts.setIamPolicy", roles)
        policies.apply_write(found.policy, write)
        return policies.policy_to_json(found.policy, policies.CONDITIONAL_VERSION)

    def test_permissions(self, call: Call, project: str, account: str) -> Body:
        """Return which of the permissions the caller holds."""
        found = self._known(project, account)
        if found is None:
            raise not_found(f"Unknown service account {account}")
        target = self._access.account_target(found)
        asked = policies.permissions_asked(call.json())
        return policies.held(asked, lambda p: self._access.may(call, p, target))

    def find(
        self,
        call: Call,
        project: str,
        account: str,
        permission: str,
        changed_roles: list[str] | None = None,
    ) -> ServiceAccount:
        """Return an account on which the caller holds a permission.

        Raises:
            ApiError: 403, or 404 to one who may know.
        """
        found = self._known(project, account)
        if found is None:
            raise self._absent(call, project, account, permission)
        self._access.require(
            call,
            permission,
            self._access.account_target(found),
            message=f"Permission '{permission}' denied on resource (or it may not exist).",
            api_attributes={MODIFIED_ROLES: changed_roles or []},
        )
        return found

    def _known(self, project: str, account: str) -> ServiceAccount | None:
        found = self._state.account(account)
        if found is None or project not in ("-", found.project.id, found.project.number):
            return None
        return found

    def _absent(self, call: Call, project: str, account: str, permission: str) -> ApiError:
        """Return the answer about an account that is not there."""
        owner = self._state.project(project)
        if owner is None and project != "-":
            return denied(permission, f"projects/{project}/serviceAccounts/{account}")
        if owner is not None:
            self._access.require(call, permission, self._access.project_target(owner))
        if project == "-":
            return not_found(f"Not found; Gaia id not found for email {account}")
        return not_found(f"Unknown service account {account}")

    def _owner(self, call: Call, project: str, permission: str) -> Project:
        owner = self._state.project(project)
        if owner is None:
            raise denied(permission, f"projects/{project}")
        self._access.require(call, permission, self._access.project_target(owner))
        return owner


def account_to_json(account: ServiceAccount) -> Body:
    """Return an account as the API shows it."""
    answer: Body = {
        "name": f"projects/{account.project.id}/serviceAccounts/{account.email}",
        "projectId": account.project.id,
        "uniqueId": account.unique_id,
        "email": account.email,
        "etag": account.etag,
        "oauth2ClientId": account.unique_id,
    }
    if account.display_name:
        answer["displayName"] = account.display_name
    if account.description:
        answer["description"] = account.description
    if account.disabled:
        answer["disabled"] = True
    return answer


def _apply(account: ServiceAccount, settings: object, mask: tuple[str, ...]) -> None:
    if not isinstance(settings, dict) or set(mask) - {"displayName", "description"}:
        raise invalid_argument("Only display_name and description can be changed.")
    display = str(settings.get("displayName") or "")
    description = str(settings.get("description") or "")
    if len(display.encode()) > _MAX_DISPLAY or len(description.encode()) > _MAX_DESCRIPTION:
        raise invalid_argument("The display name or the description is too long.")
    if "displayName" in mask:
        account.display_name = display
    if "description" in mask:
        account.description = description
    account.etag = new_etag()


def _deleted_member(account: ServiceAccount) -> str:
    return f"deleted:serviceAccount:{account.email}?uid={account.unique_id}"
