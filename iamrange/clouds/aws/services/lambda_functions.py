"""Lambda in permissions: making a function hands it a role, which is a permission of its own.

- Only a function's plain name, or its ARN (also in part) in the caller's account, is understood.
- No function's code is run here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iamrange.clouds.aws.actions import exists, resource_types
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import split, tag_map
from iamrange.clouds.aws.services.iam import pass_role

if TYPE_CHECKING:
    from iamrange.clouds.aws.resources import Resources
    from iamrange.clouds.aws.store import MotoIamStore

_ACTIONS = {
    "Invoke": "InvokeFunction",
    "InvokeAsync": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PASSES = frozenset({"CreateFunction", "UpdateFunctionConfiguration"})


class LambdaPlanner:
    """What each operation of Lambda needs."""

    def __init__(self, store: MotoIamStore, resources: Resources) -> None:
        """Take where roles and functions are looked up."""
        self._store = store
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation, parameters = request.operation, request.parameters
        action = f"lambda:{_ACTIONS.get(operation, operation)}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        kinds = resource_types(action)
        if not kinds and operation.startswith(("List", "GetAccount")):
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        if not any(kind.startswith("function") for kind in kinds):
            return Unmapped("only functions are decided", whole=True)
        named = parameters.get("FunctionName") or parameters.get("Resource")
        name = _name(request, str(named or ""))
        if name is None:
            return Unmapped("the function is not named plainly, or not of this account")
        arn = f"arn:aws:lambda:{request.region}:{request.account}:function:{name}"
        tags = self._resources.function_tags(request.account, request.region, name)
        context: Context = {"lambda:FunctionArn": arn}
        context |= request_tags(tag_map(parameters.get("Tags")))
        context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
        actions = [action]
        if operation == "CreateFunction" and parameters.get("Tags"):
            actions.append("lambda:TagResource")
        checks = [
            Check(
                action=needed,
                resource=arn,
                resource_account=request.account,
                context=context,
                resource_tags=tags,
            )
            for needed in actions
        ]
        if operation in _PASSES and parameters.get("Role"):
            role = str(parameters["Role"])
            checks.append(pass_role(request, self._store, role, "lambda.amazonaws.com"))
        return Plan(
            checks=tuple(checks),
            account=request.account,
            overrides={"FunctionName": name} if "FunctionName" in parameters else {},
            instead=_not_run(operation),
        )


def _name(request: AwsRequest, named: str) -> str | None:
    account, separator, plain = named.partition(":function:")
    if separator and account == request.account:
        named = plain  # the partial ARN of API_GetFunction: ACCOUNT:function:NAME
    found = split(named)
    if found is not None:
        service, region, owner, rest = found
        if (service, region, owner) != ("lambda", request.region, request.account):
            return None
        named = rest.removeprefix("function:")
    return named if _NAME.match(named) else None


def _not_run(operation: str) -> AwsError | None:
    if operation not in _ACTIONS:
        return None
    message = "iamrange runs no function code; the call was authorised"
    return AwsError(code="ServiceException", message=message, status=501)
