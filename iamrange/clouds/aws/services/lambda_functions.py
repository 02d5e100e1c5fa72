"""Lambda in permissions: functions by hand, the rest by the reference.

- A function is named plainly or by an ARN, whole or in part, which may be another account's: its
  policy has a say. With a qualifier it is a resource of its own.
- Making a function hands it a role, which is a permission of its own; so is using a layer.
- No function's code is run here; a cloud that was given a runner has it run (`functions`).
- https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iamrange.clouds.aws.actions import exists, resource_types
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import PolicyKind
from iamrange.clouds.aws.resources import split, tag_map
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.passed_roles import passed
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ACTIONS = {
    "Invoke": "InvokeFunction",
    "InvokeAsync": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_QUALIFIER = re.compile(r"(?:\$LATEST|[A-Za-z0-9_-]{1,128})\Z")
_PRINCIPAL = re.compile(
    r"(?:\*|\d{12}|[a-z0-9.-]+\.amazonaws\.com|"
    r"arn:aws:(?:iam|sts)::\d{12}:(?:root|(?:user|role|assumed-role)/[\w+=,.@/-]+))\Z",
    re.ASCII,
)
_PASSES = frozenset({"CreateFunction", "UpdateFunctionConfiguration"})
_MAPPINGS = frozenset(
    [
        "CreateEventSourceMapping",
        "UpdateEventSourceMapping",
        "PutFunctionEventInvokeConfig",
        "UpdateFunctionEventInvokeConfig",
    ]
)


class LambdaPlanner(ReferencePlanner):
    """What each operation of Lambda needs."""

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation, parameters = request.operation, request.parameters
        action = f"lambda:{_ACTIONS.get(operation, operation)}"
        if operation in _MAPPINGS:
            return Unmapped("the store would act on events without asking anybody", whole=True)
        if (parameters.get("DeadLetterConfig") or {}).get("TargetArn"):
            return Unmapped("the store would write dead letters without asking anybody")
        if not exists(action) or not any(k.startswith("function") for k in resource_types(action)):
            return super().__call__(request, caller)
        named = str(parameters.get("FunctionName") or parameters.get("Resource") or "")
        if not parameters.get("FunctionName") and ":function:" not in named:
            return super().__call__(request, caller)
        found = _function(request, named)
        if found is None or not request.account:
            return Unmapped("the function is not named plainly, or not of this region")
        account, name, qualifier = found
        checks = self._checks(request, action, (account, name, qualifier))
        if operation in _PASSES:
            checks += self._used(request, checks[0].resource)
        overrides: dict[str, Any] = {"FunctionName": name} if "FunctionName" in parameters else {}
        if overrides and qualifier and not parameters.get("Qualifier"):
            return Unmapped("a version or an alias is named by Qualifier only")
        return Plan(
            checks=tuple(checks),
            account=account,
            overrides=overrides,
            instead=_not_run(operation) or _odd_principal(request),
            runs=name if operation == "Invoke" else None,
        )

    def _checks(
        self, request: AwsRequest, action: str, function: tuple[str, str, str]
    ) -> list[Check]:
        account, name, qualifier = function
        parameters = request.parameters
        policy = self._resources.function_policy(account, request.region, name)
        plain = f"arn:aws:lambda:{request.region}:{account}:function:{name}"
        arn = f"{plain}:{qualifier}" if qualifier else plain
        tags = self._resources.function_tags(account, request.region, name)
        context = _context(parameters)
        actions = [action]
        if request.operation == "CreateFunction" and parameters.get("Tags"):
            actions.append("lambda:TagResource")
        return [
            Check(
                action=needed,
                resource=arn,
                resource_account=account,
                context=context,
                resource_policy=compiled(policy, PolicyKind.RESOURCE, plain) if policy else None,
                resource_tags=tags,
            )
            for needed in actions
        ]

    def _used(self, request: AwsRequest, function: str) -> list[Check]:
        """Return the checks of the role and the layers that a function is given."""
        parameters, checks = request.parameters, []
        if parameters.get("Role"):
            checks.append(passed(request, self._store, str(parameters["Role"]), "lambda", function))
        for layer in parameters.get("Layers") or ():
            parts = split(str(layer))
            owner = parts[2] if parts else request.account
            checks.append(
                Check(action="lambda:GetLayerVersion", resource=str(layer), resource_account=owner)
            )
        return checks


def _context(parameters: Mapping[str, Any]) -> Context:
    context: Context = request_tags(tag_map(parameters.get("Tags")))
    context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    if parameters.get("Layers"):
        context["lambda:Layer"] = tuple(str(layer) for layer in parameters["Layers"])
    network = parameters.get("VpcConfig") or {}
    for member in ("SubnetIds", "SecurityGroupIds"):
        if network.get(member):
            context[f"lambda:{member}"] = tuple(str(one) for one in network[member])
    for member, key in (
        ("Principal", "Principal"),
        ("FunctionUrlAuthType", "FunctionUrlAuthType"),
        ("AuthType", "FunctionUrlAuthType"),
        ("CodeSigningConfigArn", "CodeSigningConfigArn"),
    ):
        if parameters.get(member):
            context[f"lambda:{key}"] = str(parameters[member])
    return context


def _function(request: AwsRequest, named: str) -> tuple[str, str, str] | None:
    """Return account, name and qualifier ("" for none) of a function, however it is named."""
    account, rest = request.account, named
    partial, separator, plain = named.partition(":function:")
    found = split(named)
    if found is not None:
        service, region, account, rest = found
        if (service, region) != ("lambda", request.region) or not rest.startswith("function:"):
            return None
        rest = rest.removeprefix("function:")
    elif separator:
        # The partial ARN of API_GetFunction: ACCOUNT:function:NAME.
        account, rest = partial, plain
    name, _, inside = rest.partition(":")
    given = str(request.parameters.get("Qualifier") or "")
    if given and inside and given != inside:
        return None
    qualifier = given or inside
    if not re.fullmatch(r"\d{12}", account) or not _NAME.match(name):
        return None
    if qualifier and not _QUALIFIER.match(qualifier):
        return None
    return account, name, qualifier


def _odd_principal(request: AwsRequest) -> AwsError | None:
    principal = request.parameters.get("Principal")
    if request.operation != "AddPermission" or _PRINCIPAL.match(str(principal)):
        return None
    message = f"The provided principal was invalid: {principal}"
    return AwsError(code="InvalidParameterValueException", message=message, status=400)


def _not_run(operation: str) -> AwsError | None:
    if operation not in _ACTIONS:
        return None
    message = "iamrange runs no function code; the call was authorised"
    return AwsError(code="ServiceException", message=message, status=501)
