"""aws:organizations Policy and PolicyAttachment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.organizations import error_code
from iamrange.engine.aws_types.tags import (
    TAG_OUTPUTS,
    TAGGING,
    organization_tags,
    retag_in_organization,
    tag_list,
)
from iamrange.engine.documents import as_text, policy_document
from iamrange.engine.resource import Created, Naming, ResourceType

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession
    from iamrange.engine.resource import Change, Properties


def _create_policy(session: AwsSession, inputs: Properties) -> Created:
    answer = session.client("organizations").create_policy(
        Content=as_text(inputs["content"]),
        Description=inputs["description"],
        Name=inputs["name"],
        Type=inputs["type"],
        Tags=tag_list(inputs),
    )
    return Created(answer["Policy"]["PolicySummary"]["Id"])


@none_if_missing
def _read_policy(session: AwsSession, identifier: str, _state: Properties) -> Properties:
    client = session.client("organizations")
    policy = client.describe_policy(PolicyId=identifier)["Policy"]
    summary = policy["PolicySummary"]
    return {
        "name": summary["Name"],
        "description": summary.get("Description"),
        "type": summary["Type"],
        "content": policy["Content"],
        "arn": summary["Arn"],
        "tagsAll": organization_tags(client, identifier),
    }


def _update_policy(session: AwsSession, change: Change) -> None:
    client, new = session.client("organizations"), change.new
    if change.changed & {"name", "description", "content"}:
        client.update_policy(
            PolicyId=change.identifier,
            Name=new["name"],
            Description=new["description"],
            Content=as_text(new["content"]),
        )
    retag_in_organization(client, change)


def _delete_policy(session: AwsSession, identifier: str, state: Properties) -> None:
    if state.get("skipDestroy"):
        return
    with missing_is_fine():
        session.client("organizations").delete_policy(PolicyId=identifier)


POLICY: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:organizations/policy:Policy",  # noqa: S106 - a type token
    inputs=frozenset({"name", "description", "type", "content", "skipDestroy", "tags"}),
    computed=frozenset({"arn"}) | TAG_OUTPUTS,
    force_new=frozenset({"type"}),
    identity=frozenset({"type"}),
    settings=frozenset({"skipDestroy"}),
    defaults={"description": "", "type": "SERVICE_CONTROL_POLICY", "skipDestroy": False},
    canonical={"content": policy_document},
    naming=Naming(max_length=128),
    tagging=TAGGING,
    create=_create_policy,
    read=_read_policy,
    update=_update_policy,
    delete=_delete_policy,
)


def _attach(session: AwsSession, inputs: Properties) -> Created:
    target, policy = inputs["targetId"], inputs["policyId"]
    session.client("organizations").attach_policy(PolicyId=policy, TargetId=target)
    return Created(f"{target}:{policy}")


@none_if_missing
def _read_attachment(session: AwsSession, identifier: str, _state: Properties) -> Properties | None:
    target, _, policy = identifier.partition(":")
    paginator = session.client("organizations").get_paginator("list_targets_for_policy")
    for page in paginator.paginate(PolicyId=policy):
        if any(item["TargetId"] == target for item in page["Targets"]):
            return {"targetId": target, "policyId": policy}
    return None


def _detach(session: AwsSession, identifier: str, state: Properties) -> None:
    if state.get("skipDestroy"):
        return
    target, _, policy = identifier.partition(":")
    try:
        session.client("organizations").detach_policy(PolicyId=policy, TargetId=target)
    except ClientError as error:
        gone = {"PolicyNotAttachedException", "PolicyNotFoundException", "TargetNotFoundException"}
        if error_code(error) not in gone:
            raise


POLICY_ATTACHMENT: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:organizations/policyAttachment:PolicyAttachment",  # noqa: S106 - a type token
    inputs=frozenset({"policyId", "targetId", "skipDestroy"}),
    force_new=frozenset({"policyId", "targetId"}),
    identity=frozenset({"policyId", "targetId"}),
    settings=frozenset({"skipDestroy"}),
    defaults={"skipDestroy": False},
    create=_attach,
    read=_read_attachment,
    update=lambda _session, _change: None,
    delete=_detach,
)
TYPES: Final = (POLICY, POLICY_ATTACHMENT)
