"""Organizations in permissions: every unit, account and policy that a call names is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.actions import exists
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import tag_map

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import AwsRequest, Caller
    from iamrange.clouds.aws.organization_tree import Organization, OrganizationRegistry

_NAMED = (
    "PolicyId",
    "TargetId",
    "AccountId",
    "OrganizationalUnitId",
    "RootId",
    "ParentId",
    "SourceParentId",
    "DestinationParentId",
    "ResourceId",
    "ChildId",
)
_KINDS = {"ACCOUNT": "account", "ROOT": "root", "ORGANIZATIONAL_UNIT": "ou"}


class OrganizationsPlanner:
    """What each operation of Organizations needs."""

    def __init__(self, registry: OrganizationRegistry) -> None:
        """Take the organisations, to know what an id is."""
        self._registry = registry

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        action = f"organizations:{request.operation}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        organization = self._registry.of(caller.account)
        named = [str(request.parameters[m]) for m in _NAMED if request.parameters.get(m)]
        arns = [_arn(organization, name) for name in named] if organization else []
        context = _context(request, organization, named)
        checks = tuple(
            Check(action=action, resource=arn, resource_account=request.account, context=context)
            for arn in arns or ["*"]
        )
        return Plan(checks=checks, account=request.account)


def _arn(organization: Organization, name: str) -> str:
    start = f"arn:aws:organizations::{organization.management}"
    policy = organization.policies.get(name)
    if policy is not None:
        owner = "arn:aws:organizations::aws" if policy.aws_managed else start
        place = "" if policy.aws_managed else f"{organization.id}/"
        return f"{owner}:policy/{place}{policy.type.lower()}/{name}"
    node = organization.nodes.get(name)
    kind = _KINDS.get(node.kind, "ou") if node is not None else "ou"
    return f"{start}:{kind}/{organization.id}/{name}"


def _context(request: AwsRequest, organization: Organization | None, named: list[str]) -> Context:
    parameters = request.parameters
    context: Context = {}
    kind = parameters.get("PolicyType") or parameters.get("Type") or parameters.get("Filter")
    for name in named if organization else ():
        policy = organization.policies.get(name) if organization else None
        kind = policy.type if policy is not None else kind
    if isinstance(kind, str):
        context["organizations:PolicyType"] = kind
    if parameters.get("ServicePrincipal"):
        context["organizations:ServicePrincipal"] = str(parameters["ServicePrincipal"])
    context |= request_tags(tag_map(parameters.get("Tags")))
    context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    return context
