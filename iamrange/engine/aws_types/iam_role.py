"""aws:iam/role:Role."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag, tag_list, tag_map
from iamrange.engine.documents import as_text, member_document, policy_document, unordered
from iamrange.engine.resource import (
    Change,
    Created,
    Naming,
    Properties,
    ResourceType,
    completing,
)

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession


def _create(session: AwsSession, inputs: Properties) -> Created:
    iam = session.client("iam")
    name = inputs["name"]
    optional: dict[str, Any] = {
        "Description": inputs.get("description"),
        "PermissionsBoundary": inputs.get("permissionsBoundary"),
        "Tags": tag_list(inputs),
    }
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=as_text(inputs["assumeRolePolicy"]),
        Path=inputs["path"],
        MaxSessionDuration=inputs["maxSessionDuration"],
        **{key: value for key, value in optional.items() if value},
    )
    with completing(name):
        _set_inline_policies(iam, name, inputs.get("inlinePolicies"))
        _set_managed_policies(iam, name, inputs.get("managedPolicyArns"))
    return Created(name)


@none_if_missing
def _read(session: AwsSession, name: str, state: Properties) -> Properties:
    iam = session.client("iam")
    role = iam.get_role(RoleName=name)["Role"]
    live = {
        "name": role["RoleName"],
        "path": role["Path"],
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
        "description": role.get("Description"),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
        "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "arn": role["Arn"],
        "uniqueId": role["RoleId"],
        "createDate": role["CreateDate"].isoformat(),
        "tagsAll": tag_map(role.get("Tags")),
    }
    # these own all the role's policies, and only where the program says so
    if "inlinePolicies" in state:
        live["inlinePolicies"] = _inline_policies(iam, name)
    if "managedPolicyArns" in state:
        live["managedPolicyArns"] = _managed_policies(iam, name)
    return live


def _update(session: AwsSession, change: Change) -> None:
    iam = session.client("iam")
    name, new, changed = change.identifier, change.new, change.changed
    if "assumeRolePolicy" in changed:
        document = as_text(new["assumeRolePolicy"])
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
    if changed & {"description", "maxSessionDuration"}:
        iam.update_role(
            RoleName=name,
            Description=new.get("description") or "",
            MaxSessionDuration=new["maxSessionDuration"],
        )
    if "permissionsBoundary" in changed:
        if new.get("permissionsBoundary"):
            arn = new["permissionsBoundary"]
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=arn)
        else:
            iam.delete_role_permissions_boundary(RoleName=name)
    if "inlinePolicies" in changed:
        _set_inline_policies(iam, name, new.get("inlinePolicies"))
    if "managedPolicyArns" in changed:
        _set_managed_policies(iam, name, new.get("managedPolicyArns"))
    retag(
        change,
        lambda tags: iam.tag_role(RoleName=name, Tags=tags),
        lambda keys: iam.untag_role(RoleName=name, TagKeys=keys),
    )


def _delete(session: AwsSession, name: str, state: Properties) -> None:
    iam = session.client("iam")
    with missing_is_fine():
        # what others attached blocks the deletion, unless the program says that it may go
        force = state.get("forceDetachPolicies")
        if force or "inlinePolicies" in state:
            _set_inline_policies(iam, name, [])
        if force or "managedPolicyArns" in state:
            _set_managed_policies(iam, name, [])
        iam.delete_role(RoleName=name)


def _inline_policies(iam: Any, role: str) -> list[dict[str, str]]:  # noqa: ANN401 - a boto3 client
    return [
        {"name": policy, "policy": json.dumps(_inline_document(iam, role, policy))}
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=role)
        for policy in page["PolicyNames"]
    ]


def _inline_document(iam: Any, role: str, policy: str) -> Any:  # noqa: ANN401 - a boto3 client, a JSON value
    return iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]


def _managed_policies(iam: Any, role: str) -> list[str]:  # noqa: ANN401 - a boto3 client
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    return sorted(p["PolicyArn"] for page in pages for p in page["AttachedPolicies"])


def _set_inline_policies(iam: Any, role: str, policies: list[dict[str, str]] | None) -> None:  # noqa: ANN401 - a boto3 client
    if policies is None:
        return
    wanted = {policy["name"]: policy["policy"] for policy in policies if policy.get("name")}
    live = {policy["name"]: policy["policy"] for policy in _inline_policies(iam, role)}
    for name in sorted(live.keys() - wanted.keys()):
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    for name, document in wanted.items():
        if policy_document(live.get(name)) != policy_document(document):
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)


def _set_managed_policies(iam: Any, role: str, arns: list[str] | None) -> None:  # noqa: ANN401 - a boto3 client
    if arns is None:
        return
    live = set(_managed_policies(iam, role))
    for arn in sorted(live - set(arns)):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in sorted(set(arns) - live):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)


ROLE: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/role:Role",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "name",
            "namePrefix",
            "path",
            "assumeRolePolicy",
            "description",
            "maxSessionDuration",
            "permissionsBoundary",
            "inlinePolicies",
            "managedPolicyArns",
            "forceDetachPolicies",
            "tags",
        }
    ),
    computed=frozenset({"arn", "uniqueId", "createDate"}) | TAG_OUTPUTS,
    force_new=frozenset({"name", "namePrefix", "path"}),
    identity=frozenset({"name", "path"}),
    settings=frozenset({"namePrefix", "forceDetachPolicies"}),
    exclusive=frozenset({"inlinePolicies", "managedPolicyArns"}),
    defaults={
        "path": "/",
        "maxSessionDuration": 3600,
        "description": "",
        "forceDetachPolicies": False,
    },
    canonical={
        "assumeRolePolicy": policy_document,
        "inlinePolicies": member_document("policy"),
        "managedPolicyArns": unordered,
    },
    naming=Naming(prefix="namePrefix"),
    tagging=TAGGING,
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
)
