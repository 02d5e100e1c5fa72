# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""Logs, events, registry, trails, tasks, state machines: their resources, policies and roles."""

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
    TAGS,
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

case = Cases("logs, events, ecr, cloudtrail, ecs, states")
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


# --- the registry


def repository(lab: Lab, **more: Any) -> str:
    name = unique("team/app")
    lab.admin.ecr.create_repository(repositoryName=name, **more)
    return name


def lists_images(lab: Lab, form: str) -> Call:
    name = repository(lab)
    arn = f"arn:aws:ecr:{REGION}:{HOME}:repository/{form.format(name)}"
    who = lab.user(allow("ecr:ListImages", arn))
    return lambda: who.ecr.list_images(repositoryName=name)


case("repository by its ARN", allowed=True)(lambda lab: lists_images(lab, "{}"))
case("another repository", allowed=False)(lambda lab: lists_images(lab, "{}-x"))


def repository_policy(lab: Lab, effect: str, account: str = HOME, *own: dict[str, Any]) -> Call:
    name, who = repository(lab), lab.user(*own, account=account)
    statement = {"Effect": effect, "Principal": {"AWS": who.arn}, "Action": "ecr:ListImages"}
    lab.admin.ecr.set_repository_policy(repositoryName=name, policyText=document(statement))
    return lambda: who.ecr.list_images(repositoryName=name, registryId=HOME)


case("repository's policy alone allows", allowed=True)(lambda lab: repository_policy(lab, "Allow"))
case("repository's policy denies", allowed=False)(
    lambda lab: repository_policy(lab, "Deny", HOME, EVERYTHING)
)
case("cross-account repository, both allow", allowed=True)(
    lambda lab: repository_policy(lab, "Allow", OTHER, allow("ecr:*"))
)
case("cross-account repository, only its policy", allowed=False)(
    lambda lab: repository_policy(lab, "Allow", OTHER)
)


@case("cross-account repository, only identity", allowed=False)
def _(lab: Lab) -> Call:
    name, who = repository(lab), lab.user(EVERYTHING, account=OTHER)
    return lambda: who.ecr.list_images(repositoryName=name, registryId=HOME)


def tagged_repository(lab: Lab, key: str, team: str) -> Call:
    name = repository(lab, tags=TAGS)
    who = lab.user(allow("ecr:ListImages", **cond("StringEquals", key, team)))
    return lambda: who.ecr.list_images(repositoryName=name)


case("tag of the repository", allowed=True)(
    lambda lab: tagged_repository(lab, "aws:ResourceTag/team", "red")
)
case("tag of the repository by the service's key", allowed=True)(
    lambda lab: tagged_repository(lab, "ecr:ResourceTag/team", "red")
)
case("other tag of the repository", allowed=False)(
    lambda lab: tagged_repository(lab, "ecr:ResourceTag/team", "blue")
)


@case("registry's token", allowed=True)
def _(lab: Lab) -> Call:
    who = lab.user(allow("ecr:GetAuthorizationToken"))
    token: Call = who.ecr.get_authorization_token
    return token


@case("registry's token is about no resource", allowed=False)
def _(lab: Lab) -> Call:
    one = f"arn:aws:ecr:{REGION}:{HOME}:repository/x"
    who = lab.user(allow("ecr:GetAuthorizationToken", one))
    token: Call = who.ecr.get_authorization_token
    return token


# --- trails


def trail(lab: Lab) -> str:
    name, bucket = unique("trail"), lab.bucket()
    lab.admin.cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    lab.admin.cloudtrail.start_logging(Name=name)
    return name


def stops_logging(lab: Lab, *own: dict[str, Any]) -> Call:
    name, who = trail(lab), lab.user(*own)
    return lambda: who.cloudtrail.stop_logging(Name=name)


KEEPS = deny(
    [
        "cloudtrail:StopLogging",
        "cloudtrail:DeleteTrail",
        "cloudtrail:UpdateTrail",
        "cloudtrail:PutEventSelectors",
    ]
)
case("stop logging", allowed=True)(lambda lab: stops_logging(lab, EVERYTHING))
case("stop logging, denied", allowed=False)(lambda lab: stops_logging(lab, EVERYTHING, KEEPS))


def changes_trail(lab: Lab, operation: str, own: dict[str, Any], **asked: Any) -> Call:
    name = trail(lab)
    who = lab.user(json.loads(json.dumps(own).replace("@trail", name)))
    member = "TrailName" if operation == "put_event_selectors" else "Name"
    return lambda: getattr(who.cloudtrail, operation)(**{member: name}, **asked)


