"""gcp:iam DenyPolicy, gcp:orgpolicy Policy and gcp:projects IAMCustomRole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import trimmed, unordered
from iamrange.engine.gcp_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.gcp_types.session import ALREADY_EXISTS, GcpError, GcpSession
from iamrange.engine.resource import Created, Naming, ResourceType

if TYPE_CHECKING:
    from iamrange.engine.resource import Change, Properties

_SWITCHES: Final = ("enforce", "allowAll", "denyAll")


def _deny_body(inputs: Properties) -> dict[str, Any]:
    body: dict[str, Any] = {"rules": [trimmed(rule) for rule in inputs["rules"]]}
    if inputs.get("displayName"):
        body["displayName"] = inputs["displayName"]
    return body


def _create_deny(session: GcpSession, inputs: Properties) -> Created:
    path = f"policies/{inputs['parent']}/denypolicies"
    session.finish("POST", f"/v2/{path}", _deny_body(inputs), policyId=inputs["name"])
    return Created(f"{inputs['parent']}/{inputs['name']}")


def _deny_path(identifier: str) -> str:
    parent, _, name = identifier.rpartition("/")
    return f"/v2/policies/{parent}/denypolicies/{name}"


@none_if_missing
def _read_deny(session: GcpSession, identifier: str, _state: Properties) -> Properties:
    live = session.call("GET", _deny_path(identifier))
    parent, _, name = identifier.rpartition("/")
    return {
        "parent": parent,
        "name": name,
        "displayName": live.get("displayName"),
        "rules": live["rules"],
        "etag": live["etag"],
    }


def _update_deny(session: GcpSession, change: Change) -> None:
    session.finish("PUT", _deny_path(change.identifier), _deny_body(change.new))


def _delete_deny(session: GcpSession, identifier: str, _state: Properties) -> None:
    with missing_is_fine():
        session.finish("DELETE", _deny_path(identifier))


DENY_POLICY: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:iam/denyPolicy:DenyPolicy",  # noqa: S106 - a type token
    inputs=frozenset({"parent", "name", "displayName", "rules"}),
    computed=frozenset({"etag"}),
    volatile=frozenset({"etag"}),
    force_new=frozenset({"parent", "name"}),
    identity=frozenset({"parent", "name"}),
    defaults={"displayName": ""},
    canonical={"rules": trimmed},
    naming=Naming(max_length=63, lower=True),
    create=_create_deny,
    read=_read_deny,
    update=_update_deny,
    delete=_delete_deny,
)


def _spec_body(spec: Properties | None) -> dict[str, Any]:
    body = {**(spec or {})}
    body.pop("etag", None)
    body.pop("updateTime", None)
    if "rules" in body:
        body["rules"] = [
            {key: _switch(value) if key in _SWITCHES else value for key, value in rule.items()}
            for rule in body["rules"]
        ]
    return body


def _switch(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a switch as the API has it: the SDK writes booleans as texts."""
    return value.upper() == "TRUE" if isinstance(value, str) else value


def _spec_of(live: Properties) -> dict[str, Any]:
    spec = _spec_body(live.get("spec"))
    for rule in spec.get("rules", []):
        rule |= {key: "TRUE" if rule[key] else "FALSE" for key in _SWITCHES if key in rule}
    return spec


