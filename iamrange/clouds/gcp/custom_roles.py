"""Custom roles of projects and organisations, and the predefined ones: iam.googleapis.com/v1.

A deleted role grants nothing; it can be undeleted for 7 days, and its id stays taken for 37.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.errors import ApiError, already_exists, invalid_argument, not_found
from iamrange.clouds.gcp.roles import HIDDEN, known_permissions, predefined, unserved
from iamrange.clouds.gcp.state import Role, new_etag
from iamrange.clouds.gcp.wire import Body, Call, Handler, Route, message, service_routes, texts

if TYPE_CHECKING:
    from iamrange.clouds.gcp.authorize import Target

_ID: Final = re.compile(r"[A-Za-z0-9_.]{3,64}")
_PERMISSION: Final = re.compile(r"[a-z][A-Za-z0-9]*\.[A-Za-z0-9]+\.[A-Za-z0-9]+")
_SERVED: Final = frozenset({"iam", "orgpolicy", "resourcemanager", "secretmanager"})
_FIELDS: Final = ("title", "description", "includedPermissions", "stage")
_DAY: Final = 86_400
_UNDELETE_DAYS: Final = 7
_TAKEN_DAYS: Final = 37


class Roles:
    """The collections."""

    def __init__(self, access: Access) -> None:
        """Take the shared access."""
        self._access = access
        self._state = access.state

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        table: list[tuple[str, str, Handler]] = []
        for kind in ("projects", "organizations"):
            base = f"/v1/{kind}/{{owner}}/roles"
            table += [
                ("POST", base, self.create),
                ("GET", base, self.list_roles),
                ("GET", f"{base}/{{role}}", self.get),
                ("PATCH", f"{base}/{{role}}", self.patch),
                ("DELETE", f"{base}/{{role}}", self.delete),
                ("POST", f"{base}/{{role}}:undelete", self.undelete),
            ]
        return service_routes(
            "iam.googleapis.com",
            [
                ("GET", "/v1/roles", self.list_predefined),
                ("GET", "/v1/roles/{role}", self.get_predefined),
                *table,
            ],
        )

    def list_predefined(self, call: Call) -> Body:
        """List the predefined roles."""
        full = call.query.get("view") == "FULL"
        names = sorted((predefined().keys() | unserved()) - HIDDEN)
        return {"roles": [_predefined_to_json(name, full=full) for name in names]}

    def get_predefined(self, call: Call, role: str) -> Body:
        """Return a predefined role."""
        del call
        name = f"roles/{role}"
        if name in HIDDEN or name not in predefined().keys() | unserved():
            raise not_found(f"The role named {name} was not found.")
        return _predefined_to_json(name, full=True)

    def create(self, call: Call, owner: str) -> Body:
        """Create a role."""
        parent, target = self._parent(call, owner, "create")
        self._access.require(call, "iam.roles.create", target)
        body = call.json()
        role_id = str(body.get("roleId", ""))
        if not _ID.fullmatch(role_id):
            raise invalid_argument(
                f"The role id {role_id!r} is invalid: 3 to 64 characters of [a-zA-Z0-9_.]."
            )
        name = f"{parent}/roles/{role_id}"
        old = self._state.roles.get(name)
        if old is not None and not self._passed(old, _TAKEN_DAYS):
            raise already_exists(f"A role named {role_id} in {parent} already exists.")
        given = message(body, "role")
        made = _parsed(name, {n: given[n] for n in _FIELDS if n in given})
        self._state.roles[name] = made
        return role_to_json(made)

    def list_roles(self, call: Call, owner: str) -> Body:
        """List a parent's roles."""
        parent, target = self._parent(call, owner, "list")
        self._access.require(call, "iam.roles.list", target)
        deleted = call.query.get("showDeleted") == "true"
        found = [
            role_to_json(role)
            for role in self._state.roles.values()
            if role.name.startswith(f"{parent}/roles/") and (deleted or role.deleted_at is None)
        ]
        return {"roles": found} if found else {}

    def get(self, call: Call, owner: str, role: str) -> Body:
        """Return a role."""
        return role_to_json(self._found(call, owner, role, "get"))

    def patch(self, call: Call, owner: str, role: str) -> Body:
        """Change what the update mask names."""
        found = self._found(call, owner, role, "update")
        body = call.json()
        if body.get("etag") and body["etag"] != found.document["etag"]:
            raise ApiError("ABORTED", "There were concurrent changes to the role.")
        mask = call.update_mask() or tuple(name for name in _FIELDS if name in body)
        if set(mask) - set(_FIELDS):
            raise invalid_argument(f"Invalid update mask: {', '.join(mask)}.")
        document = {**found.document, **{name: body.get(name) for name in mask}}
        made = _parsed(found.name, document)
        found.document, found.permissions = made.document, made.permissions
        return role_to_json(found)

    def delete(self, call: Call, owner: str, role: str) -> Body:
        """Delete a role softly."""
        found = self._found(call, owner, role, "delete")
        if found.deleted_at is not None:
            raise ApiError("FAILED_PRECONDITION", f"The role {found.name} is deleted already.")
        found.deleted_at = self._access.clock.now()
        return role_to_json(found)

    def undelete(self, call: Call, owner: str, role: str) -> Body:
        """Bring a deleted role back."""
        found = self._found(call, owner, role, "undelete")
        if found.deleted_at is None or self._passed(found, _UNDELETE_DAYS):
            raise ApiError("FAILED_PRECONDITION", f"The role {found.name} cannot be undeleted.")
        found.deleted_at = None
        return role_to_json(found)

    def _parent(self, call: Call, owner: str, verb: str) -> tuple[str, Target]:
        kind = call.path.split("/")[2]
        if kind == "projects" and (project := self._state.project(owner)):
            return f"projects/{project.id}", self._access.project_target(project)
        if kind == "organizations" and (organization := self._state.organizations.get(owner)):
            name = f"organizations/{organization.id}"
            return name, self._access.organization_target(organization)
        raise denied(f"iam.roles.{verb}", f"{kind}/{owner}")

    def _found(self, call: Call, owner: str, role: str, verb: str) -> Role:
        parent, target = self._parent(call, owner, verb)
        self._access.require(call, f"iam.roles.{verb}", target)
        found = self._state.roles.get(f"{parent}/roles/{role}")
        if found is None or self._passed(found, _TAKEN_DAYS):
            raise not_found(f"The role named {parent}/roles/{role} was not found.")
        return found

    def _passed(self, role: Role, days: int) -> bool:
        return (
            role.deleted_at is not None and self._access.clock.now() - role.deleted_at > days * _DAY
        )


