"""ECS in permissions: clusters, services, tasks, and the two roles that a task is given.

- A cluster that is not named is `default`. Tasks, services and instances are named within theirs.
- Whoever runs a task hands over the roles of its definition, or those named in their place.
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/CWE_IAM_role.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.plan import Unmapped
from iamrange.clouds.aws.resources import Resource, split
from iamrange.clouds.aws.services.by_reference import ReferencePlanner, tags_of
from iamrange.clouds.aws.services.passed_roles import passed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.clouds.aws import reference
    from iamrange.clouds.aws.context import Context
    from iamrange.clouds.aws.model import AwsRequest, Check

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z", re.ASCII)
_DEFINED = re.compile(r"[A-Za-z0-9_-]{1,255}(?::[0-9]+)?\Z", re.ASCII)
_RUNS = frozenset({"RunTask", "StartTask", "CreateService", "UpdateService", "CreateTaskSet"})
# Which parameters name a resource of a kind within a cluster.
_WITHIN = {
    "service": ("service", "services", "serviceName"),
    "task": ("task", "tasks"),
    "container-instance": ("containerInstance", "containerInstances"),
}


class EcsPlanner(ReferencePlanner):
    """What each operation of ECS needs."""

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARNs of what the call is about."""
        kinds = [use.kind for use in about.uses]
        if request.parameters.get("resourceArn") or not kinds:
            return super().resources(request, about)
        found: list[str] = []
        for kind in kinds:
            arns = self._of(request, kind)
            if isinstance(arns, Unmapped):
                return arns
            found += arns
        return found

    def _of(self, request: AwsRequest, kind: str) -> list[str] | Unmapped:
        parameters = request.parameters
        start = f"arn:aws:ecs:{request.region}:{request.account}"
        if kind == "task-definition":
            return self._definition(request)
        named = parameters.get("cluster") or parameters.get("clusterName") or "default"
        clusters = parameters.get("clusters") or [named]
        arns = [_arn(request, "cluster", str(one), _NAME) for one in clusters]
        if None in arns:
            return Unmapped("the cluster is of another account or region, or not named plainly")
        if kind == "cluster":
            return [arn for arn in arns if arn is not None]
        if kind not in _WITHIN:
            return Unmapped(f"a {kind} is not decided", whole=True)
        cluster = str(arns[0]).rpartition("/")[2]
        values = [parameters[m] for m in _WITHIN[kind] if parameters.get(m)]
        names = [str(n) for v in values for n in (v if isinstance(v, list) else [v])] or ["*"]
        found = []
        for name in names:
            parts = split(name)
            plain = name.rpartition("/")[2] if parts else name
            mine = parts is None or (
                parts[:3] == ("ecs", request.region, request.account)
                and parts[3] in (f"{kind}/{cluster}/{plain}", f"{kind}/{plain}")
            )
            if not mine or not (plain == "*" or _NAME.match(plain)):
                return Unmapped(f"the {kind} is not in the cluster, or not named plainly")
            found.append(f"{start}:{kind}/{cluster}/{plain}")
        return found

    def _definition(self, request: AwsRequest) -> list[str] | Unmapped:
        parameters = request.parameters
        if request.operation == "RegisterTaskDefinition":
            arn = _arn(request, "task-definition", str(parameters.get("family")), _NAME)
            return [f"{arn}:*"] if arn else Unmapped("the family is not named plainly")
        listed = parameters.get("taskDefinitions") or [parameters.get("taskDefinition")]
        found = []
        for one in listed:
            arn = _arn(request, "task-definition", str(one), _DEFINED)
            if arn is None:
                return Unmapped("the definition is not of this account, or not named plainly")
            known = self._resources.task_definition(request.account, request.region, arn)
            found.append(known[0] if known else arn)
        return found

    def roles(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return a check for each role that tasks are given."""
        checks = {check.resource: check for check in super().roles(request, about, named)}
        wanted = request.parameters.get("taskDefinition")
        if request.operation in _RUNS and wanted:
            known = self._resources.task_definition(request.account, request.region, str(wanted))
            overrides: Any = request.parameters.get("overrides") or {}
            instead = {overrides.get("taskRoleArn"), overrides.get("executionRoleArn")} - {None}
            # What an override replaces is not told apart: the definition's own are asked for too.
            for arn in (*(known[1] if known else ()), *instead):
                checks[arn] = passed(request, self._store, str(arn), "ecs", named[0])
        return list(checks.values())

    def more(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return the checks of tags at creation.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
        """
        if tags_of(request.parameters) and request.operation != "TagResource":
            return [self.check(request, "ecs:TagResource", arn) for arn in named]
        return super().more(request, about, named)

    def context(self, request: AwsRequest, arn: str) -> Context:
        """Return those of the service's condition keys that are known here."""
        parameters, context = request.parameters, {}
        named = str(parameters.get("cluster") or "default")
        cluster = _arn(request, "cluster", named, _NAME)
        if cluster and ":cluster/" not in arn:
            context["ecs:cluster"] = cluster
        if parameters.get("enableExecuteCommand") is not None:
            given = parameters["enableExecuteCommand"]
            context["ecs:enable-execute-command"] = "true" if given else "false"
        if tags_of(parameters) and request.operation != "TagResource":
            context["ecs:CreateAction"] = request.operation
        found: Context = dict(context)
        return found

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a resource with its tags."""
        service, parts = request.service, split(arn)
        if parts is None:
            return None
        _, region, account, _ = parts
        tags = self._resources.resource_tags(service, account, region, arn)
        return Resource(arn=arn, account=account, tags=tags) if tags is not None else None


def _arn(request: AwsRequest, kind: str, named: str, form: re.Pattern[str]) -> str | None:
    """Return the ARN of a name or ARN; None when it is none of this account and region."""
    parts = split(named)
    name = named
    if parts is not None:
        if parts[:3] != ("ecs", request.region, request.account):
            return None
        name = parts[3].removeprefix(f"{kind}/")
    if not form.match(name):
        return None
    return f"arn:aws:ecs:{request.region}:{request.account}:{kind}/{name}"
