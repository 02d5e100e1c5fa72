"""aws:organizations Organization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from iamrange.engine.aws_types.missing import missing_is_fine
from iamrange.engine.documents import unordered
from iamrange.engine.resource import (
    Change,
    Created,
    Properties,
    ResourceType,
    completing,
)

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

# marks an organization that was there before this stack: it stays when the stack goes
_ADOPTED = "__adopted"


def error_code(error: ClientError) -> str:
    """Return the code of an AWS error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _create_organization(session: AwsSession, inputs: Properties) -> Created:
    client = session.client("organizations")
    keep: dict[str, Any] = {}
    try:
        answer = client.create_organization(FeatureSet=inputs["featureSet"])
    except ClientError as error:
        if error_code(error) != "AlreadyInOrganizationException":
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
        if error_code(error) == "AWSOrganizationsNotInUseException":
            return None
        raise
    if organization["Id"] != identifier:
        return None
    root = _root(client)
    pages = client.get_paginator("list_accounts").paginate()
    accounts = [account_output(account) for page in pages for account in page["Accounts"]]
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


def account_output(account: Properties) -> dict[str, Any]:
    """Return a member account as outputs show it."""
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
TYPES: Final = (ORGANIZATION,)
