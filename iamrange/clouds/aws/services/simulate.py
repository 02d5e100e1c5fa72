"""IAM's policy simulator, on the engine that decides real requests.

- It answers for identity policies, boundaries and service control policies (and a resource policy
  that is given); like AWS's, it knows no session, and condition keys only as the caller gives them.
- https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.decide import PolicySet, Principal, Request, combine, evaluate
from iamrange.clouds.aws.facts import Facts
from iamrange.clouds.aws.model import AwsError, AwsResponse
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.store import compiled
from iamrange.core.decision import Effect, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.decide import Evaluation
    from iamrange.clouds.aws.model import AwsRequest, Caller, OrganizationLevels
    from iamrange.clouds.aws.policy import CompiledPolicy
    from iamrange.clouds.aws.store import MotoIamStore


_PAGE = 100
_ACCOUNT = re.compile(r"(?:arn:aws:iam::)?(\d{12})(?::root)?\Z", re.ASCII)
_USER = re.compile(r"arn:aws:iam::(\d{12}):user/.+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """Whose policies are simulated, and the policies that are not in the request."""

    principal: Principal
    own: tuple[CompiledPolicy, ...] = ()
    boundary: CompiledPolicy | None = None
    scps: tuple[tuple[CompiledPolicy, ...], ...] = ()


def simulate_principal(
    store: MotoIamStore, organization: OrganizationLevels, request: AwsRequest
) -> AwsResponse | AwsError:
    """Simulate a user's, group's or role's own policies, with any that are given on top."""
    arn = str(request.parameters["PolicySourceArn"])
    parts = arn.split(":")
    kind, _, rest = (parts[5] if len(parts) == 6 else "").partition("/")  # noqa: PLR2004 - an ARN
    name = rest.rsplit("/", 1)[-1]
    entity = store.entity(parts[4], kind, name) if kind in ("user", "role", "group") else None
    if entity is None or entity.arn != arn or parts[4] != request.account:
        message = f"The entity with ARN {arn} cannot be found."
        return AwsError(code="NoSuchEntity", message=message, status=404)
    caller = request.parameters.get("CallerArn")
    if request.parameters.get("ResourcePolicy") and kind != "user" and not caller:
        message = "CallerArn is required when ResourcePolicy is given and no user is simulated"
        return AwsError(code="InvalidInput", message=message, status=400)
    if caller and not _USER.match(str(caller)):
        return AwsError(code="InvalidInput", message="CallerArn is no user's ARN", status=400)
    asking = str(caller or arn)
    # A group has no boundary; in the simulator it asks like a user who is in it alone.
    principal = Principal(
        kind="role" if kind == "role" and not caller else "user",
        arn=asking,
        account=asking.split(":")[4],
    )
    group = kind == "group"
    subject = _Subject(
        principal=principal,
        own=store.group_policies(parts[4], name) if group else store.identity_policies(arn),
        boundary=None if group else store.boundary(arn),
        scps=organization.scps(parts[4]),
    )
    return _simulate(request, subject)


