"""DynamoDB in permissions.

- Batches and transactions are one permission a table (and a kind of write); of PartiQL, plain
  statements on one table are decided (`partiql`).
- `dynamodb:LeadingKeys` comes from the emulator's own reading of a key condition, so that the
  keys which are judged are the keys which are read.
- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from moto.dynamodb.parsing.key_condition_expression import parse_expression

from iamrange.clouds.aws.actions import exists, takes_resource
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import Resource, split, tag_map
from iamrange.clouds.aws.services import partiql
from iamrange.clouds.aws.services.dynamodb_attributes import attribute_names, selected
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iamrange.clouds.aws.resources import Resources

_TRANSACTIONS = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


class _OddValueError(ValueError):
    """A key that nobody can read as one value."""


class DynamoDbPlanner:
    """What each operation of DynamoDB needs."""

    def __init__(self, resources: Resources) -> None:
        """Take where tables are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        try:
            return self._planned(request)
        except _OddValueError as error:
            return Unmapped(str(error))

    def _planned(self, request: AwsRequest) -> Plan | Unmapped:
        operation = request.operation
        if operation in ("BatchGetItem", "BatchWriteItem"):
            return self._batch(request)
        if operation in ("TransactGetItems", "TransactWriteItems"):
            return self._transaction(request)
        if operation in ("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"):
            return self._statements(request)
        action = f"dynamodb:{operation}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        if operation == "CreateTable":
            return self._create(request)
        if not takes_resource(action):
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        member = "ResourceArn" if request.parameters.get("ResourceArn") else "TableName"
        name = request.parameters.get(member)
        if not isinstance(name, str) or not name:
            return Unmapped("no table is named")
        table = self._resources.table(request.account, request.region, name)
        if table is None:
            return self._absent(request, name)
        return self._on(request, table, member)

    def _on(self, request: AwsRequest, table: Resource, member: str) -> Plan | Unmapped:
        operation = request.operation
        context = self._item_context(request, table, request.parameters)
        if isinstance(context, Unmapped):
            return context
        index = None
        if operation in ("Query", "Scan"):
            index = request.parameters.get("IndexName")
            context |= selected(request.parameters)
        if operation == "Scan":
            context["dynamodb:FullTableScan"] = "true"
        check = _check(table, f"dynamodb:{operation}", context, index=index)
        named = table.arn if member == "ResourceArn" else table.arn.rsplit("/", 1)[-1]
        return Plan(
            checks=(check,),
            account=table.account,
            overrides={member: named},
            instead=_bad_policy(request, "Policy"),
        )

    def _absent(self, request: AwsRequest, name: str, action: str | None = None) -> Plan:
        named = split(name)
        arn = name if named else _table_arn(request, name)
        check = Check(
            action=action or f"dynamodb:{request.operation}",
            resource=arn,
            resource_account=named[2] if named else request.account,
        )
        message = "Requested resource not found"
        error = AwsError(code="ResourceNotFoundException", message=message, status=400)
        return Plan(checks=(check,), account=request.account, instead=error)

    def _create(self, request: AwsRequest) -> Plan | Unmapped:
        parameters = request.parameters
        name = str(parameters.get("TableName"))
        if split(name) is not None or not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
            return Unmapped("a table is created by a plain name")
        tags = tag_map(parameters.get("Tags"))
        actions = ["CreateTable"]
        actions += ["TagResource"] if tags else []
        actions += ["PutResourcePolicy"] if parameters.get("ResourcePolicy") else []
        checks = tuple(
            Check(
                action=f"dynamodb:{action}",
                resource=_table_arn(request, name),
                resource_account=request.account,
                context=request_tags(tags),
            )
            for action in actions
        )
        return Plan(
            checks=checks, account=request.account, instead=_bad_policy(request, "ResourcePolicy")
        )

    def _batch(self, request: AwsRequest) -> Plan | Unmapped:
        wanted: Mapping[str, Any] = request.parameters.get("RequestItems") or {}
        checks: list[Check] = []
        renamed: dict[str, Any] = {}
        accounts: set[str] = set()
        for name, content in wanted.items():
            table = self._resources.table(request.account, request.region, str(name))
            if table is None:
                return self._absent(request, str(name))
            plain = table.arn.rsplit("/", 1)[-1]
            if plain in renamed:
                return Unmapped("a table is named twice")
            renamed[plain] = content
            accounts.add(table.account)
            context = self._batch_context(request, table, content)
            checks.append(_check(table, f"dynamodb:{request.operation}", context))
        if len(accounts) != 1:
            return Unmapped("the tables are of more than one account")
        return Plan(
            checks=tuple(checks), account=accounts.pop(), overrides={"RequestItems": renamed}
        )

    def _batch_context(self, request: AwsRequest, table: Resource, content: Any) -> Context:  # noqa: ANN401  # one shape for reads, another for writes
        hash_key = self._hash_key(table, None)
        if request.operation == "BatchGetItem":
            items = list(content.get("Keys") or ())
            names = attribute_names(content, items)
        else:
            items = [_written(entry) for entry in content]
            names = attribute_names({}, items)
        context: Context = {"dynamodb:LeadingKeys": _leading(items, hash_key)}
        if names:
            context["dynamodb:Attributes"] = names
        return context

    def _transaction(self, request: AwsRequest) -> Plan | Unmapped:
        exact: list[dict[str, Any]] = []
        checks: list[Check] = []
        accounts: set[str] = set()
        for entry in request.parameters.get("TransactItems") or ():
            kinds = [kind for kind in _TRANSACTIONS if entry.get(kind)]
            if len(kinds) != 1:
                return Unmapped("a transaction's item is not one operation")
            kind = kinds[0]
            part = entry[kind]
            table = self._resources.table(request.account, request.region, str(part["TableName"]))
            if table is None:
                return self._absent(request, str(part["TableName"]))
            exact.append({kind: {**part, "TableName": table.arn.rsplit("/", 1)[-1]}})
            accounts.add(table.account)
            context = self._item_context(request, table, part)
            if isinstance(context, Unmapped):
                return context
            context["dynamodb:EnclosingOperation"] = request.operation
            checks.append(_check(table, f"dynamodb:{_TRANSACTIONS[kind]}", context))
        if len(accounts) != 1:
            return Unmapped("the tables are of more than one account")
        return Plan(
            checks=tuple(checks), account=accounts.pop(), overrides={"TransactItems": exact}
        )

    def _statements(self, request: AwsRequest) -> Plan | Unmapped:
        """Plan PartiQL: a permission a statement, of its own action."""
        parameters = request.parameters
        listed = parameters.get("Statements") or parameters.get("TransactStatements")
        checks: list[Check] = []
        for entry in listed or [parameters]:
            read = partiql.read(str(entry.get("Statement") or ""))
            if read is None:
                return Unmapped("a PartiQL statement that is not of a plain form")
            table = self._resources.table(request.account, request.region, read.table)
            if table is None:
                return self._absent(request, read.table, read.action)
            checks.append(self._statement(table, read, entry.get("Parameters") or ()))
        return Plan(checks=tuple(checks), account=request.account)

    def _statement(
        self, table: Resource, read: partiql.Statement, parameters: Sequence[Mapping[str, Any]]
    ) -> Check:
        leading = read.leading_key(self._hash_key(table, read.index), parameters)
        context: Context = {}
        if read.kind == "Select":
            context["dynamodb:FullTableScan"] = "true" if leading is None else "false"
        if leading is not None:
            context["dynamodb:LeadingKeys"] = (leading,)
        check = _check(table, read.action, context, index=read.index)
        return replace(check, unknown=("dynamodb:",))

    def _hash_key(self, table: Resource, index: str | None) -> str:
        schema = self._resources.table_schema(table.arn, index)
        return next(part["AttributeName"] for part in schema if part["KeyType"] == "HASH")

    def _item_context(
        self, request: AwsRequest, table: Resource, part: Mapping[str, Any]
    ) -> Context | Unmapped:
        context: Context = {}
        items = [item for item in (part.get("Key"), part.get("Item")) if item]
        if items:
            context["dynamodb:LeadingKeys"] = _leading(items, self._hash_key(table, None))
        elif request.operation == "Query":
            leading = self._queried(table, part)
            if isinstance(leading, Unmapped):
                return leading
            context["dynamodb:LeadingKeys"] = leading
        names = attribute_names(part, items)
        if names:
            context["dynamodb:Attributes"] = names
        for member in ("ReturnValues", "ReturnConsumedCapacity"):
            if part.get(member):
                context[f"dynamodb:{member}"] = str(part[member])
        context |= request_tags(tag_map(part.get("Tags")))
        context |= tag_keys([str(key) for key in part.get("TagKeys") or ()])
        return context

    def _queried(self, table: Resource, part: Mapping[str, Any]) -> tuple[str, ...] | Unmapped:
        index = part.get("IndexName")
        try:
            hash_key = self._hash_key(table, index)
            if part.get("KeyConditions"):
                values = part["KeyConditions"][hash_key]["AttributeValueList"]
                return tuple(_plain(value) for value in values)
            found, _, _ = parse_expression(
                key_condition_expression=str(part["KeyConditionExpression"]),
                expression_attribute_values=dict(part.get("ExpressionAttributeValues") or {}),
                expression_attribute_names=dict(part.get("ExpressionAttributeNames") or {}),
                schema=self._resources.table_schema(table.arn, index),
            )
        except Exception:  # noqa: BLE001 - the emulator raises errors of its own on bad expressions
            return Unmapped("the key condition cannot be read")
        return tuple(_plain(value) for _, value in found)


