"""aws:dynamodb Table and TableItem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag, tag_list, tag_map
from iamrange.engine.documents import json_document, trimmed, unordered
from iamrange.engine.properties import has_unknown
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

_ON_DEMAND = "PAY_PER_REQUEST"
_PROVISIONED = "PROVISIONED"


def _keys(inputs: Properties) -> list[dict[str, str]]:
    keys = [{"AttributeName": inputs["hashKey"], "KeyType": "HASH"}]
    if inputs.get("rangeKey"):
        keys.append({"AttributeName": inputs["rangeKey"], "KeyType": "RANGE"})
    return keys


def _billing(inputs: Properties) -> dict[str, Any]:
    mode = inputs["billingMode"]
    if mode == _ON_DEMAND:
        return {"BillingMode": mode}
    throughput = {
        "ReadCapacityUnits": inputs.get("readCapacity") or 1,
        "WriteCapacityUnits": inputs.get("writeCapacity") or 1,
    }
    return {"BillingMode": mode, "ProvisionedThroughput": throughput}


def _stream(inputs: Properties) -> dict[str, Any]:
    if not inputs["streamEnabled"]:
        return {"StreamSpecification": {"StreamEnabled": False}}
    view = inputs.get("streamViewType") or "NEW_AND_OLD_IMAGES"
    return {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}


def _create_table(session: AwsSession, inputs: Properties) -> Created:
    client, name = session.client("dynamodb"), inputs["name"]
    optional: dict[str, Any] = {"Tags": tag_list(inputs)}
    if inputs["streamEnabled"]:
        optional |= _stream(inputs)
    client.create_table(
        TableName=name,
        KeySchema=_keys(inputs),
        AttributeDefinitions=[
            {"AttributeName": attribute["name"], "AttributeType": attribute["type"]}
            for attribute in inputs.get("attributes") or []
        ],
        DeletionProtectionEnabled=inputs["deletionProtectionEnabled"],
        **_billing(inputs),
        **{key: value for key, value in optional.items() if value},
    )
    with completing(name):
        client.get_waiter("table_exists").wait(
            TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        if _enabled_ttl(inputs.get("ttl")):
            _put_ttl(client, name, inputs["ttl"])
        if inputs.get("pointInTimeRecovery"):
            _put_recovery(client, name, inputs["pointInTimeRecovery"])
    return Created(name)


def _put_ttl(client: Any, name: str, ttl: Properties) -> None:  # noqa: ANN401 - a boto3 client
    client.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={
            "Enabled": ttl.get("enabled", True),
            "AttributeName": ttl.get("attributeName") or "",
        },
    )


def _put_recovery(client: Any, name: str, recovery: Properties | None) -> None:  # noqa: ANN401 - a boto3 client
    enabled = bool((recovery or {}).get("enabled"))
    client.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled},
    )


@none_if_missing
def _read_table(session: AwsSession, name: str, _state: Properties) -> Properties:
    client = session.client("dynamodb")
    table = client.describe_table(TableName=name)["Table"]
    keys = {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]}
    mode = table.get("BillingModeSummary", {}).get("BillingMode", _PROVISIONED)
    capacity = table.get("ProvisionedThroughput", {}) if mode == _PROVISIONED else {}
    stream = table.get("StreamSpecification", {})
    return {
        "name": table["TableName"],
        "hashKey": keys["HASH"],
        "rangeKey": keys.get("RANGE"),
        "attributes": [
            {"name": attribute["AttributeName"], "type": attribute["AttributeType"]}
            for attribute in table["AttributeDefinitions"]
        ],
        "billingMode": mode,
        "readCapacity": capacity.get("ReadCapacityUnits"),
        "writeCapacity": capacity.get("WriteCapacityUnits"),
        "streamEnabled": stream.get("StreamEnabled", False),
        "streamViewType": stream.get("StreamViewType"),
        "deletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "ttl": _read_ttl(client, name),
        "pointInTimeRecovery": _read_recovery(client, name),
        "arn": table["TableArn"],
        "streamArn": table.get("LatestStreamArn"),
        "streamLabel": table.get("LatestStreamLabel"),
        "tagsAll": tag_map(client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]),
    }


def _read_ttl(client: Any, name: str) -> Properties | None:  # noqa: ANN401 - a boto3 client
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if ttl.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        return None
    return {"attributeName": ttl.get("AttributeName"), "enabled": True}


def _read_recovery(client: Any, name: str) -> Properties:  # noqa: ANN401 - a boto3 client
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    return {"enabled": recovery.get("PointInTimeRecoveryStatus") == "ENABLED"}


def _update_table(session: AwsSession, change: Change) -> None:
    client, name = session.client("dynamodb"), change.identifier
    new, changed = change.new, change.changed
    if changed & {"billingMode", "readCapacity", "writeCapacity"}:
        client.update_table(TableName=name, **_billing(new))
    if changed & {"streamEnabled", "streamViewType"}:
        # the view of a running stream cannot be changed: off, then on
        if change.old.get("streamEnabled"):
            stopped = {"StreamEnabled": False}
            client.update_table(TableName=name, StreamSpecification=stopped)
        if new["streamEnabled"]:
            client.update_table(TableName=name, **_stream(new))
    if "deletionProtectionEnabled" in changed:
        protected = new["deletionProtectionEnabled"]
        client.update_table(TableName=name, DeletionProtectionEnabled=protected)
    if "ttl" in changed:
        # to switch it off DynamoDB wants the attribute named once more
        if change.old.get("ttl"):
            _put_ttl(client, name, {**change.old["ttl"], "enabled": False})
        if _enabled_ttl(new.get("ttl")):
            _put_ttl(client, name, new["ttl"])
    if "pointInTimeRecovery" in changed:
        _put_recovery(client, name, new.get("pointInTimeRecovery"))
    arn = change.old["arn"]
    retag(
        change,
        lambda tags: client.tag_resource(ResourceArn=arn, Tags=tags),
        lambda keys: client.untag_resource(ResourceArn=arn, TagKeys=keys),
    )


def _delete_table(session: AwsSession, name: str, _state: Properties) -> None:
    client = session.client("dynamodb")
    with missing_is_fine():
        client.delete_table(TableName=name)
        client.get_waiter("table_not_exists").wait(
            TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )


def _enabled_ttl(ttl: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a TTL that works: one switched off is none."""
    enabled = isinstance(ttl, dict) and ttl.get("enabled", True)
    return {**ttl, "enabled": True} if enabled else None


