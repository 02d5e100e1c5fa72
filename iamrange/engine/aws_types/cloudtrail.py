"""aws:cloudtrail Trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag, tag_list, tag_map
from iamrange.engine.resource import Change, Created, Naming, Properties, ResourceType, completing

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

_MEMBERS: Final = {
    "s3BucketName": "S3BucketName",
    "includeGlobalServiceEvents": "IncludeGlobalServiceEvents",
    "isMultiRegionTrail": "IsMultiRegionTrail",
    "enableLogFileValidation": "EnableLogFileValidation",
}
"""Inputs that are written as they are, by their names in the API."""


def _create(session: AwsSession, inputs: Properties) -> Created:
    client = session.client("cloudtrail")
    tags = tag_list(inputs)
    answer = client.create_trail(
        Name=inputs["name"],
        **{theirs: inputs[ours] for ours, theirs in _MEMBERS.items()},
        **({"TagsList": tags} if tags else {}),
    )
    arn = str(answer["TrailARN"])
    if inputs["enableLogging"]:
        with completing(arn):
            client.start_logging(Name=arn)
    return Created(arn)


@none_if_missing
def _read(session: AwsSession, arn: str, _state: Properties) -> Properties:
    client = session.client("cloudtrail")
    trail = client.get_trail(Name=arn)["Trail"]
    return {
        "name": trail["Name"],
        "arn": trail["TrailARN"],
        "homeRegion": trail.get("HomeRegion") or trail["TrailARN"].split(":")[3],
        "s3BucketName": trail["S3BucketName"],
        "includeGlobalServiceEvents": trail["IncludeGlobalServiceEvents"],
        "isMultiRegionTrail": trail["IsMultiRegionTrail"],
        "enableLogFileValidation": trail["LogFileValidationEnabled"],
        "enableLogging": client.get_trail_status(Name=arn)["IsLogging"],
        "tagsAll": _tags(client, arn),
    }


def _tags(client: Any, arn: str) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    (listed,) = client.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    return tag_map(listed.get("TagsList"))


def _update(session: AwsSession, change: Change) -> None:
    client, arn, new = session.client("cloudtrail"), change.identifier, change.new
    if change.changed & _MEMBERS.keys():
        client.update_trail(Name=arn, **{theirs: new[ours] for ours, theirs in _MEMBERS.items()})
    if "enableLogging" in change.changed:
        switch = client.start_logging if new["enableLogging"] else client.stop_logging
        switch(Name=arn)
    retag(
        change,
        lambda tags: client.add_tags(ResourceId=arn, TagsList=tags),
        lambda keys: client.remove_tags(ResourceId=arn, TagsList=[{"Key": key} for key in keys]),
    )


def _delete(session: AwsSession, arn: str, _state: Properties) -> None:
    with missing_is_fine():
        # by name: the emulator deletes none by its ARN, and says that it did
        session.client("cloudtrail").delete_trail(Name=arn.rpartition("/")[2])


TRAIL: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:cloudtrail/trail:Trail",  # noqa: S106 - a type token
    inputs=frozenset({"name", "enableLogging", "tags", *_MEMBERS}),
    computed=frozenset({"arn", "homeRegion"}) | TAG_OUTPUTS,
    force_new=frozenset({"name"}),
    identity=frozenset({"name"}),
    defaults={
        "enableLogging": True,
        "enableLogFileValidation": False,
        "includeGlobalServiceEvents": True,
        "isMultiRegionTrail": False,
    },
    naming=Naming(max_length=128),
    tagging=TAGGING,
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
)
TYPES: Final = (TRAIL,)
