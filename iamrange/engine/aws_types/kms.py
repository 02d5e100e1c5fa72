"""aws:kms Key and Alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag
from iamrange.engine.documents import as_text, policy_document
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

_SYMMETRIC = "SYMMETRIC_DEFAULT"
_POLICY = "default"  # the only name that KMS knows


def _tag_list(tags: Properties) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]


def _create_key(session: AwsSession, inputs: Properties) -> Created:
    kms = session.client("kms")
    optional: dict[str, Any] = {
        "Description": inputs.get("description"),
        "Policy": as_text(inputs.get("policy")),
        "Tags": _tag_list(inputs.get("tagsAll") or {}),
    }
    answer = kms.create_key(
        KeyUsage=inputs["keyUsage"],
        KeySpec=inputs["customerMasterKeySpec"],
        MultiRegion=inputs["multiRegion"],
        BypassPolicyLockoutSafetyCheck=inputs["bypassPolicyLockoutSafetyCheck"],
        **{key: value for key, value in optional.items() if value},
    )
    key_id = str(answer["KeyMetadata"]["KeyId"])
    with completing(key_id):
        if inputs["enableKeyRotation"]:
            kms.enable_key_rotation(KeyId=key_id)
        if not inputs["isEnabled"]:
            kms.disable_key(KeyId=key_id)
    return Created(key_id)


@none_if_missing
def _read_key(session: AwsSession, key_id: str, _state: Properties) -> Properties | None:
    kms = session.client("kms")
    key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    if key.get("DeletionDate") or key["KeyState"] == "PendingDeletion":
        return None
    rotation: Properties = {}
    if key.get("KeySpec", _SYMMETRIC) == _SYMMETRIC:
        rotation = kms.get_key_rotation_status(KeyId=key_id)
    rotating = bool(rotation.get("KeyRotationEnabled"))
    live = {
        "description": key.get("Description"),
        "keyUsage": key["KeyUsage"],
        "customerMasterKeySpec": key.get("KeySpec") or key.get("CustomerMasterKeySpec"),
        "multiRegion": key.get("MultiRegion", False),
        "isEnabled": key["Enabled"],
        "enableKeyRotation": rotating,
        "arn": key["Arn"],
        "keyId": key["KeyId"],
        "tagsAll": _read_tags(kms, key_id),
    }
    live["policy"] = kms.get_key_policy(KeyId=key_id, PolicyName=_POLICY)["Policy"]
    return live


def _read_tags(kms: Any, key_id: str) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    tags = kms.list_resource_tags(KeyId=key_id).get("Tags") or []
    return {tag["TagKey"]: tag["TagValue"] for tag in tags}


def _update_key(session: AwsSession, change: Change) -> None:
    kms, key_id = session.client("kms"), change.identifier
    new, changed = change.new, change.changed
    # a disabled key refuses what follows: enabled first, disabled last
    if "isEnabled" in changed and new["isEnabled"]:
        kms.enable_key(KeyId=key_id)
    if "description" in changed:
        kms.update_key_description(KeyId=key_id, Description=new.get("description") or "")
    if "policy" in changed and new.get("policy"):
        kms.put_key_policy(
            KeyId=key_id,
            PolicyName=_POLICY,
            Policy=as_text(new["policy"]),
            BypassPolicyLockoutSafetyCheck=new["bypassPolicyLockoutSafetyCheck"],
        )
    if "enableKeyRotation" in changed:
        if new["enableKeyRotation"]:
            kms.enable_key_rotation(KeyId=key_id)
        else:
            kms.disable_key_rotation(KeyId=key_id)
    retag(
        change,
        lambda tags: kms.tag_resource(
            KeyId=key_id, Tags=_tag_list({tag["Key"]: tag["Value"] for tag in tags})
        ),
        lambda keys: kms.untag_resource(KeyId=key_id, TagKeys=keys),
    )
    if "isEnabled" in changed and not new["isEnabled"]:
        kms.disable_key(KeyId=key_id)


def _delete_key(session: AwsSession, key_id: str, state: Properties) -> None:
    kms = session.client("kms")
    with missing_is_fine():
        try:
            kms.schedule_key_deletion(
                KeyId=key_id, PendingWindowInDays=state["deletionWindowInDays"]
            )
        except ClientError as error:
            # already waiting for its deletion
            if error.response["Error"]["Code"] != "KMSInvalidStateException":
                raise


KEY: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:kms/key:Key",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "description",
            "policy",
            "keyUsage",
            "customerMasterKeySpec",
            "multiRegion",
            "isEnabled",
            "enableKeyRotation",
            "deletionWindowInDays",
            "bypassPolicyLockoutSafetyCheck",
            "tags",
        }
    ),
    computed=frozenset({"arn", "keyId"}) | TAG_OUTPUTS,
    force_new=frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"}),
    identity=frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"}),
    settings=frozenset({"deletionWindowInDays", "bypassPolicyLockoutSafetyCheck"}),
    # a key without a policy of the program's own gets KMS's default one
    filled_in=frozenset({"policy"}),
    defaults={
        "description": "",
        "keyUsage": "ENCRYPT_DECRYPT",
        "customerMasterKeySpec": _SYMMETRIC,
        "multiRegion": False,
        "isEnabled": True,
        "enableKeyRotation": False,
        "deletionWindowInDays": 30,
        "bypassPolicyLockoutSafetyCheck": False,
    },
    canonical={"policy": policy_document},
    tagging=TAGGING,
    create=_create_key,
    read=_read_key,
    update=_update_key,
    delete=_delete_key,
)


def _create_alias(session: AwsSession, inputs: Properties) -> Created:
    name = inputs["name"]
    session.client("kms").create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
    return Created(name)


@none_if_missing
def _read_alias(session: AwsSession, name: str, _state: Properties) -> Properties | None:
    kms = session.client("kms")
    for page in kms.get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == name and alias.get("TargetKeyId"):
                key = alias["TargetKeyId"]
                prefix = alias["AliasArn"].removesuffix(name)
                return {
                    "name": name,
                    "targetKeyId": key,
                    "arn": alias["AliasArn"],
                    "targetKeyArn": f"{prefix}key/{key}",
                }
    return None


def _update_alias(session: AwsSession, change: Change) -> None:
    target = change.new["targetKeyId"]
    session.client("kms").update_alias(AliasName=change.identifier, TargetKeyId=target)


def _delete_alias(session: AwsSession, name: str, _state: Properties) -> None:
    with missing_is_fine():
        session.client("kms").delete_alias(AliasName=name)


def _key_of(target: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a key's id: a program may name the key by id or by ARN."""
    return target.rpartition("/")[2] if isinstance(target, str) else target


ALIAS: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:kms/alias:Alias",  # noqa: S106 - a type token
    inputs=frozenset({"name", "targetKeyId"}),
    computed=frozenset({"arn", "targetKeyArn"}),
    volatile=frozenset({"targetKeyArn"}),
    force_new=frozenset({"name"}),
    identity=frozenset({"name"}),
    canonical={"targetKeyId": _key_of},
    naming=Naming(form="alias/{}", max_length=256),
    create=_create_alias,
    read=_read_alias,
    update=_update_alias,
    delete=_delete_alias,
)
TYPES: Final = (KEY, ALIAS)
