"""The container registry in permissions: repositories, whoever's they are, and their policies.

- https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import Resource, split
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.policy_texts import of_one_resource
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.clouds.aws import reference


class EcrPlanner(ReferencePlanner):
    """What each operation of the registry needs."""

    asks_policies = True
    knows_accounts = True
    knows_keys = True

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        if request.operation in ("PutRegistryPolicy", "CreatePullThroughCacheRule"):
            return Unmapped("nobody would ask the registry's own policy", whole=True)
        plan = super().__call__(request, caller)
        return plan if isinstance(plan, Unmapped) else replace(plan, instead=_bad_policy(request))

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARNs of the repositories, in the registry that the request names."""
        owner = str(request.parameters.get("registryId") or request.account)
        named = super().resources(request, about)
        if isinstance(named, Unmapped) or owner == request.account:
            return named
        if not owner.isdecimal() or any(split(arn) is None for arn in named):
            return Unmapped("another account's registry as a whole")
        return tuple(arn.replace(f":{request.account}:", f":{owner}:", 1) for arn in named)

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a repository with its tags and policy."""
        parts = split(arn)
        if parts is None or not parts[3].startswith("repository/"):
            return super().find(request, arn)
        _, region, account, rest = parts
        name = rest.removeprefix("repository/")
        policy = self._resources.repository_policy(account, region, name)
        return Resource(
            arn=arn,
            account=account,
            tags=self._resources.resource_tags("ecr", account, region, arn) or {},
            policy=of_one_resource(policy) if policy else None,
        )


def _bad_policy(request: AwsRequest) -> AwsError | None:
    document = request.parameters.get("policyText")
    if request.operation != "SetRepositoryPolicy" or not document:
        return None
    try:
        compiled(of_one_resource(str(document)), PolicyKind.RESOURCE, "repository-policy")
    except MalformedPolicy as error:
        return AwsError(code="InvalidParameterException", message=str(error), status=400)
    return None