def simulate_custom(request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
    """Simulate policies that are given, for a principal that is given or the caller."""
    asking = request.parameters.get("CallerArn")
    if asking and not _USER.match(str(asking)):
        return AwsError(code="InvalidInput", message="CallerArn is no user's ARN", status=400)
    arn = str(asking or caller.principal.arn)
    account = arn.split(":")[4] if asking else request.account
    return _simulate(request, _Subject(principal=Principal(kind="user", arn=arn, account=account)))


def _simulate(request: AwsRequest, subject: _Subject) -> AwsResponse | AwsError:
    parameters = request.parameters
    owner = _ACCOUNT.match(str(parameters.get("ResourceOwner") or request.account))
    if owner is None:
        return AwsError(code="InvalidInput", message="ResourceOwner is no account", status=400)
    try:
        policies = _policies(parameters, subject)
    except MalformedPolicy as error:
        return AwsError(code="InvalidInput", message=str(error), status=400)
    context = _context(parameters.get("ContextEntries") or ())
    asked = [
        Request(str(action), str(arn), subject.principal, owner[1], context)
        for action in parameters["ActionNames"]
        for arn in parameters.get("ResourceArns") or ("*",)
    ]
    marker = str(parameters.get("Marker") or "0")
    if not marker.isdecimal() or int(marker) > len(asked):
        return AwsError(code="InvalidInput", message="Marker is not one of ours", status=400)
    start, size = int(marker), int(parameters.get("MaxItems") or _PAGE)
    results = [_result(one, policies) for one in asked[start : start + size]]
    output: dict[str, Any] = {"EvaluationResults": results, "IsTruncated": False}
    if start + size < len(asked):
        output |= {"IsTruncated": True, "Marker": str(start + size)}
    return AwsResponse(output=output)


def _policies(parameters: Mapping[str, Any], subject: _Subject) -> PolicySet:
    """Return all policies of one simulation.

    Raises:
        MalformedPolicy: one that is given is not one.
    """
    given = tuple(
        compiled(str(text), PolicyKind.IDENTITY, f"PolicyInputList.{number}")
        for number, text in enumerate(parameters.get("PolicyInputList") or (), 1)
    )
    bounds = [
        compiled(str(text), PolicyKind.BOUNDARY, f"PermissionsBoundaryPolicyInputList.{number}")
        for number, text in enumerate(parameters.get("PermissionsBoundaryPolicyInputList") or (), 1)
    ]
    resource = parameters.get("ResourcePolicy")
    return PolicySet(
        identity=subject.own + given,
        # One boundary, and a given one takes the place of the entity's own (the API's words).
        boundary=bounds[0] if bounds else subject.boundary,
        resource=compiled(str(resource), PolicyKind.RESOURCE, "ResourcePolicy")
        if resource
        else None,
        scps=subject.scps,
    )


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
    result: dict[str, Any] = {
        "EvalActionName": asked.action,
        "EvalResourceName": asked.resource,
        "EvalDecision": _decision(evaluation, allowed=outcome is Outcome.ALLOW),
        "MatchedStatements": [
            {"SourcePolicyId": answer.decided_by.policy, "SourcePolicyType": "IAM Policy"}
            for answer in evaluation.layers
            if answer.decided_by is not None
        ],
        "MissingContextValues": _missing(asked, policies),
    }
    answers = {answer.layer: answer for answer in evaluation.layers}
    if policies.scps:
        allowed = not answers["scp"].refuses
        result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": allowed}
    if policies.boundary is not None:
        allowed = not answers["permissions-boundary"].refuses
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allowed}
    if not asked.same_account:
        # Told for simulations across accounts only (API_EvaluationResult).
        result["EvalDecisionDetails"] = {
            "IAM Policy": _words(answers["identity"].effect),
            "Resource Policy": _words(answers["resource"].effect),
        }
    return result


def _decision(evaluation: Evaluation, *, allowed: bool) -> str:
    explicit = any(answer.effect is Effect.DENY for answer in evaluation.layers)
    if allowed:
        return "allowed"
    return "explicitDeny" if explicit else "implicitDeny"


def _words(effect: Effect) -> str:
    words = {Effect.ALLOW: "allowed", Effect.DENY: "explicitDeny"}
    return words.get(effect, "implicitDeny")


def _missing(asked: Request, policies: PolicySet) -> list[str]:
    """Return the keys that statements on this action and resource ask for and nobody gave."""
    facts = Facts(asked)
    every = (
        *policies.identity,
        *((policies.boundary,) if policies.boundary else ()),
        *((policies.resource,) if policies.resource else ()),
    )
    keys = {
        key
        for policy in every
        for statements in policy.candidates(facts.action)
        for statement in statements
        for key in statement.asked_keys(facts)
    }
    return sorted(keys - set(facts.values))
