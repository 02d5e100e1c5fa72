"""Reads an AWS estate through its own APIs, with an administrator's key for each account.

- Nothing is written, and no secret's value is asked for.
- An account that does not answer is an exception: half an estate would decide wrongly.
"""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from iamrange.credentials.privileges.estate import Document, Estate, Identity, Levels, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Client = Any
_NO_POLICY = frozenset(
    {"NoSuchBucketPolicy", "ResourceNotFoundException", "NoSuchEntity", "PolicyNotFoundException"}
)
_NOT_IN_USE = "AWSOrganizationsNotInUseException"


class ReadError(OSError):
    """An account could not be read; the message says which call and the cloud's own code."""


def read_estate(
    endpoint: str,
    keys: Mapping[str, Mapping[str, str]],
    *,
    region: str,
    management: str | None = None,
    source_ip: str | None = None,
) -> Estate:
    """Read the accounts whose administrators' keys are given.

    `management` is the organisation's management account; None: there is no organisation.

    Raises:
        ReadError: the cloud refused a call, or does not answer as it should.
    """
    sessions: dict[str, Any] = {
        account: boto3.Session(
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            region_name=region,
        )
        for account, key in keys.items()
    }

    def client(account: str, service: str) -> Client:
        return sessions[account].client(service, endpoint_url=endpoint)

    try:
        identities: dict[str, Identity] = {}
        resources: dict[str, Resource] = {}
        managed: dict[str, str] = {}
        for account in keys:
            iam = client(account, "iam")
            for identity in _identities(iam, managed):
                identities[identity.arn] = identity
            for resource in _resources(functools.partial(client, account), account):
                resources[resource.arn] = resource
        organization, members, scps, rcps = _organization(client, management, tuple(keys))
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        raise ReadError(f"AWS at {endpoint}: {error.operation_name} answered {code}") from error
    except BotoCoreError as error:
        raise ReadError(f"AWS at {endpoint}: {type(error).__name__}") from error
    return Estate(
        identities=identities,
        resources=resources,
        managed=managed,
        scps=scps,
        rcps=rcps,
        organization=organization,
        members=members,
        source_ip=source_ip,
        region=region,
        now=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _pages(client: Client, operation: str, member: str, **parameters: str) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**parameters):
        yield from page[member]


def _text(document: object) -> str:
    """Return a document's text: boto3 decodes IAM's into objects, others stay text."""
    return unquote(document) if isinstance(document, str) else json.dumps(document)


def _tags(found: object) -> dict[str, str]:
    listed = found if isinstance(found, list) else []
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in listed}


def _identities(iam: Client, managed: dict[str, str]) -> Iterator[Identity]:
    for summary in _pages(iam, "list_roles", "Roles"):
        name = summary["RoleName"]
        role = iam.get_role(RoleName=name)["Role"]
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        yield Identity(
            arn=role["Arn"],
            policies=(
                *_inline(iam, "role", name),
                *_attached(iam, "role", name, managed),
            ),
            boundary=None if boundary is None else _managed(iam, boundary, managed),
            trust=Document(role["Arn"], _text(role["AssumeRolePolicyDocument"])),
            tags=_tags(role.get("Tags")),
        )
    for summary in _pages(iam, "list_users", "Users"):
        name = summary["UserName"]
        user = iam.get_user(UserName=name)["User"]
        boundary = user.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        groups = [
            group["GroupName"]
            for group in _pages(iam, "list_groups_for_user", "Groups", UserName=name)
        ]
        yield Identity(
            arn=user["Arn"],
            policies=(
                *_inline(iam, "user", name),
                *_attached(iam, "user", name, managed),
                *(d for group in groups for d in _inline(iam, "group", group)),
                *(d for group in groups for d in _attached(iam, "group", group, managed)),
            ),
            boundary=None if boundary is None else _managed(iam, boundary, managed),
            tags=_tags(user.get("Tags")),
        )


def _inline(iam: Client, kind: str, name: str) -> Iterator[Document]:
    owner = {f"{kind.title()}Name": name}
    prefix = f"group:{name}" if kind == "group" else "inline"
    for policy in _pages(iam, f"list_{kind}_policies", "PolicyNames", **owner):
        found = getattr(iam, f"get_{kind}_policy")(**owner, PolicyName=policy)
        yield Document(f"{prefix}:{policy}", _text(found["PolicyDocument"]))


