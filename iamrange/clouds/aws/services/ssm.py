"""Systems Manager in permissions: parameters by hand, the rest by the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import split, tag_map
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.kms import key_checks

if TYPE_CHECKING:
    from iamrange.clouds.aws.resources import Resource

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
_ACTS_ELSEWHERE = frozenset({"SendCommand", "StartAutomationExecution", "StartSession"})
_TAGS = frozenset({"AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"})


class SsmPlanner(ReferencePlanner):
    """What each operation on parameters needs."""

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
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
        if operation in _ACTS_ELSEWHERE:
            return Unmapped("it would act in the caller's place", whole=True)
        return super().__call__(request, caller)

    def _plan(self, request: AwsRequest, names: list[str]) -> Plan | Unmapped:
        checks: list[Check] = []
        exact: list[str] = []
        for named in names:
            name = self._exact(request, named)
            if name is None:
                return Unmapped("a parameter of another account or region")
            exact.append(name)
            plain = name.split(":", 1)[0] if request.operation.startswith("Get") else name
            checks += self._checks(request, plain)
        if not checks:
            return Unmapped("no parameter is named")
        parameters = request.parameters
        overrides: dict[str, Any] = {"Names": exact} if "Names" in parameters else {}
        if "Name" in parameters:
            overrides["Name"] = exact[0]
        return Plan(checks=tuple(checks), account=request.account, overrides=overrides)

    def _exact(self, request: AwsRequest, named: str) -> str | None:
        """Return the name that a name or an ARN stands for; None for another's parameter."""
        found = split(named)
        if found is None:
            return named
        service, region, account, rest = found
        if (service, region, account) != ("ssm", request.region, request.account):
            return None
        place, colon, version = rest.removeprefix("parameter/").partition(":")
        name = self._resources.parameter_name(account, region, place)
        return f"{name}{colon}{version}"

    def _checks(self, request: AwsRequest, name: str) -> list[Check]:
        found = self._resources.parameter(request.account, request.region, name)
        context = _context(request)
        context |= {f"ssm:resourceTag/{key}": value for key, value in found.tags.items()}
        actions = [request.operation]
        if request.operation == "PutParameter" and request.parameters.get("Tags"):
            actions.append("AddTagsToResource")
        checks = [
            Check(
                action=f"ssm:{action}",
                resource=found.arn,
                resource_account=request.account,
                context=context,
                resource_tags=found.tags,
            )
            for action in actions
        ]
        return [*checks, *self._key_use(request, name, found)]

    def _key_use(self, request: AwsRequest, name: str, found: Resource) -> list[Check]:
        """Secure strings under a customer managed key need that key's permission too.

        https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
        """
        parameters = request.parameters
        needs: tuple[str, ...]
        if parameters.get("WithDecryption"):
            sealed = [found]
            if request.operation == "GetParametersByPath":
                account, region = request.account, request.region
                under = self._resources.parameter_names(account, region, name)
                sealed = [self._resources.parameter(account, region, one) for one in under]
            pairs = [(one.kms_key, one.arn) for one in sealed]
            needs = ("Decrypt",)
        elif request.operation == "PutParameter" and parameters.get("Type") == "SecureString":
            pairs = [(str(parameters.get("KeyId") or ""), found.arn)]
            # Advanced parameters are sealed by envelope, standard ones by the key itself.
            advanced = parameters.get("Tier") == "Advanced"
            needs = ("GenerateDataKey",) if advanced else ("Encrypt",)
        else:
            return []
        return [
            check
            for key, arn in pairs
            if key
            for check in key_checks(
                self._resources,
                request,
                key,
                needs,
                via="ssm",
                encryption_context_values={"PARAMETER_ARN": arn},
            )
        ]


def _context(request: AwsRequest) -> Context:
    parameters = request.parameters
    context = request_tags(tag_map(parameters.get("Tags")))
    context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    if parameters.get("Overwrite") is not None:
        context["ssm:Overwrite"] = "true" if parameters["Overwrite"] else "false"
    if parameters.get("Recursive") is not None:
        context["ssm:Recursive"] = "true" if parameters["Recursive"] else "false"
    return context
