"""Deny policies: iam.googleapis.com/v2/policies/ATTACHMENT_POINT/denypolicies.

- The attachment point is a resource's full name, percent-encoded in the path and in the names.
- A denial condition may use resource tags only (cloud.google.com/iam/docs/deny-overview).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iamrange.clouds.gcp import operations
from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.authorize import Condition, DenyRule, Target
from iamrange.clouds.gcp.cel import Failed, compile_condition
from iamrange.clouds.gcp.errors import ApiError, already_exists, invalid_argument, not_found
from iamrange.clouds.gcp.policies import condition_to_json
from iamrange.clouds.gcp.principals import deny_principal_problem
from iamrange.clouds.gcp.state import StoredDenyPolicy, new_etag, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes

if TYPE_CHECKING:
    from collections.abc import Callable

_COLLECTION: Final = "/v2/policies/{point*}/denypolicies"
_ONE: Final = _COLLECTION + "/{policy}"
_POINT: Final = re.compile(
    r"cloudresourcemanager\.googleapis\.com/(?P<kind>projects|organizations)/(?P<id>[^/]+)"
)
_ID: Final = re.compile(r"[a-z][a-z0-9.-]{2,62}")
_PERMISSION: Final = re.compile(r"[a-z][a-z0-9-]*\.googleapis\.com/(?:\*|[A-Za-z*]+\.[A-Za-z*]+)")
_TAG_FUNCTIONS: Final = frozenset({"matchTag", "matchTagId", "hasTagKey", "hasTagKeyId"})
_TYPE: Final = "google.iam.v2.Policy"
_LISTS: Final = (
    "deniedPrincipals",
    "exceptionPrincipals",
    "deniedPermissions",
    "exceptionPermissions",
)
_MAX_RULES: Final = 500


class DenyPolicies:
    """The collection at each attachment point."""

    def __init__(self, access: Access) -> None:
        """Take the shared access."""
        self._access = access
        self._state = access.state

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            "iam.googleapis.com",
            [
                ("GET", _ONE + "/operations/{operation}", self.get_operation),
                ("POST", _COLLECTION, self.create),
                ("GET", _COLLECTION, self.list_policies),
                ("GET", _ONE, self.get),
                ("PUT", _ONE, self.update),
                ("DELETE", _ONE, self.delete),
            ],
        )

    def get_operation(self, call: Call, point: str, policy: str, operation: str) -> Body:
        """Return an operation."""
        del call
        _, shown, _ = self._attachment(point, "get")
        name = f"policies/{quote(shown, safe='')}/denypolicies/{policy}/operations/{operation}"
        return operations.find(self._state, name)

    def create(self, call: Call, point: str) -> Body:
        """Create a policy."""
        key, shown, target = self._attachment(point, "create")
        self._access.require(call, "iam.denypolicies.create", target)
        policy_id = call.query.get("policyId") or call.query.get("policy_id") or ""
        if not _ID.fullmatch(policy_id):
            raise invalid_argument(f"Invalid policy id {policy_id!r}.")
        at_point = self._state.deny_policies.setdefault(key, {})
        if policy_id in at_point:
            raise already_exists()
        name = f"policies/{quote(shown, safe='')}/denypolicies/{policy_id}"
        made = self._parsed(
            name, call.json(), {"createTime": self._now(), "uid": str(uuid.uuid4())}
        )
        at_point[policy_id] = made
        return operations.finished(self._state, name, _TYPE, made.document)

    def list_policies(self, call: Call, point: str) -> Body:
        """List the policies, without their rules."""
        key, _, target = self._attachment(point, "list")
        self._access.require(call, "iam.denypolicies.list", target)
        found = [
            {name: value for name, value in policy.document.items() if name != "rules"}
            for policy in self._state.deny_policies.get(key, {}).values()
        ]
        return {"policies": found} if found else {}

    def get(self, call: Call, point: str, policy: str) -> Body:
        """Return a policy."""
        return self._found(call, point, policy, "get")[1].document

    def update(self, call: Call, point: str, policy: str) -> Body:
        """Replace a policy."""
        key, found = self._found(call, point, policy, "update")
        body = call.json()
        _check_etag(body.get("etag"), found)
        kept = {name: found.document[name] for name in ("createTime", "uid")}
        made = self._parsed(found.name, body, kept)
        self._state.deny_policies[key][policy] = made
        return operations.finished(self._state, found.name, _TYPE, made.document)

    def delete(self, call: Call, point: str, policy: str) -> Body:
        """Delete a policy."""
        key, found = self._found(call, point, policy, "delete")
        _check_etag(call.query.get("etag"), found)
        del self._state.deny_policies[key][policy]
        return operations.finished(self._state, found.name, _TYPE, found.document)

    def _attachment(self, point: str, verb: str) -> tuple[str, str, Target]:
        """Return the key, the canonical name and the target of an attachment point."""
        match = _POINT.fullmatch(point)
        if match is None:
            raise invalid_argument(f"Invalid attachment point {point!r}.")
        prefix = "cloudresourcemanager.googleapis.com"
        if match["kind"] == "projects":
            project = self._state.project(match["id"])
            if project is not None:
                shown = f"{prefix}/projects/{project.number}"
                return f"projects/{project.id}", shown, self._access.project_target(project)
        organization = self._state.organizations.get(match["id"])
        if match["kind"] == "organizations" and organization is not None:
            key = f"organizations/{organization.id}"
            return key, f"{prefix}/{key}", self._access.organization_target(organization)
        raise denied(f"iam.denypolicies.{verb}", f"{match['kind']}/{match['id']}")

    def _found(
        self, call: Call, point: str, policy: str, verb: str
    ) -> tuple[str, StoredDenyPolicy]:
        key, _, target = self._attachment(point, verb)
        self._access.require(call, f"iam.denypolicies.{verb}", target)
        found = self._state.deny_policies.get(key, {}).get(policy)
        if found is None:
            raise not_found()
        return key, found

    def _parsed(self, name: str, body: Body, kept: Body) -> StoredDenyPolicy:
        rules = body.get("rules") or []
        if not isinstance(rules, list) or not 0 < len(rules) <= _MAX_RULES:
            raise invalid_argument(f"A deny policy has 1 to {_MAX_RULES} rules.")
        parsed = tuple(_parse_rule(rule) for rule in rules)
        document: Body = {
            "name": name,
            "kind": "DenyPolicy",
            **kept,
            "updateTime": self._now(),
            "etag": new_etag(),
            "rules": [_rule_to_json(rule, one) for rule, one in zip(rules, parsed, strict=True)],
        }
        if body.get("displayName"):
            document["displayName"] = str(body["displayName"])
        if body.get("annotations"):
            document["annotations"] = body["annotations"]
        return StoredDenyPolicy(name, document, parsed)

    def _now(self) -> str:
        return timestamp(self._access.clock.now())


def _parse_rule(rule: Any) -> DenyRule:  # noqa: ANN401 - any JSON value
    body = rule.get("denyRule") if isinstance(rule, dict) else None
    if not isinstance(body, dict):
        raise invalid_argument("A rule needs a denyRule.")
    denied_principals, exception_principals = (
        _texts(body, name, deny_principal_problem) for name in _LISTS[:2]
    )
    denied_permissions, exception_permissions = (
        _texts(body, name, _permission_problem) for name in _LISTS[2:]
    )
    if not denied_principals or not denied_permissions:
        raise invalid_argument("A deny rule needs denied principals and denied permissions.")
    return DenyRule(
        denied_principals,
        exception_principals,
        denied_permissions,
        exception_permissions,
        _parse_condition(body.get("denialCondition")),
    )


def _texts(body: Body, name: str, problem: Callable[[object], str | None]) -> tuple[str, ...]:
    values = body.get(name) or []
    if not isinstance(values, list):
        raise invalid_argument(f"Invalid value at '{name}'.")
    for value in values:
        if text := problem(value):
            raise invalid_argument(text)
    return tuple(values)


def _permission_problem(permission: object) -> str | None:
    if isinstance(permission, str) and _PERMISSION.fullmatch(permission):
        return None
    return f"Invalid permission {permission!r}: SERVICE.googleapis.com/RESOURCE.VERB is expected."


def _parse_condition(value: Any) -> Condition | None:  # noqa: ANN401 - any JSON value
    if not value:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("expression"), str):
        raise invalid_argument("Invalid denialCondition: an expression is expected.")
    condition = Condition(
        value["expression"], str(value.get("title", "")), str(value.get("description", ""))
    )
    compiled = compile_condition(condition.expression, frozenset({"resource"}))
    if isinstance(compiled, Failed):
        raise invalid_argument(f"Invalid denialCondition: {compiled.detail}.")
    tags_only = {f"resource.{name}".lower() for name in _TAG_FUNCTIONS}
    others = compiled.functions - _TAG_FUNCTIONS or set(compiled.members_read()) - tags_only
    if not compiled.functions or others:
        raise invalid_argument("A denialCondition can only use the functions for resource tags.")
    return condition


def _rule_to_json(rule: Body, parsed: DenyRule) -> Body:
    body = {name: rule["denyRule"][name] for name in _LISTS if rule["denyRule"].get(name)}
    if parsed.condition is not None:
        body["denialCondition"] = condition_to_json(parsed.condition)
    description = {"description": rule["description"]} if rule.get("description") else {}
    return {**description, "denyRule": body}


def _check_etag(given: Any, found: StoredDenyPolicy) -> None:  # noqa: ANN401 - any JSON value
    if given and given != found.document["etag"]:
        raise ApiError("ABORTED", "The etag does not match the current policy.")