def _table_problems(inputs: Properties) -> list[tuple[str, str]]:
    found = []
    if "hashKey" not in inputs:
        found.append(("hashKey", "required, but missing"))
    if inputs.get("billingMode", _PROVISIONED) == _PROVISIONED:
        missing = [k for k in ("readCapacity", "writeCapacity") if k not in inputs]
        found += [(key, "required when billingMode is PROVISIONED") for key in missing]
    attributes = inputs.get("attributes") or []
    if has_unknown(attributes):
        return found
    named = {attribute.get("name") for attribute in attributes}
    for key in ("hashKey", "rangeKey"):
        if isinstance(inputs.get(key), str) and inputs[key] not in named:
            found.append((key, f"attributes has no {inputs[key]!r}"))
    return found


TABLE: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:dynamodb/table:Table",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "name",
            "billingMode",
            "hashKey",
            "rangeKey",
            "attributes",
            "readCapacity",
            "writeCapacity",
            "streamEnabled",
            "streamViewType",
            "deletionProtectionEnabled",
            "ttl",
            "pointInTimeRecovery",
            "tags",
        }
    ),
    computed=frozenset({"arn", "streamArn", "streamLabel"}) | TAG_OUTPUTS,
    volatile=frozenset({"streamArn", "streamLabel"}),
    force_new=frozenset({"name", "hashKey", "rangeKey", "attributes"}),
    # a table's keys are for its life
    identity=frozenset({"name", "hashKey", "rangeKey", "attributes"}),
    defaults={
        "billingMode": _PROVISIONED,
        "streamEnabled": False,
        "deletionProtectionEnabled": False,
    },
    canonical={
        "attributes": unordered,
        "ttl": _enabled_ttl,
        "pointInTimeRecovery": lambda value: trimmed(value) or None,
    },
    naming=Naming(max_length=255),
    tagging=TAGGING,
    problems=_table_problems,
    create=_create_table,
    read=_read_table,
    update=_update_table,
    delete=_delete_table,
)