def _check(
    table: Resource,
    action: str,
    context: Context,
    *,
    index: str | None = None,
) -> Check:
    policy = None
    if table.policy is not None:
        policy = compiled(table.policy, PolicyKind.RESOURCE, table.arn)
    return Check(
        action=action,
        resource=f"{table.arn}/index/{index}" if index else table.arn,
        resource_account=table.account,
        context=context,
        resource_policy=policy,
        resource_tags=table.tags,
    )


def _table_arn(request: AwsRequest, name: str) -> str:
    return f"arn:aws:dynamodb:{request.region}:{request.account}:table/{name}"


def _plain(value: Any) -> str:  # noqa: ANN401  # {"S": "text"}
    if isinstance(value, dict) and len(value) == 1:
        return str(next(iter(value.values())))
    raise _OddValueError("an attribute value has not exactly one type")


def _written(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the item or key of one write of a batch."""
    kinds = [kind for kind in ("PutRequest", "DeleteRequest") if entry.get(kind)]
    if len(kinds) != 1:
        raise _OddValueError("a write of a batch is not one operation")
    found: Mapping[str, Any] = entry[kinds[0]].get("Item") or entry[kinds[0]].get("Key") or {}
    return found


def _leading(items: Iterable[Mapping[str, Any]], hash_key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_plain(item[hash_key]) for item in items if hash_key in item))


def _bad_policy(request: AwsRequest, member: str) -> AwsError | None:
    document = request.parameters.get(member)
    if document is None or request.operation not in ("PutResourcePolicy", "CreateTable"):
        return None
    try:
        compiled(str(document), PolicyKind.RESOURCE, "table-policy")
    except MalformedPolicy as error:
        return AwsError(code="ValidationException", message=str(error), status=400)
    return None
