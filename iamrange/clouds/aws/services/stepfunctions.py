"""Step Functions in permissions: state machines, their executions, and the role they run as.

- No state machine is run here: what it would do in its role, nobody would ask.
- https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import Resource, split
from iamrange.clouds.aws.services.by_reference import ReferencePlanner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.clouds.aws import reference

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}\Z", re.ASCII)
_RUNS = frozenset({"StartExecution", "StartSyncExecution", "RedriveExecution", "TestState"})
_EXECUTIONS = {"execution", "express", "labelled execution", "labelled express"}
_MACHINES = {"statemachine", "statemachineversion", "statemachinealias"}


class StepFunctionsPlanner(ReferencePlanner):
    """What each operation of Step Functions needs."""

    knows_keys = True
    optional_needs = frozenset({"states:PublishStateMachineVersion", "states:RevealSecrets"})

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        plan = super().__call__(request, caller)
        if isinstance(plan, Unmapped):
            return plan
        message = "iamrange runs no state machine; the call was authorised"
        error = AwsError(code="ServiceException", message=message, status=501)
        return replace(plan, instead=error if request.operation in _RUNS else None)

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARN of the machine, execution or activity."""
        kinds = {use.kind for use in about.uses}
        if kinds & (_EXECUTIONS | _MACHINES):
            parameters = request.parameters
            if request.operation == "CreateStateMachine":
                name = str(parameters.get("name"))
                if not _NAME.match(name):
                    return Unmapped("the state machine is not named plainly")
                start = f"arn:aws:states:{request.region}:{request.account}"
                return (f"{start}:stateMachine:{name}",)
            for member in ("stateMachineArn", "executionArn", "resourceArn"):
                parts = split(str(parameters.get(member) or ""))
                if parts is None:
                    continue
                if parts[:2] != ("states", request.region) or "*" in parts[3]:
                    return Unmapped("a state machine of another region")
                return (str(parameters[member]),)
        return super().resources(request, about)

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a machine or activity with its tags."""
        service, parts = request.service, split(arn)
        if parts is None:
            return None
        _, region, account, _ = parts
        tags = self._resources.resource_tags(service, account, region, arn) or {}
        return Resource(arn=arn, account=account, tags=tags)

    def more(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return the checks of what options need: a version, tags."""
        checks = super().more(request, about, named)
        if request.parameters.get("publish"):
            checks += [self.check(request, "states:PublishStateMachineVersion", a) for a in named]
        if request.operation == "CreateStateMachine" and request.parameters.get("tags"):
            checks += [self.check(request, "states:TagResource", arn) for arn in named]
        if request.parameters.get("revealSecrets"):
            checks.append(self.check(request, "states:RevealSecrets", "*"))
        return checks
