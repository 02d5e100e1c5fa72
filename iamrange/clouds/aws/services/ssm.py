"""Systems Manager's parameters in permissions; its other parts are not mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import split, tag_map

if TYPE_CHECKING:
    from iamrange.clouds.aws.resources import MotoResources

_BY_NAME = frozenset(
    [
        "PutParameter",
        "GetParameter",
        "GetParameterHistory",
        "DeleteParameter",
        "LabelParameterVersion",
        "UnlabelParameterVersion",
    ]
)
_BY_NAMES = frozenset({"GetParameters", "DeleteParameters"})
_TAGS = frozenset({"AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"})


class SsmPlanner:
    """What each operation on parameters needs."""

    def __init__(self, resources: MotoResources) -> None:
        """Take where parameters are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation, parameters = request.operation, request.parameters
        if operation in _BY_NAME:
            return self._plan(request, [str(parameters["Name"])])
        if operation in _BY_NAMES:
            return self._plan(request, [str(name) for name in parameters["Names"]])
        if operation in _TAGS and parameters.get("ResourceType") == "Parameter":
            return self._plan(request, [str(parameters["ResourceId"])])
        if operation == "GetParametersByPath":
            # The path itself is the resource; a policy on `parameter/path/*` does not cover it.
            # https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html
            return self._plan(request, [str(parameters["Path"])])
        if operation == "DescribeParameters":
            check = Check(
                action="ssm:DescribeParameters", resource="*", resource_account=request.account
            )
            return Plan(checks=(check,), account=request.account)
        return Unmapped("only parameters are decided")

    def _plan(self, request: AwsRequest, names: list[str]) -> Plan | Unmapped:
        checks: list[Check] = []
        for name in names:
            named = split(name)
            if named is not None:
                return Unmapped("a parameter of another account, or named by ARN")
            plain = name.split(":", 1)[0] if request.operation.startswith("Get") else name
            found = self._resources.parameter(request.account, request.region, plain)
            context = _context(request)
            context |= {f"ssm:resourceTag/{key}": value for key, value in found.tags.items()}
            tags = tag_map(request.parameters.get("Tags"))
            actions = [request.operation]
            if request.operation == "PutParameter" and tags:
                actions.append("AddTagsToResource")
            checks += [
                Check(
                    action=f"ssm:{action}",
                    resource=found.arn,
                    resource_account=request.account,
                    context=context,
                    resource_tags=found.tags,
                )
                for action in actions
            ]
        if not checks:
            return Unmapped("no parameter is named")
        return Plan(checks=tuple(checks), account=request.account)


def _context(request: AwsRequest) -> Context:
    parameters = request.parameters
    context = request_tags(tag_map(parameters.get("Tags")))
    context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    if parameters.get("Overwrite") is not None:
        context["ssm:Overwrite"] = "true" if parameters["Overwrite"] else "false"
    if parameters.get("Recursive") is not None:
        context["ssm:Recursive"] = "true" if parameters["Recursive"] else "false"
    return context