def _meaning(spec: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(spec, dict):
        return spec
    body = _spec_body(spec)
    # an unset switch and one that is off differ for `enforce`: a rule must have one
    body["rules"] = [
        {key: unordered(trimmed(value)) for key, value in rule.items() if value not in (None, {})}
        for rule in body.get("rules", [])
    ]
    return {key: value for key, value in body.items() if value not in (None, [], {}, False)}


def _policy_name(inputs: Properties) -> str:
    """Return a policy's full name; a program may give the constraint alone."""
    constraint = str(inputs["name"]).rpartition("/")[2]
    return f"{inputs['parent']}/policies/{constraint}"


def _create_org_policy(session: GcpSession, inputs: Properties) -> Created:
    name = _policy_name(inputs)
    body = {"name": name, "spec": _spec_body(inputs.get("spec"))}
    session.call("POST", f"/v2/{inputs['parent']}/policies", body)
    return Created(name)


@none_if_missing
def _read_org_policy(session: GcpSession, identifier: str, state: Properties) -> Properties:
    live = session.call("GET", f"/v2/{identifier}")
    parent = identifier.partition("/policies/")[0]
    return {
        "name": state.get("name") or identifier,
        "parent": parent,
        "spec": _spec_of(live),
        "etag": live.get("etag"),
    }


def _update_org_policy(session: GcpSession, change: Change) -> None:
    body = {"name": change.identifier, "spec": _spec_body(change.new.get("spec"))}
    session.call("PATCH", f"/v2/{change.identifier}", body)


def _delete_org_policy(session: GcpSession, identifier: str, _state: Properties) -> None:
    with missing_is_fine():
        session.call("DELETE", f"/v2/{identifier}")


def _org_policy_problems(inputs: Properties) -> list[tuple[str, str]]:
    found = [(key, "required, but missing") for key in ("name", "spec") if key not in inputs]
    spec = inputs.get("spec")
    rules = spec.get("rules") if isinstance(spec, dict) else None
    for number, rule in enumerate(rules if isinstance(rules, list) else []):
        for key in _SWITCHES:
            value = rule.get(key) if isinstance(rule, dict) else None
            if isinstance(value, str) and value.upper() not in ("TRUE", "FALSE"):
                found.append(
                    (f"spec.rules[{number}].{key}", f"expected TRUE or FALSE, not {value}")
                )
    return found


ORG_POLICY: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:orgpolicy/policy:Policy",  # noqa: S106 - a type token
    inputs=frozenset({"name", "parent", "spec"}),
    computed=frozenset({"etag"}),
    volatile=frozenset({"etag"}),
    force_new=frozenset({"name", "parent"}),
    identity=frozenset({"name", "parent"}),
    canonical={"spec": _meaning},
    problems=_org_policy_problems,
    create=_create_org_policy,
    read=_read_org_policy,
    update=_update_org_policy,
    delete=_delete_org_policy,
)

_ROLE_FIELDS: Final = {
    "title": "title",
    "description": "description",
    "stage": "stage",
    "permissions": "includedPermissions",
}


def _role_body(inputs: Properties) -> dict[str, Any]:
    return {theirs: inputs[ours] for ours, theirs in _ROLE_FIELDS.items() if inputs.get(ours)}


def _create_role(session: GcpSession, inputs: Properties) -> Created:
    project = inputs.get("project") or session.project
    name = f"projects/{project}/roles/{inputs['roleId']}"
    body = {"roleId": inputs["roleId"], "role": _role_body(inputs)}
    try:
        session.call("POST", f"/v1/projects/{project}/roles", body)
    except GcpError as error:
        if error.status != ALREADY_EXISTS or not _role_deleted(session, name):
            raise
        # a deleted role keeps its name: brought back, as the official provider does
        session.call("POST", f"/v1/{name}:undelete", {})
        mask = ",".join(_ROLE_FIELDS.values())
        session.call("PATCH", f"/v1/{name}", _role_body(inputs), updateMask=mask)
    return Created(name)


def _role_deleted(session: GcpSession, name: str) -> bool:
    return bool(session.call("GET", f"/v1/{name}").get("deleted"))


@none_if_missing
def _read_role(session: GcpSession, name: str, _state: Properties) -> Properties | None:
    live = session.call("GET", f"/v1/{name}")
    if live.get("deleted"):
        return None
    parts = name.split("/")
    found = {ours: live.get(theirs) for ours, theirs in _ROLE_FIELDS.items()}
    identity = {"project": parts[1], "roleId": parts[3]}
    return {**found, **identity, "name": live["name"], "deleted": False}


def _update_role(session: GcpSession, change: Change) -> None:
    fields = sorted(_ROLE_FIELDS[key] for key in change.changed & _ROLE_FIELDS.keys())
    if fields:
        body = _role_body(change.new)
        session.call("PATCH", f"/v1/{change.identifier}", body, updateMask=",".join(fields))


def _delete_role(session: GcpSession, name: str, _state: Properties) -> None:
    with missing_is_fine():
        if not _role_deleted(session, name):
            session.call("DELETE", f"/v1/{name}")


CUSTOM_ROLE: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:projects/iAMCustomRole:IAMCustomRole",  # noqa: S106 - a type token
    inputs=frozenset({"roleId", "project", *_ROLE_FIELDS}),
    computed=frozenset({"name", "deleted"}),
    force_new=frozenset({"roleId", "project"}),
    identity=frozenset({"roleId", "project"}),
    filled_in=frozenset({"project"}),
    defaults={"description": "", "stage": "GA"},
    canonical={"permissions": unordered},
    # a role's id knows no dashes
    naming=Naming(input="roleId", max_length=64, separator="_"),
    create=_create_role,
    read=_read_role,
    update=_update_role,
    delete=_delete_role,
)
TYPES: Final = (DENY_POLICY, ORG_POLICY, CUSTOM_ROLE)
