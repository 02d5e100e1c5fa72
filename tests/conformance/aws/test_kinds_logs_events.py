# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""Logs and events: groups, streams, rules, buses, their policies and their targets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    REGION,
    ROOT,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    allow,
    cond,
    deny,
    document,
    refusal_of,
    unique,
)

case = Cases("logs and events")
LOGS = f"arn:aws:logs:{REGION}:{HOME}:log-group"
EVENTS = f"arn:aws:events:{REGION}:{HOME}"


# --- logs


def log_group(lab: Lab, **more: Any) -> str:
    name = unique("/app/group")
    lab.admin.logs.create_log_group(logGroupName=name, **more)
    lab.admin.logs.create_log_stream(logGroupName=name, logStreamName="s")
    return name


def puts_logs(who: Principal, group: str) -> Call:
    events = [{"timestamp": 1, "message": "m"}]
    return lambda: who.logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def writes(lab: Lab, form: str, **more: Any) -> Call:
    group = log_group(lab)
    return puts_logs(lab.user(allow("logs:PutLogEvents", form.format(group), **more)), group)


case("stream by its ARN", allowed=True)(lambda lab: writes(lab, LOGS + ":{}:log-stream:s"))
case("any stream of a group", allowed=True)(lambda lab: writes(lab, LOGS + ":{}:*"))
case("another stream", allowed=False)(lambda lab: writes(lab, LOGS + ":{}:log-stream:t"))
case("group without its streams", allowed=False)(lambda lab: writes(lab, LOGS + ":{}"))


def deletes_group(lab: Lab, form: str) -> Call:
    group = log_group(lab)
    who = lab.user(allow("logs:DeleteLogGroup", form.format(group)))
    return lambda: who.logs.delete_log_group(logGroupName=group)


case("delete a group", allowed=True)(lambda lab: deletes_group(lab, LOGS + ":{}:*"))
case("delete another group", allowed=False)(lambda lab: deletes_group(lab, LOGS + ":{}x:*"))


@case("no logging is kept off by a denial", allowed=False)
def _(lab: Lab) -> Call:
    group = log_group(lab)
    who = lab.user(EVERYTHING, deny("logs:Delete*"))
    return lambda: who.logs.delete_log_group(logGroupName=group)


def tagged_group(lab: Lab, team: str) -> Call:
    group = log_group(lab, tags={"team": "red"})
    own = allow("logs:PutLogEvents", **cond("StringEquals", "aws:ResourceTag/team", team))
    return puts_logs(lab.user(own), group)


case("tag of the group", allowed=True)(lambda lab: tagged_group(lab, "red"))
case("other tag of the group", allowed=False)(lambda lab: tagged_group(lab, "blue"))


@case("policy of the logs denies", allowed=False)
def _(lab: Lab) -> Call:
    group, who = log_group(lab), lab.user(allow("logs:*"))
    statement = deny("logs:PutLogEvents", f"{LOGS}:{group}:*", Principal={"AWS": who.arn})
    lab.admin.logs.put_resource_policy(policyName=group[5:], policyDocument=document(statement))
    return puts_logs(who, group)


def foreign_group(lab: Lab, *, shared: bool) -> Call:
    group, who = log_group(lab), lab.user(allow("logs:*"), account=OTHER)
    if shared:
        statement = allow("logs:FilterLogEvents", f"{LOGS}:{group}:*", Principal={"AWS": who.arn})
        name = unique("p")
        lab.admin.logs.put_resource_policy(policyName=name, policyDocument=document(statement))
    arn = f"{LOGS}:{group}"
    return lambda: who.logs.filter_log_events(logGroupIdentifier=arn)


case("cross-account group, both allow", allowed=True)(lambda lab: foreign_group(lab, shared=True))
case("cross-account group, only identity", allowed=False)(
    lambda lab: foreign_group(lab, shared=False)
)


# --- events


def rule(lab: Lab, *own: dict[str, Any], **more: Any) -> Call:
    who = lab.user(*own)
    pattern = json.dumps({"source": ["app"]})
    return lambda: who.events.put_rule(Name="r", EventPattern=pattern, **more)


case("rule on the default bus", allowed=True)(
    lambda lab: rule(lab, allow("events:PutRule", f"{EVENTS}:rule/r"))
)
case("rule of another name", allowed=False)(
    lambda lab: rule(lab, allow("events:PutRule", f"{EVENTS}:rule/s"))
)
case("rule by the source of its pattern", allowed=True)(
    lambda lab: rule(
        lab, allow("events:PutRule", **cond("ForAllValues:StringEquals", "events:source", "app"))
    )
)
case("rule by another source than its pattern's", allowed=False)(
    lambda lab: rule(
        lab, allow("events:PutRule", **cond("ForAllValues:StringEquals", "events:source", "x"))
    )
)


