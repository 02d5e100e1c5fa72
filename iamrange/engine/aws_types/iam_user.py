"""aws:iam User, AccessKey, Group and the memberships between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag, tag_list, tag_map
from iamrange.engine.documents import unordered
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


def _create_user(session: AwsSession, inputs: Properties) -> Created:
    optional = {
        "PermissionsBoundary": inputs.get("permissionsBoundary"),
        "Tags": tag_list(inputs),
    }
    session.client("iam").create_user(
        UserName=inputs["name"],
        Path=inputs["path"],
        **{key: value for key, value in optional.items() if value},
    )
    return Created(inputs["name"])


@none_if_missing
def _read_user(session: AwsSession, name: str, _state: Properties) -> Properties:
    user = session.client("iam").get_user(UserName=name)["User"]
    return {
        "name": user["UserName"],
        "path": user["Path"],
        "permissionsBoundary": user.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "arn": user["Arn"],
        "uniqueId": user["UserId"],
        "tagsAll": tag_map(user.get("Tags")),
    }


def _update_user(session: AwsSession, change: Change) -> None:
    iam = session.client("iam")
    name, new = change.identifier, change.new
    if "path" in change.changed:
        iam.update_user(UserName=name, NewPath=new["path"])
    if "permissionsBoundary" in change.changed:
        if new.get("permissionsBoundary"):
            arn = new["permissionsBoundary"]
            iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=arn)
        else:
            iam.delete_user_permissions_boundary(UserName=name)
    retag(
        change,
        lambda tags: iam.tag_user(UserName=name, Tags=tags),
        lambda keys: iam.untag_user(UserName=name, TagKeys=keys),
    )


def _delete_user(session: AwsSession, name: str, state: Properties) -> None:
    iam = session.client("iam")
    with missing_is_fine():
        if state.get("forceDestroy"):
            _empty_user(iam, name)
        iam.delete_user(UserName=name)


def _empty_user(iam: Any, name: str) -> None:  # noqa: ANN401 - a boto3 client
    """Take away what others gave the user: IAM deletes an empty one only."""
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    for attached in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
        iam.detach_user_policy(UserName=name, PolicyArn=attached["PolicyArn"])
    for group in iam.list_groups_for_user(UserName=name)["Groups"]:
        iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
    with missing_is_fine():
        iam.delete_login_profile(UserName=name)


USER: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/user:User",  # noqa: S106 - a type token
    inputs=frozenset({"name", "path", "permissionsBoundary", "forceDestroy", "tags"}),
    computed=frozenset({"arn", "uniqueId"}) | TAG_OUTPUTS,
    volatile=frozenset({"arn"}),
    force_new=frozenset({"name"}),
    identity=frozenset({"name"}),
    settings=frozenset({"forceDestroy"}),
    defaults={"path": "/", "forceDestroy": False},
    naming=Naming(),
    tagging=TAGGING,
    create=_create_user,
    read=_read_user,
    update=_update_user,
    delete=_delete_user,
)


def _create_key(session: AwsSession, inputs: Properties) -> Created:
    iam = session.client("iam")
    user = inputs["user"]
    key = iam.create_access_key(UserName=user)["AccessKey"]
    keep = {"secret": key["SecretAccessKey"]}
    if inputs["status"] != "Active":
        with completing(key["AccessKeyId"], keep):
            iam.update_access_key(
                UserName=user, AccessKeyId=key["AccessKeyId"], Status=inputs["status"]
            )
    return Created(key["AccessKeyId"], keep)


@none_if_missing
def _read_key(session: AwsSession, key_id: str, state: Properties) -> Properties | None:
    iam = session.client("iam")
    # an import has only the key's id; the cloud knows whose it is
    user = state.get("user") or iam.get_access_key_last_used(AccessKeyId=key_id)["UserName"]
    for page in iam.get_paginator("list_access_keys").paginate(UserName=user):
        for key in page["AccessKeyMetadata"]:
            if key["AccessKeyId"] == key_id:
                created = key["CreateDate"].isoformat()
                return {"user": user, "status": key["Status"], "createDate": created}
    return None


def _update_key(session: AwsSession, change: Change) -> None:
    session.client("iam").update_access_key(
        UserName=change.new["user"], AccessKeyId=change.identifier, Status=change.new["status"]
    )


def _delete_key(session: AwsSession, key_id: str, state: Properties) -> None:
    with missing_is_fine():
        session.client("iam").delete_access_key(UserName=state["user"], AccessKeyId=key_id)


ACCESS_KEY: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/accessKey:AccessKey",  # noqa: S106 - a type token
    inputs=frozenset({"user", "status"}),
    computed=frozenset({"createDate"}),
    kept=frozenset({"secret"}),
    secrets=frozenset({"secret"}),
    force_new=frozenset({"user"}),
    identity=frozenset({"user"}),
    defaults={"status": "Active"},
    create=_create_key,
    read=_read_key,
    update=_update_key,
    delete=_delete_key,
)


def _create_group(session: AwsSession, inputs: Properties) -> Created:
    session.client("iam").create_group(GroupName=inputs["name"], Path=inputs["path"])
    return Created(inputs["name"])


@none_if_missing
def _read_group(session: AwsSession, name: str, _state: Properties) -> Properties:
    group = session.client("iam").get_group(GroupName=name)["Group"]
    return {
        "name": group["GroupName"],
        "path": group["Path"],
        "arn": group["Arn"],
        "uniqueId": group["GroupId"],
    }


def _delete_group(session: AwsSession, name: str, _state: Properties) -> None:
    with missing_is_fine():
        session.client("iam").delete_group(GroupName=name)


GROUP: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/group:Group",  # noqa: S106 - a type token
    inputs=frozenset({"name", "path"}),
    computed=frozenset({"arn", "uniqueId"}),
    force_new=frozenset({"name", "path"}),
    # the range's store moves no group to another path: a new path is a new group
    identity=frozenset({"name", "path"}),
    defaults={"path": "/"},
    naming=Naming(max_length=128),
    create=_create_group,
    read=_read_group,
    delete=_delete_group,
)


def _members(iam: Any, group: str) -> set[str]:  # noqa: ANN401 - a boto3 client
    pages = iam.get_paginator("get_group").paginate(GroupName=group)
    return {user["UserName"] for page in pages for user in page["Users"]}


def _groups(iam: Any, user: str) -> set[str]:  # noqa: ANN401 - a boto3 client
    pages = iam.get_paginator("list_groups_for_user").paginate(UserName=user)
    return {group["GroupName"] for page in pages for group in page["Groups"]}


def _join(iam: Any, pairs: set[tuple[str, str]]) -> None:  # noqa: ANN401 - a boto3 client
    for user, group in sorted(pairs):
        iam.add_user_to_group(UserName=user, GroupName=group)


def _leave(iam: Any, pairs: set[tuple[str, str]]) -> None:  # noqa: ANN401 - a boto3 client
    for user, group in sorted(pairs):
        with missing_is_fine():
            iam.remove_user_from_group(UserName=user, GroupName=group)


def _create_group_membership(session: AwsSession, inputs: Properties) -> Created:
    _join(session.client("iam"), {(user, inputs["group"]) for user in inputs["users"]})
    # one membership owns all the users of its group
    return Created(inputs["group"])


@none_if_missing
def _read_group_membership(session: AwsSession, group: str, state: Properties) -> Properties | None:
    users = sorted(_members(session.client("iam"), group))
    if not users:
        return None
    return {"group": group, "users": users, "name": state.get("name")}


def _update_group_membership(session: AwsSession, change: Change) -> None:
    iam, group = session.client("iam"), change.identifier
    before, after = _members(iam, group), set(change.new["users"])
    _join(iam, {(user, group) for user in after - before})
    _leave(iam, {(user, group) for user in before - after})


def _delete_group_membership(session: AwsSession, group: str, state: Properties) -> None:
    _leave(session.client("iam"), {(user, group) for user in state.get("users") or []})


GROUP_MEMBERSHIP: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/groupMembership:GroupMembership",  # noqa: S106 - a type token
    inputs=frozenset({"group", "users", "name"}),
    force_new=frozenset({"group"}),
    identity=frozenset({"group"}),
    # the membership's name is Pulumi's own: IAM has none
    settings=frozenset({"name"}),
    canonical={"users": unordered},
    naming=Naming(),
    singleton=True,
    create=_create_group_membership,
    read=_read_group_membership,
    update=_update_group_membership,
    delete=_delete_group_membership,
)


def _create_user_membership(session: AwsSession, inputs: Properties) -> Created:
    user, groups = inputs["user"], sorted(inputs["groups"])
    _join(session.client("iam"), {(user, group) for group in groups})
    # several memberships may share a user, so the groups are part of the id
    return Created("/".join([user, *groups]))


@none_if_missing
def _read_user_membership(
    session: AwsSession, identifier: str, state: Properties
) -> Properties | None:
    user, *named = identifier.split("/")
    ours = set(state.get("groups") or named)
    groups = sorted(_groups(session.client("iam"), user) & ours)
    # other memberships of the same user are none of this resource's business
    return {"user": user, "groups": groups} if groups else None


def _update_user_membership(session: AwsSession, change: Change) -> None:
    iam, user = session.client("iam"), change.new["user"]
    before, after = set(change.old.get("groups") or []), set(change.new["groups"])
    _join(iam, {(user, group) for group in after - before})
    _leave(iam, {(user, group) for group in before - after})


def _delete_user_membership(session: AwsSession, _identifier: str, state: Properties) -> None:
    pairs = {(state["user"], group) for group in state.get("groups") or []}
    _leave(session.client("iam"), pairs)


USER_GROUP_MEMBERSHIP: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/userGroupMembership:UserGroupMembership",  # noqa: S106 - a type token
    inputs=frozenset({"user", "groups"}),
    force_new=frozenset({"user"}),
    identity=frozenset({"user"}),
    canonical={"groups": unordered},
    create=_create_user_membership,
    read=_read_user_membership,
    update=_update_user_membership,
    delete=_delete_user_membership,
)
TYPES: Final = (USER, ACCESS_KEY, GROUP, GROUP_MEMBERSHIP, USER_GROUP_MEMBERSHIP)