def role_to_json(role: Role) -> Body:
    """Return a role as the API shows it."""
    answer = {"name": role.name, **role.document}
    return {**answer, "deleted": True} if role.deleted_at is not None else answer


def _parsed(name: str, document: Body) -> Role:
    permissions = texts(document, "includedPermissions")
    if not all(isinstance(document.get(n, ""), str | None) for n in ("title", "description")):
        raise invalid_argument("Invalid value at 'role': title and description are strings.")
    for permission in permissions:
        if not _is_permission(permission):
            raise invalid_argument(f"Permission {permission} is not valid.")
    kept: Body = {n: document[n] for n in ("title", "description", "stage") if document.get(n)}
    if permissions:
        kept["includedPermissions"] = sorted(set(permissions))
    kept["etag"] = new_etag()
    return Role(name, kept, frozenset(permissions))


def _is_permission(permission: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether a permission exists; those of services not served here pass by form."""
    if not isinstance(permission, str) or not _PERMISSION.fullmatch(permission):
        return False
    return permission in known_permissions() or permission.partition(".")[0] not in _SERVED


def _predefined_to_json(name: str, *, full: bool) -> Body:
    answer: Body = {"name": name, "title": name.rpartition("/")[2], "stage": "GA", "etag": "AA=="}
    held = sorted(predefined().get(name, ()))
    return {**answer, "includedPermissions": held} if full and held else answer
