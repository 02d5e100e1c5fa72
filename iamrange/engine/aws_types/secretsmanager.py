"""aws:secretsmanager Secret, SecretVersion and SecretPolicy."""

from __future__ import annotations

import base64
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
    ResourceType,
    completing,
)

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

_CURRENT = "AWSCURRENT"


def _create_secret(session: AwsSession, inputs: Properties) -> Created:
    client = session.client("secretsmanager")
    optional: dict[str, Any] = {
        "Description": inputs.get("description"),
        "KmsKeyId": inputs.get("kmsKeyId"),
        "Tags": tag_list(inputs),
    }
    given = {key: value for key, value in optional.items() if value}
    arn = client.create_secret(Name=inputs["name"], **given)["ARN"]
    if inputs.get("policy"):
        with completing(arn):
            client.put_resource_policy(SecretId=arn, ResourcePolicy=as_text(inputs["policy"]))
    return Created(arn)


@none_if_missing
def _read_secret(session: AwsSession, arn: str, state: Properties) -> Properties | None:
    client = session.client("secretsmanager")
    secret = client.describe_secret(SecretId=arn)
    if secret.get("DeletedDate"):
        # waiting for its recovery window: gone, as far as anyone can use it
        return None
    live = {
        "name": secret["Name"],
        "arn": secret["ARN"],
        "description": secret.get("Description"),
        "kmsKeyId": secret.get("KmsKeyId"),
        "tagsAll": tag_map(secret.get("Tags")),
    }
    if "policy" in state:
        live["policy"] = client.get_resource_policy(SecretId=arn).get("ResourcePolicy")
    return live


def _update_secret(session: AwsSession, change: Change) -> None:
    client = session.client("secretsmanager")
    arn, new = change.identifier, change.new
    if change.changed & {"description", "kmsKeyId"}:
        # without a key of the program's own the account's default key is used
        key = new.get("kmsKeyId") or "alias/aws/secretsmanager"
        description = new.get("description") or ""
        given = {"KmsKeyId": key} if "kmsKeyId" in change.changed else {}
        client.update_secret(SecretId=arn, Description=description, **given)
    if "policy" in change.changed:
        if new.get("policy"):
            client.put_resource_policy(SecretId=arn, ResourcePolicy=as_text(new["policy"]))
        else:
            client.delete_resource_policy(SecretId=arn)
    retag(
        change,
        lambda tags: client.tag_resource(SecretId=arn, Tags=tags),
        lambda keys: client.untag_resource(SecretId=arn, TagKeys=keys),
    )


def _delete_secret(session: AwsSession, arn: str, state: Properties) -> None:
    client = session.client("secretsmanager")
    days = state["recoveryWindowInDays"]
    how = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
    with missing_is_fine():
        client.delete_secret(SecretId=arn, **how)


SECRET: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:secretsmanager/secret:Secret",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "name",
            "namePrefix",
            "description",
            "kmsKeyId",
            "policy",
            "recoveryWindowInDays",
            "tags",
        }
    ),
    computed=frozenset({"arn"}) | TAG_OUTPUTS,
    force_new=frozenset({"name", "namePrefix"}),
    identity=frozenset({"name"}),
    settings=frozenset({"namePrefix", "recoveryWindowInDays"}),
    exclusive=frozenset({"policy"}),
    defaults={
        "description": "",
        "recoveryWindowInDays": 30,
        "kmsKeyId": "alias/aws/secretsmanager",
    },
    canonical={"policy": policy_document},
    naming=Naming(prefix="namePrefix", max_length=512),
    tagging=TAGGING,
    create=_create_secret,
    read=_read_secret,
    update=_update_secret,
    delete=_delete_secret,
)


def _value(inputs: Properties) -> dict[str, Any]:
    if inputs.get("secretBinary") is not None:
        return {"SecretBinary": base64.b64decode(inputs["secretBinary"])}
    return {"SecretString": inputs.get("secretString") or ""}


def _create_version(session: AwsSession, inputs: Properties) -> Created:
    client = session.client("secretsmanager")
    stages = inputs.get("versionStages")
    given = {"VersionStages": stages} if stages else {}
    answer = client.put_secret_value(SecretId=inputs["secretId"], **_value(inputs), **given)
    return Created(f"{answer['ARN']}|{answer['VersionId']}")


@none_if_missing
def _read_version(session: AwsSession, identifier: str, state: Properties) -> Properties | None:
    client = session.client("secretsmanager")
    arn, _, version = identifier.partition("|")
    value = client.get_secret_value(SecretId=arn, VersionId=version)
    binary = value.get("SecretBinary")
    stages = value.get("VersionStages") or []
    if not stages:
        # a version without a stage is deprecated: nothing finds it any more
        return None
    return {
        # as the program wrote it: by ARN or by name
        "secretId": state.get("secretId") or value["ARN"],
        "secretString": value.get("SecretString"),
        "secretBinary": base64.b64encode(binary).decode() if binary else None,
        "versionStages": stages,
        "versionId": value["VersionId"],
        "arn": value["ARN"],
        "secretArn": value["ARN"],
        "hasSecretStringWo": False,
    }


