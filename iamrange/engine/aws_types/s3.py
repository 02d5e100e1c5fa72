"""aws:s3 Bucket, BucketV2, BucketPolicy and BucketPublicAccessBlock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from iamrange.engine.aws_types.missing import is_missing, missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, tag_list, tag_map
from iamrange.engine.documents import as_text, policy_document, trimmed
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

_DEFAULT_REGION = "us-east-1"


def _create_bucket(session: AwsSession, inputs: Properties) -> Created:
    s3, name = session.client("s3"), inputs["bucket"]
    place = {}
    if session.region != _DEFAULT_REGION:
        place["CreateBucketConfiguration"] = {"LocationConstraint": session.region}
    s3.create_bucket(Bucket=name, **place)
    with completing(name):
        _put_tags(s3, name, inputs)
        _put_versioning(s3, name, inputs)
        if inputs.get("policy"):
            s3.put_bucket_policy(Bucket=name, Policy=as_text(inputs["policy"]))
    return Created(name)


def _put_tags(s3: Any, name: str, inputs: Properties) -> None:  # noqa: ANN401 - a boto3 client
    if inputs.get("tagsAll"):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(inputs)})


def _put_versioning(s3: Any, name: str, inputs: Properties) -> None:  # noqa: ANN401 - a boto3 client
    versioning = inputs.get("versioning")
    if versioning is not None:
        status = "Enabled" if versioning.get("enabled") else "Suspended"
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})


@none_if_missing
def _read_bucket(session: AwsSession, name: str, state: Properties) -> Properties:
    s3 = session.client("s3")
    location = s3.get_bucket_location(Bucket=name).get("LocationConstraint")
    region = location or _DEFAULT_REGION
    live = {
        "bucket": name,
        "arn": f"arn:{session.partition}:s3:::{name}",
        "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
        "bucketRegion": region,
        "tagsAll": _tags(s3, name),
    }
    if "versioning" in state:
        status = s3.get_bucket_versioning(Bucket=name).get("Status")
        live["versioning"] = {"enabled": status == "Enabled"}
    if "policy" in state:
        live["policy"] = _policy(s3, name)
    return live


def _tags(s3: Any, name: str) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    try:
        return tag_map(s3.get_bucket_tagging(Bucket=name)["TagSet"])
    except ClientError as error:
        # a bucket without tags has no tag set; a bucket that is gone has no tags either
        if error.response["Error"]["Code"] == "NoSuchTagSet":
            return {}
        raise


def _policy(s3: Any, name: str) -> str | None:  # noqa: ANN401 - a boto3 client
    try:
        return str(s3.get_bucket_policy(Bucket=name)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucketPolicy":
            return None
        raise


def _update_bucket(session: AwsSession, change: Change) -> None:
    s3, name, new = session.client("s3"), change.identifier, change.new
    if change.changed & {"tags", "tagsAll"}:
        # S3 has one set of tags, written whole
        if new.get("tagsAll"):
            _put_tags(s3, name, new)
        else:
            s3.delete_bucket_tagging(Bucket=name)
    if "versioning" in change.changed:
        _put_versioning(s3, name, new)
    if "policy" in change.changed:
        if new.get("policy"):
            s3.put_bucket_policy(Bucket=name, Policy=as_text(new["policy"]))
        else:
            s3.delete_bucket_policy(Bucket=name)


def _delete_bucket(session: AwsSession, name: str, state: Properties) -> None:
    s3 = session.client("s3")
    with missing_is_fine():
        if state.get("forceDestroy"):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
                for item in page.get("Versions", []) + page.get("DeleteMarkers", []):
                    s3.delete_object(Bucket=name, Key=item["Key"], VersionId=item["VersionId"])
        s3.delete_bucket(Bucket=name)


def _bucket(token: str, inputs: frozenset[str]) -> ResourceType[AwsSession]:
    return ResourceType(
        token=token,
        inputs=inputs,
        computed=frozenset(
            {
                "arn",
                "bucketDomainName",
                "bucketRegionalDomainName",
                "bucketRegion",
            }
        )
        | TAG_OUTPUTS,
        force_new=frozenset({"bucket", "bucketPrefix"}),
        identity=frozenset({"bucket"}),
        settings=frozenset({"bucketPrefix", "forceDestroy"}),
        exclusive=frozenset({"versioning", "policy"}) & inputs,
        defaults={"forceDestroy": False},
        canonical={
            "policy": policy_document,
            **({"versioning": trimmed} if "versioning" in inputs else {}),
        },
        naming=Naming(input="bucket", prefix="bucketPrefix", max_length=63, lower=True),
        tagging=TAGGING,
        problems=_bucket_problems,
        create=_create_bucket,
        read=_read_bucket,
        update=_update_bucket,
        delete=_delete_bucket,
    )


def _bucket_problems(inputs: Properties) -> list[tuple[str, str]]:
    versioning = inputs.get("versioning")
    if isinstance(versioning, dict) and versioning.get("mfaDelete"):
        return [("versioning.mfaDelete", "not implemented by the embedded provider")]
    return []


_COMMON = frozenset({"bucket", "bucketPrefix", "forceDestroy", "policy", "tags"})
BUCKET: Final = _bucket("aws:s3/bucket:Bucket", _COMMON | {"versioning"})
BUCKET_V2: Final = _bucket("aws:s3/bucketV2:BucketV2", _COMMON)


def _put_policy(session: AwsSession, name: str, inputs: Properties) -> None:
    session.client("s3").put_bucket_policy(Bucket=name, Policy=as_text(inputs["policy"]))


def _create_policy(session: AwsSession, inputs: Properties) -> Created:
    _put_policy(session, inputs["bucket"], inputs)
    return Created(inputs["bucket"])


@none_if_missing
def _read_policy(session: AwsSession, name: str, _state: Properties) -> Properties | None:
    policy = _policy(session.client("s3"), name)
    return None if policy is None else {"bucket": name, "policy": policy}


def _update_policy(session: AwsSession, change: Change) -> None:
    _put_policy(session, change.identifier, change.new)


def _delete_policy(session: AwsSession, name: str, _state: Properties) -> None:
    with missing_is_fine():
        session.client("s3").delete_bucket_policy(Bucket=name)


BUCKET_POLICY: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:s3/bucketPolicy:BucketPolicy",  # noqa: S106 - a type token
    inputs=frozenset({"bucket", "policy"}),
    force_new=frozenset({"bucket"}),
    identity=frozenset({"bucket"}),
    canonical={"policy": policy_document},
    create=_create_policy,
    read=_read_policy,
    update=_update_policy,
    delete=_delete_policy,
)

_BLOCKS: Final = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _put_block(session: AwsSession, name: str, inputs: Properties) -> None:
    blocks = {theirs: bool(inputs.get(ours)) for ours, theirs in _BLOCKS.items()}
    session.client("s3").put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocks)


def _create_block(session: AwsSession, inputs: Properties) -> Created:
    _put_block(session, inputs["bucket"], inputs)
    return Created(inputs["bucket"])


@none_if_missing
def _read_block(session: AwsSession, name: str, _state: Properties) -> Properties | None:
    try:
        answer = session.client("s3").get_public_access_block(Bucket=name)
    except ClientError as error:
        if is_missing(error) or error.response["Error"]["Code"].startswith("NoSuchPublicAccess"):
            return None
        raise
    live = answer["PublicAccessBlockConfiguration"]
    return {"bucket": name, **{ours: live.get(theirs) for ours, theirs in _BLOCKS.items()}}


def _update_block(session: AwsSession, change: Change) -> None:
    _put_block(session, change.identifier, change.new)


def _delete_block(session: AwsSession, name: str, state: Properties) -> None:
    if state.get("skipDestroy"):
        return
    with missing_is_fine():
        session.client("s3").delete_public_access_block(Bucket=name)


PUBLIC_ACCESS_BLOCK: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",  # noqa: S106 - a type token
    inputs=frozenset({"bucket", "skipDestroy", *_BLOCKS}),
    force_new=frozenset({"bucket"}),
    identity=frozenset({"bucket"}),
    settings=frozenset({"skipDestroy"}),
    defaults={**dict.fromkeys(_BLOCKS, False), "skipDestroy": False},
    create=_create_block,
    read=_read_block,
    update=_update_block,
    delete=_delete_block,
)
TYPES: Final = (BUCKET, BUCKET_V2, BUCKET_POLICY, PUBLIC_ACCESS_BLOCK)