def _item(inputs: Properties) -> dict[str, Any]:
    item = json_document(inputs["item"])
    if not isinstance(item, dict):
        raise ProviderError('item: expected a JSON object like {"id": {"S": "1"}}')
    return item


def _item_key(inputs: Properties) -> dict[str, Any]:
    item = _item(inputs)
    names = [inputs["hashKey"], *([inputs["rangeKey"]] if inputs.get("rangeKey") else [])]
    for name in names:
        if name not in item:
            raise ProviderError(f"item: the key {name!r} is not in it")
    return {name: item[name] for name in names}


def _identifier(inputs: Properties) -> str:
    values = [next(iter(value.values())) for value in _item_key(inputs).values()]
    return "|".join([inputs["tableName"], *map(str, values)])


def _create_item(session: AwsSession, inputs: Properties) -> Created:
    session.client("dynamodb").put_item(
        TableName=inputs["tableName"],
        Item=_item(inputs),
        ConditionExpression="attribute_not_exists(#key)",
        ExpressionAttributeNames={"#key": inputs["hashKey"]},
    )
    return Created(_identifier(inputs))


@none_if_missing
def _read_item(session: AwsSession, identifier: str, state: Properties) -> Properties | None:
    client = session.client("dynamodb")
    table, *values = identifier.split("|")
    described = client.describe_table(TableName=table)["Table"]
    types = {a["AttributeName"]: a["AttributeType"] for a in described["AttributeDefinitions"]}
    keys = {key["KeyType"]: key["AttributeName"] for key in described["KeySchema"]}
    if "item" in state and "hashKey" in state:
        key = _item_key(state)
    else:
        names = [keys[kind] for kind in ("HASH", "RANGE") if kind in keys]
        key = {name: {types[name]: v} for name, v in zip(names, values, strict=True)}
    found = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    if found is None:
        return None
    return {
        "tableName": table,
        "hashKey": keys["HASH"],
        "rangeKey": keys.get("RANGE"),
        "item": json.dumps(found),
    }


def _update_item(session: AwsSession, change: Change) -> None:
    session.client("dynamodb").put_item(TableName=change.new["tableName"], Item=_item(change.new))


def _delete_item(session: AwsSession, _identifier: str, state: Properties) -> None:
    with missing_is_fine():
        client = session.client("dynamodb")
        client.delete_item(TableName=state["tableName"], Key=_item_key(state))


def _moved(old: Properties, new: Properties) -> frozenset[str]:
    """Return what makes the item another one: other values of its keys."""
    try:
        same = _item_key(old) == _item_key(new)
    except (ProviderError, KeyError):
        return frozenset()
    return frozenset() if same else frozenset({"item"})


TABLE_ITEM: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:dynamodb/tableItem:TableItem",  # noqa: S106 - a type token
    inputs=frozenset({"tableName", "hashKey", "rangeKey", "item"}),
    force_new=frozenset({"tableName", "hashKey", "rangeKey"}),
    identity=frozenset({"tableName", "hashKey", "rangeKey"}),
    canonical={"item": json_document},
    also_force_new=_moved,
    create=_create_item,
    read=_read_item,
    update=_update_item,
    delete=_delete_item,
)
TYPES: Final = (TABLE, TABLE_ITEM)
