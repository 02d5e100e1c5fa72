"""Secret Manager v1: secrets and their policies. Versions are in `secret_versions`.

- Answers name projects by number.
- A secret past its expiry is gone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp import policies
from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.authorize import MODIFIED_ROLES
from iamrange.clouds.gcp.errors import (
    ApiError,
    already_exists,
    invalid_argument,
    not_found,
    unknown_member,
)
from iamrange.clouds.gcp.paging import page
from iamrange.clouds.gcp.state import Project, Secret, new_etag, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, message, service_routes

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST: Final = "secretmanager.googleapis.com"
SECRETS: Final = "/v1/projects/{project}/secrets"
SECRET: Final = SECRETS + "/{secret}"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_KINDS: Final[dict[str, type]] = {
    "labels": dict,
    "annotations": dict,
    "versionAliases": dict,
    "topics": list,
    "rotation": dict,
    "expireTime": str,
    "ttl": str,
}
_SETTABLE: Final = tuple(_KINDS)
_NOT_SERVED: Final = frozenset({"customerManagedEncryption", "versionDestroyTtl", "tags"})
_OTHERS: Final = frozenset({"name", "replication", "createTime", "etag"})
_MAX_TTL: Final = 100 * 365 * 86_400
_MAX_LABELS: Final = 64
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Secrets:
    """The collection of secrets."""

    def __init__(self, access: Access) -> None:
        """Take the shared access."""
        self._access = access
        self._state = access.state

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            HOST,
            [
                ("POST", SECRETS, self.create),
                ("GET", SECRETS, self.list_secrets),
                ("GET", SECRET, self.get),
                ("PATCH", SECRET, self.patch),
                ("DELETE", SECRET, self.delete),
                ("GET", SECRET + ":getIamPolicy", self.get_policy),
                ("POST", SECRET + ":setIamPolicy", self.set_policy),
                ("POST", SECRET + ":testIamPermissions", self.test_permissions),
            ],
        )

    def create(self, call: Call, project: str) -> Body:
        """Create a secret."""
        owner = self._owner(call, project, "secretmanager.secrets.create")
        secret_id = call.query.get("secretId") or call.query.get("secret_id") or ""
        if not _ID.fullmatch(secret_id):
            raise invalid_argument(f"The provided Secret ID [{secret_id}] does not match the form.")
        body = call.json()
        document = self._settings({}, body, _SETTABLE)
        document["replication"] = _replication(body.get("replication"))
        if self._live(self._state.secrets.get((owner.number, secret_id))):
            raise already_exists(
                f"Secret [projects/{owner.number}/secrets/{secret_id}] already exists."
            )
        document["createTime"] = timestamp(self._access.clock.now())
        document["etag"] = new_etag()
        secret = Secret(secret_id, owner, document)
        self._state.secrets[(owner.number, secret_id)] = secret
        return secret_to_json(secret)

    def list_secrets(self, call: Call, project: str) -> Body:
        """List a project's secrets."""
        owner = self._owner(call, project, "secretmanager.secrets.list")
        found = [s for s in self._state.secrets.values() if s.project is owner and self._live(s)]
        return page(call, "secrets", [secret_to_json(secret) for secret in found], filtered=True)

    def get(self, call: Call, project: str, secret: str) -> Body:
        """Return a secret's metadata."""
        return secret_to_json(self.find(call, project, secret, "secretmanager.secrets.get"))

    def patch(self, call: Call, project: str, secret: str) -> Body:
        """Change what the update mask names."""
        found = self.find(call, project, secret, "secretmanager.secrets.update")
        mask = call.update_mask()
        if not mask:
            raise invalid_argument("The update mask is required.")
        body = call.json()
        check_etag(body.get("etag"), found.document["etag"])
        document = self._settings(found.document, body, mask)
        _check_aliases(document, found)
        found.document = {**document, "etag": new_etag()}
        return secret_to_json(found)

    def delete(self, call: Call, project: str, secret: str) -> Body:
        """Delete a secret with its versions."""
        found = self.find(call, project, secret, "secretmanager.secrets.delete")
        check_etag(call.query.get("etag"), found.document["etag"])
        del self._state.secrets[(found.project.number, found.id)]
        return {}

    def get_policy(self, call: Call, project: str, secret: str) -> Body:
        """Return who may do what with the secret."""
        found = self.find(call, project, secret, "secretmanager.secrets.getIamPolicy")
        return policies.policy_to_json(found.policy, policies.requested_version({}, call.query))

    def set_policy(self, call: Call, project: str, secret: str) -> Body:
        """Replace the secret's policy."""
        known = self._known(project, secret)
        owner = known.project if known else None
        write = policies.parse_write(call.json(), self._state, owner)
        roles = policies.modified_roles(known.policy, write) if known else []
        found = self.find(call, project, secret, "secretmanager.secrets.setIamPolicy", roles)
        policies.apply_write(found.policy, write)
        return policies.policy_to_json(found.policy, policies.CONDITIONAL_VERSION)

    def test_permissions(self, call: Call, project: str, secret: str) -> Body:
        """Return which of the permissions the caller holds."""
        found = self._known(project, secret)
        if found is None:
            raise not_found(f"Secret [projects/{project}/secrets/{secret}] not found.")
        target = self._access.secret_target(found)
        asked = policies.permissions_asked(call.json())
        return policies.held(asked, lambda p: self._access.may(call, p, target))

    def find(  # noqa: PLR0913, PLR0917 - each names one part
        self,
        call: Call,
        project: str,
        secret: str,
        permission: str,
        changed_roles: list[str] | None = None,
        version: str | None = None,
    ) -> Secret:
        """Return a secret on which, or on a version of which, the caller holds a permission.

        Raises:
            ApiError: 403, or 404 to one who may know.
        """
        suffix = "" if version is None else f"/versions/{version}"
        shown = f"projects/{project}/secrets/{secret}{suffix}"
        message = _denied(permission, shown)
        found = self._known(project, secret)
        if found is not None:
            self._access.require(
                call,
                permission,
                self._access.secret_target(found, version),
                message=message,
                api_attributes={MODIFIED_ROLES: changed_roles or []},
            )
            return found
        owner = self._state.project(project)
        if owner is None:
            raise denied(permission, shown, message)
        kind = "secretmanager.googleapis.com/Secret"
        name = f"projects/{owner.number}/secrets/{secret}"
        target = self._access.child_target(owner, name, kind)
        self._access.require(call, permission, target, message=message)
        raise not_found(f"Secret [{name}] not found or has no versions.")

    def _owner(self, call: Call, project: str, permission: str) -> Project:
        """Return a project on which the caller holds a permission."""
        shown = f"projects/{project}"
        message = _denied(permission, shown)
        owner = self._state.project(project)
        if owner is None:
            raise denied(permission, shown, message)
        target = self._access.project_target(owner)
        self._access.require(call, permission, target, message=message)
        return owner

    def _known(self, project: str, secret: str) -> Secret | None:
        owner = self._state.project(project)
        found = self._state.secrets.get((owner.number, secret)) if owner else None
        return found if self._live(found) else None

    def _live(self, secret: Secret | None) -> bool:
        if secret is None:
            return False
        expires = secret.document.get("expireTime")
        return expires is None or _moment(expires) > self._access.clock.now()

    def _settings(self, current: Body, body: Body, mask: Sequence[str]) -> Body:
        """Return the current settings with those that the mask names taken from the body."""
        if unserved := _NOT_SERVED & (body.keys() | set(mask)):
            raise ApiError("UNIMPLEMENTED", f"{min(unserved)} is not served here.")
        if unknown := body.keys() - _OTHERS - set(_SETTABLE):
            raise unknown_member(min(unknown))
        document = dict(current)
        for name in (part.partition(".")[0] for part in mask):
            if name not in _SETTABLE:
                raise invalid_argument(f"Invalid update mask: {name}.")
            value = body.get(name)
            if name == "ttl":
                if value is not None:
                    document["expireTime"] = timestamp(self._access.clock.now() + _seconds(value))
            elif value in (None, {}, []):
                document.pop(name, None)
            elif isinstance(value, _KINDS[name]):
                document[name] = value
            else:
                raise invalid_argument(f"Invalid value at 'secret.{name}'.")
        _check_labels(document.get("labels") or {})
        changed = document.get("expireTime") != current.get("expireTime")
        if changed and "expireTime" in document:
            self._check_expiry(document["expireTime"])
        return document

    def _check_expiry(self, text: str) -> None:
        if _moment(text) <= self._access.clock.now():
            raise invalid_argument("Secret expire_time must be in the future.")


