"""DynamoDB's condition keys, over its ordinary calls and over PartiQL."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    HOME,
    REGION,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    allow,
    cond,
    deny,
    refusal_of,
)

case = Cases("dynamodb keys and PartiQL")


def table_arn(name: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:{HOME}:table/{name}"


def table_and_user(lab: Lab, *own: dict[str, Any]) -> tuple[str, Principal]:
    name = lab.table()
    lab.admin.dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "x": {"S": "1"}})
    return name, lab.user(*own)


def attributes(lab: Lab, projection: str, **names: str) -> Call:
    own = allow(
        "dynamodb:GetItem",
        Condition={
            "ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "x"]},
            "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"},
        },
    )
    table, who = table_and_user(lab, own)
    more = {"ExpressionAttributeNames": names} if names else {}
    return lambda: who.dynamodb.get_item(
        TableName=table, Key={"pk": {"S": "a"}}, ProjectionExpression=projection, **more
    )


case("attributes that are allowed", allowed=True)(lambda lab: attributes(lab, "pk, x"))
case("attribute that is not allowed", allowed=False)(lambda lab: attributes(lab, "pk, secret"))
case("attribute under another name", allowed=False)(
    lambda lab: attributes(lab, "pk, #n", **{"#n": "secret"})
)


def queried(lab: Lab, select: str | None) -> Call:
    own = allow("dynamodb:Query", **cond("StringEquals", "dynamodb:Select", "SPECIFIC_ATTRIBUTES"))
    table, who = table_and_user(lab, own)
    more: dict[str, Any] = {"Select": select} if select else {"ProjectionExpression": "pk"}
    return lambda: who.dynamodb.query(
        TableName=table,
        KeyConditionExpression="pk = :v",
        ExpressionAttributeValues={":v": {"S": "a"}},
        **more,
    )


case("select of some attributes", allowed=True)(lambda lab: queried(lab, None))
case("select of all attributes", allowed=False)(lambda lab: queried(lab, "ALL_ATTRIBUTES"))


def returned(lab: Lab, values: str) -> Call:
    own = allow(
        "dynamodb:UpdateItem",
        **cond("StringEqualsIfExists", "dynamodb:ReturnValues", ["NONE", "UPDATED_NEW"]),
    )
    table, who = table_and_user(lab, own)
    return lambda: who.dynamodb.update_item(
        TableName=table,
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET x = :v",
        ExpressionAttributeValues={":v": {"S": "2"}},
        ReturnValues=values,
    )


case("return values that are allowed", allowed=True)(lambda lab: returned(lab, "UPDATED_NEW"))
case("return values that are not", allowed=False)(lambda lab: returned(lab, "ALL_OLD"))


@case("scan of the whole table is denied", allowed=False)
def _(lab: Lab) -> Call:
    table, who = table_and_user(
        lab, allow("dynamodb:*"), deny("*", **cond("Bool", "dynamodb:FullTableScan", "true"))
    )
    return lambda: who.dynamodb.scan(TableName=table)


# --- PartiQL

MINE = allow(
    "dynamodb:PartiQL*",
    **cond("ForAllValues:StringEquals", "dynamodb:LeadingKeys", ["${aws:username}"]),
)
READS = allow("dynamodb:PartiQLSelect")


def states(lab: Lab, statement: str, *own: dict[str, Any], **more: Any) -> Call:  # noqa: ANN401  # parameters
    table, who = table_and_user(lab, *own)
    text = statement.replace("@t", table).replace("@me", who.name)
    return lambda: who.dynamodb.execute_statement(Statement=text, **more)


for _title, _statement, _own, _allowed in (
    ("select", "SELECT * FROM \"@t\" WHERE pk = 'a'", [READS], True),
    ("select without permission", 'SELECT * FROM "@t"', [], False),
    ("select with GetItem only", 'SELECT * FROM "@t"', [allow("dynamodb:GetItem")], False),
    ("select of another table", 'SELECT * FROM "@t"', [allow("dynamodb:*", table_arn("x"))], False),
    ("insert with select only", "INSERT INTO \"@t\" VALUE {'pk': 'b'}", [READS], False),
    ("insert", "INSERT INTO \"@t\" VALUE {'pk': 'b'}", [allow("dynamodb:PartiQLInsert")], True),
    (
        "update",
        "UPDATE \"@t\" SET x = '2' WHERE pk = 'a'",
        [allow("dynamodb:PartiQLUpdate")],
        True,
    ),
    ("delete with update only", "DELETE FROM \"@t\" WHERE pk = 'a'", [READS], False),
    ("delete", "DELETE FROM \"@t\" WHERE pk = 'a'", [allow("dynamodb:PartiQLDelete")], True),
    ("own leading key", "SELECT * FROM \"@t\" WHERE pk = '@me'", [MINE], True),
    ("another leading key", "SELECT * FROM \"@t\" WHERE pk = 'a'", [MINE], False),
    ("leading key or another", "SELECT * FROM \"@t\" WHERE pk = '@me' OR pk = 'a'", [MINE], False),
    ("no leading key", 'SELECT * FROM "@t"', [MINE], False),
    (
        "full scan denied",
        'SELECT * FROM "@t"',
        [READS, deny("*", **cond("Bool", "dynamodb:FullTableScan", "true"))],
        False,
    ),
    (
        "key given, full scan denied",
        "SELECT * FROM \"@t\" WHERE pk = 'a'",
        [READS, deny("*", **cond("Bool", "dynamodb:FullTableScan", "true"))],
        True,
    ),
):
    case(f"PartiQL: {_title}", allowed=_allowed)(
        lambda lab, statement=_statement, own=_own: states(lab, statement, *own)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def by_parameter(lab: Lab, *, own: bool) -> Call:
    table, who = table_and_user(lab, MINE)
    given = [{"S": "1"}, {"S": who.name if own else "a"}]
    return lambda: who.dynamodb.execute_statement(
        Statement='SELECT * FROM "@t" WHERE x = ? AND pk = ?'.replace("@t", table),
        Parameters=given,
    )


case("PartiQL: own leading key by parameter", allowed=True)(lambda lab: by_parameter(lab, own=True))
case("PartiQL: another leading key by parameter", allowed=False)(
    lambda lab: by_parameter(lab, own=False)
)


@case("PartiQL: one statement of a transaction is not allowed", allowed=False)
def _(lab: Lab) -> Call:
    table, who = table_and_user(lab, READS)
    listed = [
        {"Statement": text.replace("@t", table)}
        for text in (
            "SELECT * FROM \"@t\" WHERE pk = 'a'",
            "DELETE FROM \"@t\" WHERE pk = 'a'",
        )
    ]
    return lambda: who.dynamodb.execute_transaction(TransactStatements=listed)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)


@pytest.mark.parametrize(
    "statement",
    [
        'SELECT * FROM "@t", "@u"',
        'SELECT * FROM "@t" WHERE pk IN (SELECT pk FROM "@u")',
        'SELECT * FROM "@t" -- WHERE',
        'SELECT * FROM "@t" /* x */',
        "SELECT * FROM \"@t\" WHERE pk = 'a'; DELETE FROM \"@u\" WHERE pk = 'a'",
        'SELECT * FROM "@t" WHERE pk = \'a',
        "DROP TABLE x",
        "",
        "SELECT * FROM " + '"' + "a" * 300 + '"',
    ],
)
def test_statement_that_is_not_plain_is_refused(statement: str, lab: Lab) -> None:
    text = statement.replace("@t", lab.table()).replace("@u", lab.table())
    said, status = refusal_of(lambda: lab.admin.dynamodb.execute_statement(Statement=text or " "))
    assert (said, status) == ("AccessDeniedException", 400)