def _attached(iam: Client, kind: str, name: str, managed: dict[str, str]) -> Iterator[Document]:
    owner = {f"{kind.title()}Name": name}
    for policy in _pages(iam, f"list_attached_{kind}_policies", "AttachedPolicies", **owner):
        yield _managed(iam, policy["PolicyArn"], managed)


def _managed(iam: Client, arn: str, managed: dict[str, str]) -> Document:
    if arn not in managed:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        managed[arn] = _text(found["Document"])
    return Document(arn, managed[arn])


def _resources(client: Callable[[str], Client], account: str) -> Iterator[Resource]:
    secrets = client("secretsmanager")
    for secret in _pages(secrets, "list_secrets", "SecretList"):
        arn = secret["ARN"]
        found = _or_none(secrets.get_resource_policy, SecretId=arn)
        text = found.get("ResourcePolicy") if found else None
        yield _resource(arn, account, text, _tags(secret.get("Tags")), f"secret:{secret['Name']}")
    keys = client("kms")
    for key in _pages(keys, "list_keys", "Keys"):
        about = keys.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        text = keys.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
        known_as = f"key:{about.get('Description', '')}"
        yield _resource(about["Arn"], account, text, {}, known_as)
    tables = client("dynamodb")
    for name in _pages(tables, "list_tables", "TableNames"):
        arn = tables.describe_table(TableName=name)["Table"]["TableArn"]
        tags = _tags(tables.list_tags_of_resource(ResourceArn=arn).get("Tags"))
        yield _resource(arn, account, None, tags, f"table:{name}")
    buckets = client("s3")
    for bucket in buckets.list_buckets().get("Buckets", ()):
        name = bucket["Name"]
        found = _or_none(buckets.get_bucket_policy, Bucket=name)
        text = found["Policy"] if found else None
        yield _resource(f"arn:aws:s3:::{name}", account, text, {}, f"bucket:{name}")
    for trail in client("cloudtrail").describe_trails().get("trailList", ()):
        yield _resource(trail["TrailARN"], account, None, {}, f"trail:{trail['Name']}")
    for function in _pages(client("lambda"), "list_functions", "Functions"):
        arn = function["FunctionArn"]
        yield _resource(arn, account, None, {}, f"function:{function['FunctionName']}")


def _resource(
    arn: str, account: str, text: object, tags: Mapping[str, str], known_as: str
) -> Resource:
    policy = Document(arn, _text(text)) if text else None
    return Resource(arn=arn, account=account, policy=policy, tags=tags, known_as=known_as)


def _or_none(call: Callable[..., Any], **parameters: str) -> Any:  # noqa: ANN401 - boto3's answer
    """Return what a call answers; None where there is no such policy."""
    try:
        return call(**parameters)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _NO_POLICY:
            return None
        raise


def _organization(
    client: Callable[[str, str], Client], management: str | None, accounts: tuple[str, ...]
) -> tuple[str | None, frozenset[str], dict[str, Levels], dict[str, Levels]]:
    if management is None:
        return None, frozenset(), {}, {}
    api = client(management, "organizations")
    try:
        organization = api.describe_organization()["Organization"]["Id"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == _NOT_IN_USE:
            return None, frozenset(), {}, {}
        raise
    members = frozenset(account["Id"] for account in _pages(api, "list_accounts", "Accounts"))
    bound = [account for account in accounts if account in members and account != management]
    types = {
        kind["Type"]
        for root in _pages(api, "list_roots", "Roots")
        for kind in root.get("PolicyTypes", ())
        if kind.get("Status") == "ENABLED"
    }
    levels: dict[str, dict[str, Levels]] = {}
    for kind in ("SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"):
        levels[kind] = (
            {account: _levels(api, account, kind) for account in bound} if kind in types else {}
        )
    scps, rcps = levels["SERVICE_CONTROL_POLICY"], levels["RESOURCE_CONTROL_POLICY"]
    return organization, members, scps, rcps


def _levels(api: Client, account: str, kind: str) -> Levels:
    """Return the policies over an account, level by level, root first."""
    line = [account]
    while not line[0].startswith("r-"):
        line.insert(0, api.list_parents(ChildId=line[0])["Parents"][0]["Id"])
    return tuple(
        tuple(
            Document(
                policy["Id"],
                str(api.describe_policy(PolicyId=policy["Id"])["Policy"]["Content"]),
            )
            for policy in _pages(
                api, "list_policies_for_target", "Policies", TargetId=target, Filter=kind
            )
        )
        for target in line
    )
