# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""Queues, topics and functions: their policies, across accounts, and their own keys."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    READ,
    REGION,
    TEAM,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    document,
    names,
    unique,
    with_secret_policy,
)

case = Cases("sqs, sns and lambda across accounts")
QUEUES, TOPICS = f"arn:aws:sqs:{REGION}:{HOME}", f"arn:aws:sns:{REGION}:{HOME}"


def shared_queue(lab: Lab, *own: dict[str, Any], effect: str, account: str = OTHER) -> Call:
    name, who = unique("q"), lab.user(*own, account=account)
    policy = {}
    if effect:
        statement = {
            "Effect": effect,
            "Principal": {"AWS": who.arn},
            "Action": "sqs:SendMessage",
            "Resource": f"{QUEUES}:{name}",
        }
        policy = {"Attributes": {"Policy": document(statement)}}
    url = lab.admin.sqs.create_queue(QueueName=name, **policy)["QueueUrl"]
    return lambda: who.sqs.send_message(QueueUrl=url, MessageBody="m")


SENDS = allow("sqs:SendMessage")
for _title, _own, _effect, _account, _allowed in (
    ("cross-account queue, both allow", [SENDS], "Allow", OTHER, True),
    ("cross-account queue, only its policy", [], "Allow", OTHER, False),
    ("cross-account queue, only identity", [SENDS], "", OTHER, False),
    ("queue's policy alone", [], "Allow", HOME, True),
    ("queue's policy denies", [EVERYTHING], "Deny", HOME, False),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, effect=_effect, account=_account: shared_queue(  # type: ignore[misc]  # mypy reads no default in a lambda
            lab, *own, effect=effect, account=account
        )
    )


def queue_with(lab: Lab, own: dict[str, Any], call: Any, **more: Any) -> Call:
    url = lab.admin.sqs.create_queue(QueueName=unique("q"), **more)["QueueUrl"]
    who = lab.user(own)
    return lambda: call(who.sqs, url)


def send(sqs: Any, url: str) -> Any:
    return sqs.send_message(QueueUrl=url, MessageBody="m")


RED_QUEUE = {"tags": {"team": "red"}}
case("queue's tag", allowed=True)(
    lambda lab: queue_with(
        lab, allow("sqs:*", **cond("StringEquals", TEAM, "red")), send, **RED_QUEUE
    )
)
case("queue's other tag", allowed=False)(
    lambda lab: queue_with(
        lab, allow("sqs:*", **cond("StringEquals", TEAM, "blue")), send, **RED_QUEUE
    )
)
case("batch by the single action", allowed=True)(
    lambda lab: queue_with(
        lab,
        SENDS,
        lambda sqs, url: sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "m"}]
        ),
    )
)
case("receive with send only", allowed=False)(
    lambda lab: queue_with(lab, SENDS, lambda sqs, url: sqs.receive_message(QueueUrl=url))
)


def anonymous_queue(lab: Lab, principal: Any) -> Call:
    name, who = unique("q"), lab.user(account=OTHER)
    policy = document(allow("sqs:SendMessage", f"{QUEUES}:{name}", Principal=principal))
    url = lab.admin.sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    return lambda: who.sqs.send_message(QueueUrl=url, MessageBody="m")


case("queue open to everyone, stranger without permission", allowed=False)(
    lambda lab: anonymous_queue(lab, "*")
)


def shared_topic(lab: Lab, *own: dict[str, Any], effect: str, account: str = OTHER) -> Call:
    name, who = unique("t"), lab.user(*own, account=account)
    arn = lab.admin.sns.create_topic(Name=name)["TopicArn"]
    if effect:
        statement = {
            "Effect": effect,
            "Principal": {"AWS": who.arn},
            "Action": "sns:Publish",
            "Resource": arn,
        }
        lab.admin.sns.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=document(statement)
        )
    return lambda: who.sns.publish(TopicArn=arn, Message="m")