def secret_to_json(secret: Secret) -> Body:
    """Return a secret as the API shows it."""
    return {"name": secret.name, **secret.document}


def check_etag(given: Any, current: str) -> None:  # noqa: ANN401 - any JSON value
    """Refuse a write that was based on an older state.

    Raises:
        ApiError: 400 FAILED_PRECONDITION.
    """
    if given and str(given).strip('"') != current:
        raise ApiError("FAILED_PRECONDITION", "The etag does not match the current resource.")


def _denied(permission: str, shown: str) -> str:
    return f"Permission '{permission}' denied for resource '{shown}' (or it may not exist)."


def _replication(value: Any) -> Body:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict) or not ({"automatic", "userManaged"} & value.keys()):
        raise invalid_argument("Field [secret.replication] must be provided.")
    if "automatic" in value:
        if message(value, "automatic").get("customerManagedEncryption"):
            raise ApiError("UNIMPLEMENTED", "customerManagedEncryption is not served here.")
        return {"automatic": {}}
    replicas = message(value, "userManaged").get("replicas")
    if not isinstance(replicas, list) or not all(
        isinstance(r, dict) and r.get("location") for r in replicas
    ):
        raise invalid_argument("User-managed replication needs replicas with locations.")
    return {"userManaged": {"replicas": [{"location": r["location"]} for r in replicas]}}


def _check_labels(labels: Any) -> None:  # noqa: ANN401 - any JSON value
    if not isinstance(labels, dict) or len(labels) > _MAX_LABELS:
        raise invalid_argument(f"At most {_MAX_LABELS} labels are allowed.")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", str(value)):
            raise invalid_argument(f"Invalid label {key!r}.")


def _check_aliases(document: Body, secret: Secret) -> None:
    for alias, number in (document.get("versionAliases") or {}).items():
        if alias == "latest" or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,62}", alias):
            raise invalid_argument(f"Invalid version alias {alias!r}.")
        if not str(number).isdigit() or int(number) not in secret.versions:
            raise invalid_argument(f"Version alias {alias!r} names no version.")


def _moment(text: Any) -> float:  # noqa: ANN401 - any JSON value
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise invalid_argument("Invalid value at 'secret.expire_time'.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _seconds(text: Any) -> float:  # noqa: ANN401 - any JSON value
    match = re.fullmatch(r"(\d{1,10}(?:\.\d{1,9})?)s", str(text))
    if match is None or not 0 < float(match[1]) <= _MAX_TTL:
        raise invalid_argument("Invalid value at 'secret.ttl'.")
    return float(match[1])
