"""aws:organizations OrganizationalUnit and Account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.organizations import account_output
from iamrange.engine.aws_types.tags import (
    TAG_OUTPUTS,
    TAGGING,
    organization_tags,
    retag_in_organization,
    tag_list,
)
from iamrange.engine.resource import Created, Naming, ProviderError, ResourceType, completing

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession
    from iamrange.engine.resource import Change, Properties

_ACCOUNT_SECONDS: Final = 60.0


def _parent(client: Any, child: str) -> str:  # noqa: ANN401 - a boto3 client
    return str(client.list_parents(ChildId=child)["Parents"][0]["Id"])


def _create_unit(session: AwsSession, inputs: Properties) -> Created:
    answer = session.client("organizations").create_organizational_unit(
        ParentId=inputs["parentId"], Name=inputs["name"], Tags=tag_list(inputs)
    )
    return Created(answer["OrganizationalUnit"]["Id"])


@none_if_missing
def _read_unit(session: AwsSession, identifier: str, _state: Properties) -> Properties:
    client = session.client("organizations")
    unit = client.describe_organizational_unit(OrganizationalUnitId=identifier)
    pages = client.get_paginator("list_accounts_for_parent").paginate(ParentId=identifier)
    accounts = [account for page in pages for account in page["Accounts"]]
    return {
        "name": unit["OrganizationalUnit"]["Name"],
        "parentId": _parent(client, identifier),
        "arn": unit["OrganizationalUnit"]["Arn"],
        "accounts": [
            {"id": a["Id"], "arn": a["Arn"], "email": a["Email"], "name": a["Name"]}
            for a in accounts
        ],
        "tagsAll": organization_tags(client, identifier),
    }


def _update_unit(session: AwsSession, change: Change) -> None:
    client = session.client("organizations")
    if "name" in change.changed:
        client.update_organizational_unit(
            OrganizationalUnitId=change.identifier, Name=change.new["name"]
        )
    retag_in_organization(client, change)


def _delete_unit(session: AwsSession, identifier: str, _state: Properties) -> None:
    with missing_is_fine():
        client = session.client("organizations")
        client.delete_organizational_unit(OrganizationalUnitId=identifier)


ORGANIZATIONAL_UNIT: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:organizations/organizationalUnit:OrganizationalUnit",  # noqa: S106 - a type token
    inputs=frozenset({"name", "parentId", "tags"}),
    computed=frozenset({"arn", "accounts"}) | TAG_OUTPUTS,
    volatile=frozenset({"accounts"}),
    force_new=frozenset({"parentId"}),
    # a unit cannot be moved
    identity=frozenset({"parentId"}),
    naming=Naming(max_length=128),
    tagging=TAGGING,
    create=_create_unit,
    read=_read_unit,
    update=_update_unit,
    delete=_delete_unit,
)


def _create_account(session: AwsSession, inputs: Properties) -> Created:
    client = session.client("organizations")
    optional: dict[str, Any] = {
        "RoleName": inputs.get("roleName"),
        "IamUserAccessToBilling": inputs.get("iamUserAccessToBilling"),
        "Tags": tag_list(inputs),
    }
    answer = client.create_account(
        Email=inputs["email"],
        AccountName=inputs["name"],
        **{key: value for key, value in optional.items() if value},
    )
    status = answer["CreateAccountStatus"]
    deadline = time.monotonic() + _ACCOUNT_SECONDS
    while status["State"] == "IN_PROGRESS" and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = client.describe_create_account_status(CreateAccountRequestId=status["Id"])
        status = answer["CreateAccountStatus"]
    if status["State"] != "SUCCEEDED":
        reason = status.get("FailureReason", status["State"])
        raise ProviderError(f"account {inputs['name']!r} was not created: {reason}")
    identifier = status["AccountId"]
    if inputs.get("parentId"):
        with completing(identifier):
            _move(client, identifier, inputs["parentId"])
    return Created(identifier)


def _move(client: Any, account: str, destination: str) -> None:  # noqa: ANN401 - a boto3 client
    source = _parent(client, account)
    if source != destination:
        client.move_account(
            AccountId=account, SourceParentId=source, DestinationParentId=destination
        )


@none_if_missing
def _read_account(session: AwsSession, identifier: str, _state: Properties) -> Properties | None:
    client = session.client("organizations")
    account = client.describe_account(AccountId=identifier)["Account"]
    if account["Status"] != "ACTIVE":
        return None
    output = account_output(account)
    return {
        "email": output["email"],
        "name": output["name"],
        "parentId": _parent(client, identifier),
        "arn": output["arn"],
        "status": output["status"],
        "state": account.get("State", output["status"]),
        "joinedMethod": output["joinedMethod"],
        "joinedTimestamp": output["joinedTimestamp"],
        "tagsAll": organization_tags(client, identifier),
    }


def _update_account(session: AwsSession, change: Change) -> None:
    client = session.client("organizations")
    if "parentId" in change.changed and change.new.get("parentId"):
        _move(client, change.identifier, change.new["parentId"])
    retag_in_organization(client, change)


def _delete_account(session: AwsSession, identifier: str, state: Properties) -> None:
    client = session.client("organizations")
    with missing_is_fine():
        if state.get("closeOnDeletion"):
            client.close_account(AccountId=identifier)
        else:
            client.remove_account_from_organization(AccountId=identifier)


ACCOUNT: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:organizations/account:Account",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "email",
            "name",
            "parentId",
            "roleName",
            "iamUserAccessToBilling",
            "closeOnDeletion",
            "tags",
        }
    ),
    computed=frozenset({"arn", "status", "state", "joinedMethod", "joinedTimestamp"}) | TAG_OUTPUTS,
    force_new=frozenset({"email", "name", "roleName", "iamUserAccessToBilling"}),
    identity=frozenset({"email", "name"}),
    # Organizations acts on these when it makes the account and tells nobody afterwards
    settings=frozenset({"roleName", "iamUserAccessToBilling", "closeOnDeletion"}),
    # without a parent of the program's own the account stays where it is
    exclusive=frozenset({"parentId"}),
    defaults={"closeOnDeletion": False},
    naming=Naming(max_length=50),
    tagging=TAGGING,
    create=_create_account,
    read=_read_account,
    update=_update_account,
    delete=_delete_account,
)
TYPES: Final = (ORGANIZATIONAL_UNIT, ACCOUNT)