TRAIL = f"arn:aws:cloudtrail:{REGION}:{HOME}:trail/@trail"
SELECTED = {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]}
for _operation, _action, _asked in (
    ("stop_logging", "StopLogging", {}),
    ("delete_trail", "DeleteTrail", {}),
    ("update_trail", "UpdateTrail", {}),
    ("put_event_selectors", "PutEventSelectors", SELECTED),
):
    for _allowed in (True, False):

        def _arrange(
            lab: Lab,
            operation: str = _operation,
            action: str = _action,
            asked: dict[str, Any] = _asked,
            end: str = "" if _allowed else "x",
        ) -> Call:
            return changes_trail(
                lab, operation, allow(f"cloudtrail:{action}", TRAIL + end), **asked
            )

        case(f"{_action} of {'its' if _allowed else 'another'} trail", allowed=_allowed)(_arrange)


# --- tasks

PASSES_TASKS = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "ecs-tasks.amazonaws.com")
)


def registers(lab: Lab, *own: dict[str, Any], execution: bool = False) -> Call:
    role = role_of(lab, "ecs-tasks.amazonaws.com")
    who = lab.user(allow("ecs:RegisterTaskDefinition"), *own)
    member = "executionRoleArn" if execution else "taskRoleArn"
    return lambda: who.ecs.register_task_definition(
        family=unique("f"),
        containerDefinitions=[{"name": "c", "image": "i", "memory": 8}],
        **{member: role},
    )


case("task role without PassRole", allowed=False)(registers)
case("task role with PassRole", allowed=True)(lambda lab: registers(lab, PASSES_TASKS))
case("execution role without PassRole", allowed=False)(lambda lab: registers(lab, execution=True))
case("execution role with PassRole", allowed=True)(
    lambda lab: registers(lab, PASSES_TASKS, execution=True)
)
case("task role with PassRole to another service", allowed=False)(
    lambda lab: registers(lab, PASSES_EVENTS)
)


def runs_task(lab: Lab, *own: dict[str, Any], override: bool = False) -> Call:
    ecs, role = lab.admin.ecs, role_of(lab, "ecs-tasks.amazonaws.com")
    ecs.create_cluster(clusterName="c")
    family = unique("f")
    more = {} if override else {"taskRoleArn": role}
    made = ecs.register_task_definition(
        family=family,
        containerDefinitions=[{"name": "c", "image": "i", "memory": 8}],
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        **more,
    )["taskDefinition"]["taskDefinitionArn"]
    subnet = lab.admin.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    who = lab.user(allow("ecs:RunTask", made), *own)
    asked = {"overrides": {"taskRoleArn": role}} if override else {}
    group = lab.admin.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    return lambda: who.ecs.run_task(
        cluster="c",
        taskDefinition=family,
        launchType="FARGATE",
        networkConfiguration=network,
        **asked,
    )


case("run a task without PassRole for its role", allowed=False)(runs_task)
case("run a task with PassRole for its role", allowed=True)(
    lambda lab: runs_task(lab, PASSES_TASKS)
)
case("run a task in another role without PassRole", allowed=False)(
    lambda lab: runs_task(lab, override=True)
)
case("run a task in another role with PassRole", allowed=True)(
    lambda lab: runs_task(lab, PASSES_TASKS, override=True)
)


# --- state machines

PASSES_STATES = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "states.amazonaws.com")
)
PASS = {"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}}


def makes_machine(lab: Lab, *own: dict[str, Any], name: str = "m") -> Call:
    role = role_of(lab, "states.amazonaws.com")
    only = f"arn:aws:states:{REGION}:{HOME}:stateMachine:m-*"
    who = lab.user(allow("states:CreateStateMachine", only), *own)
    return lambda: who.stepfunctions.create_state_machine(
        name=unique(name), definition=json.dumps(PASS), roleArn=role
    )


case("state machine without PassRole", allowed=False)(makes_machine)
case("state machine with PassRole", allowed=True)(lambda lab: makes_machine(lab, PASSES_STATES))
case("state machine of another name", allowed=False)(
    lambda lab: makes_machine(lab, PASSES_STATES, name="n")
)
case("state machine with PassRole to another service", allowed=False)(
    lambda lab: makes_machine(lab, PASSES_EVENTS)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)


def test_started_state_machine_runs_nothing(lab: Lab) -> None:
    states = lab.admin.stepfunctions
    machine = states.create_state_machine(
        name=unique("m"),
        definition=json.dumps(PASS),
        roleArn=role_of(lab, "states.amazonaws.com"),
    )["stateMachineArn"]
    assert refusal_of(lambda: states.start_execution(stateMachineArn=machine))[1] == 501


def test_policy_of_a_bus_that_the_store_would_change_is_refused(lab: Lab) -> None:
    statement = {"Effect": "Deny", "NotPrincipal": {"AWS": ROOT}, "Action": "*", "Resource": "*"}
    put = lambda: lab.admin.events.put_permission(Policy=document(statement))  # noqa: E731 - one line
    assert refusal_of(put) == ("ValidationException", 400)
