# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""Registry, trails, tasks and state machines: their resources, policies and roles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    REGION,
    TAGS,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    refusal_of,
    unique,
)

case = Cases("ecr, cloudtrail, ecs and states")
PASSES_EVENTS = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "events.amazonaws.com")
)


def role_of(lab: Lab, service: str, *statements: dict[str, Any]) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return lab.role(trust, *statements)


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
