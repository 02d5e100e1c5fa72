# boto3's clients and the elements of policies have no types
"""Conditions of the services' own."""

from __future__ import annotations

import functools
import io
import zipfile
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    HOME,
    READ,
    REGION,
    TAGS,
    TEAM,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    document,
    unique,
)

case = Cases("services")


def creates_function(lab: Lab, *own: dict[str, Any]) -> Call:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role, who, packed = lab.role(trust), lab.user(*own), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", "x = 1")
    return lambda: who.lambda_.create_function(
        FunctionName=unique("f"),
        Runtime="python3.12",
        Role=role,
        Handler="a.x",
        Code={"ZipFile": packed.getvalue()},
    )


PASSES = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "lambda.amazonaws.com")
)
PASSES_EC2 = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "ec2.amazonaws.com")
)
case("CreateFunction without PassRole", allowed=False)(
    lambda lab: creates_function(lab, allow("lambda:*"))
)
case("CreateFunction with PassRole", allowed=True)(
    lambda lab: creates_function(lab, allow("lambda:*"), PASSES)
)
case("CreateFunction with PassRole to another service", allowed=False)(
    lambda lab: creates_function(lab, allow("lambda:*"), PASSES_EC2)
)


def attaches(lab: Lab, wanted: str) -> Call:
    who, target = (
        lab.user(allow("iam:AttachUserPolicy", **cond("ArnEquals", "iam:PolicyARN", wanted))),
        lab.user(),
    )
    return lambda: who.iam.attach_user_policy(
        UserName=target.name, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
    )


case("iam:PolicyARN met", allowed=True)(
    lambda lab: attaches(lab, "arn:aws:iam::aws:policy/ReadOnlyAccess")
)
case("iam:PolicyARN not met", allowed=False)(
    lambda lab: attaches(lab, "arn:aws:iam::aws:policy/AdministratorAccess")
)


def creates_bounded(lab: Lab, *, given: bool) -> Call:
    arn = lab.admin.iam.create_policy(
        PolicyName=unique("b"), PolicyDocument=document(allow("s3:*"))
    )["Policy"]["Arn"]
    who = lab.user(allow("iam:CreateUser", **cond("StringEquals", "iam:PermissionsBoundary", arn)))
    more = {"PermissionsBoundary": arn} if given else {}
    return lambda: who.iam.create_user(UserName=unique("new"), **more)


case("iam:PermissionsBoundary met", allowed=True)(lambda lab: creates_bounded(lab, given=True))
case("iam:PermissionsBoundary missing", allowed=False)(
    lambda lab: creates_bounded(lab, given=False)
)


def parameter(lab: Lab, *, other: bool) -> Call:
    name = unique("p")
    lab.admin.ssm.put_parameter(Name=f"/{name}/a", Value="x", Type="String")
    shown = f"arn:aws:ssm:{REGION}:{HOME}:parameter/{name}/{'b' if other else 'a'}"
    who = lab.user(allow("ssm:GetParameter", shown))
    return lambda: who.ssm.get_parameter(Name=f"/{name}/a")


case("parameter ARN match", allowed=True)(lambda lab: parameter(lab, other=False))
case("parameter ARN mismatch", allowed=False)(lambda lab: parameter(lab, other=True))


def queue(lab: Lab, *, other: bool) -> Call:
    name = unique("q")
    url = lab.admin.sqs.create_queue(QueueName=name)["QueueUrl"]
    shown = f"arn:aws:sqs:{REGION}:{HOME}:{name}{'x' if other else ''}"
    who = lab.user(allow("sqs:SendMessage", shown))
    return lambda: who.sqs.send_message(QueueUrl=url, MessageBody="x")


case("queue ARN match", allowed=True)(lambda lab: queue(lab, other=False))
case("queue ARN mismatch", allowed=False)(lambda lab: queue(lab, other=True))

LEADING = allow(
    "dynamodb:*", **cond("ForAllValues:StringEquals", "dynamodb:LeadingKeys", ["${aws:username}"])
)


def item(lab: Lab, *, own: bool) -> Call:
    table, who = lab.table(), lab.user(LEADING)
    key = {"pk": {"S": who.name if own else "someone-else"}}
    return lambda: who.dynamodb.get_item(TableName=table, Key=key)


case("leading key match", allowed=True)(lambda lab: item(lab, own=True))
case("leading key mismatch", allowed=False)(lambda lab: item(lab, own=False))


@case("leading key mismatch in one of a batch", allowed=False)
def _(lab: Lab) -> Call:
    table, who = lab.table(), lab.user(LEADING)
    keys = [{"pk": {"S": name}} for name in (who.name, "someone-else")]
    return lambda: who.dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})


@case("leading key mismatch in a query", allowed=False)
def _(lab: Lab) -> Call:
    table, who = lab.table(), lab.user(LEADING)
    return lambda: who.dynamodb.query(
        TableName=table,
        KeyConditionExpression="#k = :v",
        ExpressionAttributeNames={"#k": "pk"},
        ExpressionAttributeValues={":v": {"S": "someone-else"}},
    )


def stops(lab: Lab, team: str) -> Call:
    got = lab.admin.ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": TAGS}],
    )
    ids = [got["Instances"][0]["InstanceId"]]
    who = lab.user(allow("ec2:StopInstances", **cond("StringEquals", TEAM, team)))
    return lambda: who.ec2.stop_instances(InstanceIds=ids)


case("EC2 ResourceTag match", allowed=True)(lambda lab: stops(lab, "red"))
case("EC2 ResourceTag mismatch", allowed=False)(lambda lab: stops(lab, "blue"))


@case("SimulatePrincipalPolicy", allowed=True)
def _(lab: Lab) -> Call:
    who = lab.user(allow(READ))

    def simulated() -> None:
        got = lab.admin.iam.simulate_principal_policy(
            PolicySourceArn=who.arn, ActionNames=[READ, "s3:GetObject"]
        )["EvaluationResults"]
        assert [one["EvalDecision"] for one in got] == ["allowed", "implicitDeny"]

    return simulated


def secure_parameter(lab: Lab, *own: dict[str, Any], place: str = "/") -> Call:
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    name = f"{place}{unique('secure')}"
    lab.admin.ssm.put_parameter(Name=name, Value="v", Type="SecureString", KeyId=key)
    who = lab.user(allow("ssm:GetParameter"), *own)
    return lambda: who.ssm.get_parameter(Name=name, WithDecryption=True)


for _place in ("", "/", "/two/levels/"):
    case(f"secure parameter in {_place!r} without its key", allowed=False)(
        functools.partial(secure_parameter, place=_place)
    )
case("secure parameter with its key", allowed=True)(
    lambda lab: secure_parameter(
        lab, allow("kms:Decrypt", **cond("StringLike", "kms:ViaService", "ssm.*"))
    )
)


@case("parameter named by its ARN", allowed=True)
def _(lab: Lab) -> Call:
    name = f"/{unique('app')}/a"
    lab.admin.ssm.put_parameter(Name=name, Value="v", Type="String")
    arn = f"arn:aws:ssm:{REGION}:{HOME}:parameter{name}"
    who = lab.user(allow("ssm:GetParameter", arn))
    return lambda: who.ssm.get_parameter(Name=arn)


@case("operation that is not mapped", allowed=False)
def _(lab: Lab) -> Call:
    return lambda: lab.admin.dynamodb.execute_statement(Statement='SELECT * FROM "t"')


@case("service that is not decided", allowed=False)
def _(lab: Lab) -> Call:
    call: Call = lab.admin.resourcegroupstaggingapi.get_resources
    return call


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
