"""IAM's policy simulator, on the engine that decides real requests.

- It answers for identity policies and boundaries (and a resource policy that is given); like
  AWS's, it knows no session, and condition keys only as the caller gives them.
- https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.decide import PolicySet, Principal, Request, combine, evaluate
from iamrange.clouds.aws.model import AwsError, AwsResponse
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.store import compiled
from iamrange.core.decision import Effect, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.model import AwsRequest, Caller
    from iamrange.clouds.aws.policy import CompiledPolicy
    from iamrange.clouds.aws.store import MotoIamStore


def simulate_principal(store: MotoIamStore, request: AwsRequest) -> AwsResponse | AwsError:
    """Simulate a user's, group's or role's own policies, with any that are given on top."""
    arn = str(request.parameters["PolicySourceArn"])
    parts = arn.split(":")
    kind, _, rest = (parts[5] if len(parts) == 6 else "").partition("/")  # noqa: PLR2004 - an ARN
    name = rest.rsplit("/", 1)[-1]
    entity = store.entity(parts[4], kind, name) if kind in ("user", "role", "group") else None
    if entity is None or entity.arn != arn or parts[4] != request.account:
        message = f"The entity with ARN {arn} cannot be found."
        return AwsError(code="NoSuchEntity", message=message, status=404)
    principal = Principal(kind="user" if kind == "user" else "role", arn=arn, account=parts[4])
    if kind == "group":
        # A group has no boundary; in the simulator it asks like a user who is in it alone.
        principal = Principal(kind="user", arn=arn, account=parts[4])
        return _simulate(request, principal, store.group_policies(parts[4], name), None)
    own = store.identity_policies(arn)
    return _simulate(request, principal, own, store.boundary(arn))


def simulate_custom(request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
    """Simulate policies that are given, for a principal that is given or the caller."""
    arn = str(request.parameters.get("CallerArn") or caller.principal.arn)
    principal = Principal(kind="user", arn=arn, account=request.account)
    return _simulate(request, principal, (), None)


def _simulate(
    request: AwsRequest,
    principal: Principal,
    own: tuple[CompiledPolicy, ...],
    boundary: CompiledPolicy | None,
) -> AwsResponse | AwsError:
    parameters = request.parameters
    try:
        given = tuple(
            compiled(str(text), PolicyKind.IDENTITY, f"PolicyInputList.{number}")
            for number, text in enumerate(parameters.get("PolicyInputList") or (), 1)
        )
        bounds = [
            compiled(str(text), PolicyKind.BOUNDARY, f"PermissionsBoundaryPolicyInputList.{number}")
            for number, text in enumerate(
                parameters.get("PermissionsBoundaryPolicyInputList") or (), 1
            )
        ]
        resource = parameters.get("ResourcePolicy")
        attached = compiled(str(resource), PolicyKind.RESOURCE, "resource") if resource else None
    except MalformedPolicy as error:
        return AwsError(code="InvalidInput", message=str(error), status=400)
    policies = PolicySet(
        identity=own + given, boundary=bounds[0] if bounds else boundary, resource=attached
    )
    context = _context(parameters.get("ContextEntries") or ())
    results = [
        _result(Request(str(action), str(arn), principal, request.account, context), policies)
        for action in parameters["ActionNames"]
        for arn in parameters.get("ResourceArns") or ("*",)
    ]
    return AwsResponse(output={"EvaluationResults": results, "IsTruncated": False})


def _context(entries: Sequence[Mapping[str, Any]]) -> dict[str, str | tuple[str, ...]]:
    context: dict[str, str | tuple[str, ...]] = {}
    for entry in entries:
        values = tuple(str(value) for value in entry.get("ContextKeyValues") or ())
        many = str(entry.get("ContextKeyType") or "").endswith("List")
        if values:
            context[str(entry["ContextKeyName"])] = values if many else values[0]
    return context


def _result(asked: Request, policies: PolicySet) -> dict[str, Any]:
    evaluation = evaluate(asked, policies)
    outcome, _ = combine(evaluation.layers, asked)
    explicit = any(answer.effect is Effect.DENY for answer in evaluation.layers)
    denied = "explicitDeny" if explicit else "implicitDeny"
    missing = {
        key
        for answer in evaluation.layers
        for miss in answer.near_misses
        for key in miss.condition_keys
        if key not in {name.lower() for name in asked.context}
    }
    statements = [
        {"SourcePolicyId": answer.decided_by.policy, "SourcePolicyType": "IAM Policy"}
        for answer in evaluation.layers
        if answer.decided_by is not None
    ]
    return {
        "EvalActionName": asked.action,
        "EvalResourceName": asked.resource,
        "EvalDecision": "allowed" if outcome is Outcome.ALLOW else denied,
        "MatchedStatements": statements,
        "MissingContextValues": sorted(missing),
    }