def custom_bus(lab: Lab, place: str) -> Call:
    bus = unique("bus")
    lab.admin.events.create_event_bus(Name=bus)
    return rule(
        lab, allow("events:PutRule", f"{EVENTS}:rule/{place.format(bus)}"), EventBusName=bus
    )


case("rule on another bus by its own ARN", allowed=True)(lambda lab: custom_bus(lab, "{}/r"))
case("rule on another bus by the default bus's ARN", allowed=False)(
    lambda lab: custom_bus(lab, "r")
)


def role_of(lab: Lab, service: str, *statements: dict[str, Any]) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return lab.role(trust, *statements)


def targets(lab: Lab, *own: dict[str, Any], runs: tuple[dict[str, Any], ...] = ()) -> Call:
    role = role_of(lab, "events.amazonaws.com", *runs)
    lab.admin.events.put_rule(Name="targets", ScheduleExpression="rate(1 day)")
    who = lab.user(allow("events:PutTargets"), *own)
    machine = f"arn:aws:states:{REGION}:{HOME}:stateMachine:m"
    listed = [{"Id": "1", "Arn": machine, "RoleArn": role}]
    return lambda: who.events.put_targets(Rule="targets", Targets=listed)


STARTS = (allow("states:StartExecution"),)
PASSES_EVENTS = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "events.amazonaws.com")
)
case("targets without PassRole", allowed=False)(lambda lab: targets(lab, runs=STARTS))
case("targets with PassRole", allowed=True)(lambda lab: targets(lab, PASSES_EVENTS, runs=STARTS))
case("targets whose role may not run them", allowed=False)(lambda lab: targets(lab, PASSES_EVENTS))


def queue_target(lab: Lab, *, open_to_events: bool) -> Call:
    name = unique("q")
    url = lab.admin.sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{HOME}:{name}"
    lab.admin.events.put_rule(Name="queues", ScheduleExpression="rate(1 day)")
    if open_to_events:
        policy = allow("sqs:SendMessage", arn, Principal={"Service": "events.amazonaws.com"})
        lab.admin.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(policy)})
    who = lab.user(allow("events:PutTargets"))
    return lambda: who.events.put_targets(Rule="queues", Targets=[{"Id": "1", "Arn": arn}])


case("queue as a target that its policy lets in", allowed=True)(
    lambda lab: queue_target(lab, open_to_events=True)
)
case("queue as a target that its policy keeps out", allowed=False)(
    lambda lab: queue_target(lab, open_to_events=False)
)


def puts_events(lab: Lab, source: str) -> Call:
    who = lab.user(allow("events:PutEvents", **cond("StringEquals", "events:source", "app")))
    bus = unique("bus")
    lab.admin.events.create_event_bus(Name=bus)
    entry = {"Source": source, "DetailType": "t", "Detail": "{}", "EventBusName": bus}
    return lambda: who.events.put_events(Entries=[{**entry, "Source": "app"}, entry])


case("events of the source", allowed=True)(lambda lab: puts_events(lab, "app"))
case("one event of another source", allowed=False)(lambda lab: puts_events(lab, "other"))


def foreign_bus(lab: Lab, *own: dict[str, Any], shared: bool) -> Call:
    who, bus = lab.user(*own, account=OTHER), unique("bus")
    arn = lab.admin.events.create_event_bus(Name=bus)["EventBusArn"]
    if shared:
        statement = allow("events:PutEvents", arn, Principal={"AWS": who.arn}, Sid="s")
        lab.admin.events.put_permission(EventBusName=bus, Policy=document(statement))
    entry = {"Source": "a", "DetailType": "t", "Detail": "{}", "EventBusName": arn}
    return lambda: who.events.put_events(Entries=[entry])


case("cross-account bus, both allow", allowed=True)(
    lambda lab: foreign_bus(lab, allow("events:PutEvents"), shared=True)
)
case("cross-account bus, only its policy", allowed=False)(lambda lab: foreign_bus(lab, shared=True))
case("cross-account bus, only identity", allowed=False)(
    lambda lab: foreign_bus(lab, allow("events:PutEvents"), shared=False)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)


def test_policy_of_a_bus_that_the_store_would_change_is_refused(lab: Lab) -> None:
    statement = {"Effect": "Deny", "NotPrincipal": {"AWS": ROOT}, "Action": "*", "Resource": "*"}
    put = lambda: lab.admin.events.put_permission(Policy=document(statement))  # noqa: E731 - one line
    assert refusal_of(put) == ("ValidationException", 400)