def _update_version(session: AwsSession, change: Change) -> None:
    """Move the stages; the value itself is replaced, by a version of its own."""
    client = session.client("secretsmanager")
    arn, _, version = change.identifier.partition("|")
    wanted = set(change.new["versionStages"])
    secret = client.describe_secret(SecretId=arn)
    holders = {
        stage: holder
        for holder, stages in (secret.get("VersionIdsToStages") or {}).items()
        for stage in stages
    }
    for stage in sorted(wanted):
        if holders.get(stage) != version:
            given = {"RemoveFromVersionId": holders[stage]} if stage in holders else {}
            client.update_secret_version_stage(
                SecretId=arn, VersionStage=stage, MoveToVersionId=version, **given
            )
    for stage, holder in holders.items():
        # AWSCURRENT can be moved, never removed
        if holder == version and stage not in wanted and stage != _CURRENT:
            client.update_secret_version_stage(
                SecretId=arn, VersionStage=stage, RemoveFromVersionId=version
            )


def _delete_version(session: AwsSession, identifier: str, _state: Properties) -> None:
    """Take the stages away; AWS deletes the version itself, and keeps the current one."""
    client = session.client("secretsmanager")
    arn, _, version = identifier.partition("|")
    with missing_is_fine():
        secret = client.describe_secret(SecretId=arn)
        for stage in (secret.get("VersionIdsToStages") or {}).get(version, []):
            if stage == _CURRENT:
                continue
            try:
                client.update_secret_version_stage(
                    SecretId=arn, VersionStage=stage, RemoveFromVersionId=version
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidRequestException":
                    raise


def _version_problems(inputs: Properties) -> list[tuple[str, str]]:
    if ("secretString" in inputs) == ("secretBinary" in inputs):
        return [("secretString", "exactly one of secretString and secretBinary is required")]
    return []


SECRET_VERSION: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:secretsmanager/secretVersion:SecretVersion",  # noqa: S106 - a type token
    inputs=frozenset({"secretId", "secretString", "secretBinary", "versionStages"}),
    computed=frozenset({"arn", "secretArn", "versionId", "hasSecretStringWo"}),
    force_new=frozenset({"secretId", "secretString", "secretBinary"}),
    # a version's value never changes: another value is another version
    identity=frozenset({"secretId", "secretString", "secretBinary"}),
    secrets=frozenset({"secretString", "secretBinary"}),
    defaults={"versionStages": [_CURRENT]},
    canonical={"versionStages": unordered},
    problems=_version_problems,
    create=_create_version,
    read=_read_version,
    update=_update_version,
    delete=_delete_version,
)


def _put_policy(session: AwsSession, arn: str, inputs: Properties) -> None:
    session.client("secretsmanager").put_resource_policy(
        SecretId=arn,
        ResourcePolicy=as_text(inputs["policy"]),
        BlockPublicPolicy=inputs["blockPublicPolicy"],
    )


def _create_policy(session: AwsSession, inputs: Properties) -> Created:
    _put_policy(session, inputs["secretArn"], inputs)
    return Created(inputs["secretArn"])


@none_if_missing
def _read_policy(session: AwsSession, arn: str, _state: Properties) -> Properties | None:
    answer = session.client("secretsmanager").get_resource_policy(SecretId=arn)
    if not answer.get("ResourcePolicy"):
        return None
    return {"secretArn": answer["ARN"], "policy": answer["ResourcePolicy"]}


def _update_policy(session: AwsSession, change: Change) -> None:
    _put_policy(session, change.identifier, change.new)


def _delete_policy(session: AwsSession, arn: str, _state: Properties) -> None:
    with missing_is_fine():
        session.client("secretsmanager").delete_resource_policy(SecretId=arn)


SECRET_POLICY: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:secretsmanager/secretPolicy:SecretPolicy",  # noqa: S106 - a type token
    inputs=frozenset({"secretArn", "policy", "blockPublicPolicy"}),
    force_new=frozenset({"secretArn"}),
    identity=frozenset({"secretArn"}),
    settings=frozenset({"blockPublicPolicy"}),
    defaults={"blockPublicPolicy": False},
    canonical={"policy": policy_document},
    singleton=True,
    create=_create_policy,
    read=_read_policy,
    update=_update_policy,
    delete=_delete_policy,
)
TYPES: Final = (SECRET, SECRET_VERSION, SECRET_POLICY)
