"""aws:organizations Organization, OrganizationalUnit, Account, Policy and PolicyAttachment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag, tag_list, tag_map
from iamrange.engine.documents import as_text, policy_document, unordered
from iamrange.engine.resource import (
    Change,
    Created,
    Naming,
    Properties,
    ProviderError,
    ResourceType,
    completing,
)

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

# marks an organization that was there before this stack: it stays when the stack goes
_ADOPTED = "__adopted"
_ACCOUNT_SECONDS = 60.0


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _create_organization(session: AwsSession, inputs: Properties) -> Created:
    client = session.client("organizations")
    keep: dict[str, Any] = {}
    try:
        answer = client.create_organization(FeatureSet=inputs["featureSet"])
    except ClientError as error:
        if _code(error) != "AlreadyInOrganizationException":
            raise
        answer = client.describe_organization()
        if answer["Organization"]["MasterAccountId"] != session.account:
            raise
        keep = {_ADOPTED: True}
    identifier = answer["Organization"]["Id"]
    with completing(identifier, keep):
        _set_policy_types(client, inputs.get("enabledPolicyTypes"))
        _set_services(client, inputs.get("awsServiceAccessPrincipals"))
    return Created(identifier, keep)


def _root(client: Any) -> dict[str, Any]:  # noqa: ANN401 - a boto3 client
    root: dict[str, Any] = client.list_roots()["Roots"][0]
    return root


def _enabled_types(root: Properties) -> list[str]:
    enabled = [kind["Type"] for kind in root.get("PolicyTypes", []) if kind["Status"] == "ENABLED"]
    return sorted(enabled)


def _set_policy_types(client: Any, wanted: list[str] | None) -> None:  # noqa: ANN401 - a boto3 client
    if wanted is None:
        return
    root = _root(client)
    live = set(_enabled_types(root))
    for kind in sorted(set(wanted) - live):
        client.enable_policy_type(RootId=root["Id"], PolicyType=kind)
    for kind in sorted(live - set(wanted)):
        client.disable_policy_type(RootId=root["Id"], PolicyType=kind)


def _services(client: Any) -> list[str]:  # noqa: ANN401 - a boto3 client
    answer = client.list_aws_service_access_for_organization()
    return sorted(item["ServicePrincipal"] for item in answer["EnabledServicePrincipals"])


def _set_services(client: Any, wanted: list[str] | None) -> None:  # noqa: ANN401 - a boto3 client
    if wanted is None:
        return
    live = set(_services(client))
    for principal in sorted(set(wanted) - live):
        client.enable_aws_service_access(ServicePrincipal=principal)
    for principal in sorted(live - set(wanted)):
        client.disable_aws_service_access(ServicePrincipal=principal)


def _read_organization(
    session: AwsSession, identifier: str, state: Properties
) -> Properties | None:
    client = session.client("organizations")
    try:
        organization = client.describe_organization()["Organization"]
    except ClientError as error:
        if _code(error) == "AWSOrganizationsNotInUseException":
            return None
        raise
    if organization["Id"] != identifier:
        return None
    root = _root(client)
    pages = client.get_paginator("list_accounts").paginate()
    accounts = [_account_output(account) for page in pages for account in page["Accounts"]]
    master = organization["MasterAccountId"]
    live = {
        "featureSet": organization["FeatureSet"],
        "arn": organization["Arn"],
        "masterAccountId": master,
        "masterAccountArn": organization["MasterAccountArn"],
        "masterAccountEmail": organization["MasterAccountEmail"],
        "masterAccountName": next((a["name"] for a in accounts if a["id"] == master), None),
        "accounts": accounts,
        "nonMasterAccounts": [account for account in accounts if account["id"] != master],
        "roots": [
            {
                "id": root["Id"],
                "arn": root["Arn"],
                "name": root["Name"],
                "policyTypes": [
                    {"type": kind["Type"], "status": kind["Status"]}
                    for kind in root.get("PolicyTypes", [])
                ],
            }
        ],
    }
    if "enabledPolicyTypes" in state:
        live["enabledPolicyTypes"] = _enabled_types(root)
    if "awsServiceAccessPrincipals" in state:
        live["awsServiceAccessPrincipals"] = _services(client)
    return live


def _account_output(account: Properties) -> dict[str, Any]:
    joined = account.get("JoinedTimestamp")
    return {
        "id": account["Id"],
        "arn": account["Arn"],
        "email": account["Email"],
        "name": account["Name"],
        "status": account["Status"],
        "joinedMethod": account.get("JoinedMethod"),
        "joinedTimestamp": joined.isoformat() if joined else None,
    }


def _update_organization(session: AwsSession, change: Change) -> None:
    client = session.client("organizations")
    if "enabledPolicyTypes" in change.changed:
        _set_policy_types(client, change.new.get("enabledPolicyTypes") or [])
    if "awsServiceAccessPrincipals" in change.changed:
        _set_services(client, change.new.get("awsServiceAccessPrincipals") or [])


def _delete_organization(session: AwsSession, _identifier: str, state: Properties) -> None:
    if state.get(_ADOPTED):
        return
    with missing_is_fine():
        session.client("organizations").delete_organization()


ORGANIZATION: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:organizations/organization:Organization",  # noqa: S106 - a type token
    inputs=frozenset({"featureSet", "enabledPolicyTypes", "awsServiceAccessPrincipals"}),
    computed=frozenset(
        {
            "arn",
            "masterAccountId",
            "masterAccountArn",
            "masterAccountEmail",
            "masterAccountName",
            "accounts",
            "nonMasterAccounts",
            "roots",
        }
    ),
    volatile=frozenset({"accounts", "nonMasterAccounts", "roots"}),
    kept=frozenset({_ADOPTED}),
    force_new=frozenset({"featureSet"}),
    identity=frozenset({"featureSet"}),
    exclusive=frozenset({"enabledPolicyTypes", "awsServiceAccessPrincipals"}),
    defaults={"featureSet": "ALL"},
    canonical={"enabledPolicyTypes": unordered, "awsServiceAccessPrincipals": unordered},
    singleton=True,
    create=_create_organization,
    read=_read_organization,
    update=_update_organization,
    delete=_delete_organization,
)


def _tags(client: Any, identifier: str) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    return tag_map(client.list_tags_for_resource(ResourceId=identifier).get("Tags"))


def _parent(client: Any, child: str) -> str:  # noqa: ANN401 - a boto3 client
    return str(client.list_parents(ChildId=child)["Parents"][0]["Id"])


def _retag(client: Any, change: Change) -> None:  # noqa: ANN401 - a boto3 client
    retag(
        change,
        lambda tags: client.tag_resource(ResourceId=change.identifier, Tags=tags),
        lambda keys: client.untag_resource(ResourceId=change.identifier, TagKeys=keys),
    )


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
        "tagsAll": _tags(client, identifier),
    }


def _update_unit(session: AwsSession, change: Change) -> None:
    client = session.client("organizations")
    if "name" in change.changed:
        client.update_organizational_unit(
            OrganizationalUnitId=change.identifier, Name=change.new["name"]
        )
    _retag(client, change)


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
    output = _account_output(account)
    return {
        "email": output["email"],
        "name": output["name"],
        "parentId": _parent(client, identifier),
        "arn": output["arn"],
        "status": output["status"],
        "state": account.get("State", output["status"]),
        "joinedMethod": output["joinedMethod"],
        "joinedTimestamp": output["joinedTimestamp"],
        "tagsAll": _tags(client, identifier),
    }


def _update_account(session: AwsSession, change: Change) -> None:
    client = session.client("organizations")
    if "parentId" in change.changed and change.new.get("parentId"):
        _move(client, change.identifier, change.new["parentId"])
    _retag(client, change)


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
        "tagsAll": _tags(client, identifier),
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
    _retag(client, change)


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
        if _code(error) not in gone:
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
TYPES: Final = (ORGANIZATION, ORGANIZATIONAL_UNIT, ACCOUNT, POLICY, POLICY_ATTACHMENT)