PUBLISHES = allow("sns:Publish")
for _title, _own, _effect, _account, _allowed in (
    ("cross-account topic, both allow", [PUBLISHES], "Allow", OTHER, True),
    ("cross-account topic, only its policy", [], "Allow", OTHER, False),
    ("cross-account topic, only identity", [PUBLISHES], "", OTHER, False),
    ("topic's policy alone", [], "Allow", HOME, True),
    ("topic's policy denies", [EVERYTHING], "Deny", HOME, False),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, effect=_effect, account=_account: shared_topic(  # type: ignore[misc]  # mypy reads no default in a lambda
            lab, *own, effect=effect, account=account
        )
    )


def subscribes(lab: Lab, own: dict[str, Any], endpoint: str) -> Call:
    arn = lab.admin.sns.create_topic(Name=unique("t"))["TopicArn"]
    who = lab.user(own)
    return lambda: who.sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=endpoint)


BY_MAIL = allow("sns:Subscribe", **cond("StringLike", "sns:Endpoint", "*@example.com"))
case("subscription of an address", allowed=True)(
    lambda lab: subscribes(lab, BY_MAIL, "me@example.com")
)
case("subscription of another address", allowed=False)(
    lambda lab: subscribes(lab, BY_MAIL, "me@example.org")
)
BY_TEXT = allow("sns:Subscribe", **cond("StringEquals", "sns:Protocol", "sms"))
case("subscription by another protocol", allowed=False)(
    lambda lab: subscribes(lab, BY_TEXT, "me@example.com")
)


def function(lab: Lab, **more: Any) -> str:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", "x = 1")
    made = lab.admin.lambda_.create_function(
        FunctionName=unique("f"),
        Runtime="python3.12",
        Role=lab.role(trust),
        Handler="a.x",
        Code={"ZipFile": packed.getvalue()},
        **more,
    )
    return str(made["FunctionArn"])


def shared_function(lab: Lab, *own: dict[str, Any], shared: bool, account: str = OTHER) -> Call:
    arn, who = function(lab), lab.user(*own, account=account)
    if shared:
        lab.admin.lambda_.add_permission(
            FunctionName=arn, StatementId="s", Action="lambda:GetFunction", Principal=who.arn
        )
    return lambda: who.lambda_.get_function(FunctionName=arn)


LOOKS = allow("lambda:GetFunction")
for _title, _own, _shared, _account, _allowed in (
    ("cross-account function, both allow", [LOOKS], True, OTHER, True),
    ("cross-account function, only its policy", [], True, OTHER, False),
    ("cross-account function, only identity", [LOOKS], False, OTHER, False),
    ("function's policy alone", [], True, HOME, True),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, shared=_shared, account=_account: shared_function(  # type: ignore[misc]  # mypy reads no default in a lambda
            lab, *own, shared=shared, account=account
        )
    )


def adds_permission(lab: Lab, principal: str) -> Call:
    arn = function(lab)
    own = allow(
        "lambda:AddPermission", **cond("StringEquals", "lambda:Principal", "s3.amazonaws.com")
    )
    who = lab.user(own)
    return lambda: who.lambda_.add_permission(
        FunctionName=arn, StatementId="s", Action="lambda:InvokeFunction", Principal=principal
    )


case("permission for a service", allowed=True)(lambda lab: adds_permission(lab, "s3.amazonaws.com"))
case("permission for another service", allowed=False)(
    lambda lab: adds_permission(lab, "sns.amazonaws.com")
)


def tagged_function(lab: Lab, team: str) -> Call:
    arn = function(lab, Tags={"team": "red"})
    who = lab.user(allow("lambda:GetFunction", **cond("StringEquals", TEAM, team)))
    return lambda: who.lambda_.get_function(FunctionName=arn)


case("function's tag", allowed=True)(lambda lab: tagged_function(lab, "red"))
case("function's other tag", allowed=False)(lambda lab: tagged_function(lab, "blue"))


@case("function's other version is another resource", allowed=False)
def _(lab: Lab) -> Call:
    arn = function(lab)
    lab.admin.lambda_.publish_version(FunctionName=arn)
    who = lab.user(allow("lambda:GetFunction", arn))
    return lambda: who.lambda_.get_function(FunctionName=arn, Qualifier="1")


def shared_bus_secret(lab: Lab) -> Call:
    return with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)


case("cross-account secret for comparison", allowed=True)(shared_bus_secret)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
