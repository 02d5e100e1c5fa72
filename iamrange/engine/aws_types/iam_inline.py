"""aws:iam RolePolicy, UserPolicy and GroupPolicy: a policy inside its principal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.documents import as_text, policy_document
from iamrange.engine.resource import Change, Created, Naming, Properties, ResourceType

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession


def _inline(principal: str) -> ResourceType[AwsSession]:
    """Return the type for one kind of principal: `role`, `user` or `group`."""
    parameter = f"{principal.capitalize()}Name"

    def call(session: AwsSession, verb: str, identifier: str, **more: str) -> Any:  # noqa: ANN401 - boto3's answers
        owner, _, name = identifier.partition(":")
        operation = getattr(session.client("iam"), f"{verb}_{principal}_policy")
        return operation(**{parameter: owner}, PolicyName=name, **more)

    def create(session: AwsSession, inputs: Properties) -> Created:
        identifier = f"{inputs[principal]}:{inputs['name']}"
        call(session, "put", identifier, PolicyDocument=as_text(inputs["policy"]))
        return Created(identifier)

    @none_if_missing
    def read(session: AwsSession, identifier: str, _state: Properties) -> Properties:
        live = call(session, "get", identifier)
        return {
            principal: live[parameter],
            "name": live["PolicyName"],
            "policy": json.dumps(live["PolicyDocument"]),
        }

    def update(session: AwsSession, change: Change) -> None:
        document = as_text(change.new["policy"])
        call(session, "put", change.identifier, PolicyDocument=document)

    def delete(session: AwsSession, identifier: str, _state: Properties) -> None:
        with missing_is_fine():
            call(session, "delete", identifier)

    return ResourceType(
        token=f"aws:iam/{principal}Policy:{principal.capitalize()}Policy",
        inputs=frozenset({principal, "name", "namePrefix", "policy"}),
        force_new=frozenset({principal, "name", "namePrefix"}),
        identity=frozenset({principal, "name"}),
        settings=frozenset({"namePrefix"}),
        canonical={"policy": policy_document},
        naming=Naming(prefix="namePrefix", max_length=128),
        create=create,
        read=read,
        update=update,
        delete=delete,
    )


ROLE_POLICY: Final = _inline("role")
USER_POLICY: Final = _inline("user")
GROUP_POLICY: Final = _inline("group")


def _attachment(principal: str) -> ResourceType[AwsSession]:
    """Return the type that attaches a managed policy to one kind of principal."""
    parameter = f"{principal.capitalize()}Name"

    def call(session: AwsSession, verb: str, identifier: str) -> None:
        owner, _, arn = identifier.partition("/")
        operation = getattr(session.client("iam"), f"{verb}_{principal}_policy")
        operation(**{parameter: owner}, PolicyArn=arn)

    def create(session: AwsSession, inputs: Properties) -> Created:
        identifier = f"{inputs[principal]}/{inputs['policyArn']}"
        call(session, "attach", identifier)
        return Created(identifier)

    @none_if_missing
    def read(session: AwsSession, identifier: str, _state: Properties) -> Properties | None:
        owner, _, arn = identifier.partition("/")
        paginator = session.client("iam").get_paginator(f"list_attached_{principal}_policies")
        for page in paginator.paginate(**{parameter: owner}):
            if any(policy["PolicyArn"] == arn for policy in page["AttachedPolicies"]):
                return {principal: owner, "policyArn": arn}
        return None

    def delete(session: AwsSession, identifier: str, _state: Properties) -> None:
        with missing_is_fine():
            call(session, "detach", identifier)

    return ResourceType(
        token=f"aws:iam/{principal}PolicyAttachment:{principal.capitalize()}PolicyAttachment",
        inputs=frozenset({principal, "policyArn"}),
        force_new=frozenset({principal, "policyArn"}),
        identity=frozenset({principal, "policyArn"}),
        create=create,
        read=read,
        delete=delete,
    )


ROLE_POLICY_ATTACHMENT: Final = _attachment("role")
USER_POLICY_ATTACHMENT: Final = _attachment("user")
GROUP_POLICY_ATTACHMENT: Final = _attachment("group")

TYPES: Final = (
    ROLE_POLICY,
    USER_POLICY,
    GROUP_POLICY,
    ROLE_POLICY_ATTACHMENT,
    USER_POLICY_ATTACHMENT,
    GROUP_POLICY_ATTACHMENT,
)
