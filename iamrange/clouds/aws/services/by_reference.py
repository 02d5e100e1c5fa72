"""Services whose operations are put into permissions by AWS's own reference, not by hand.

- An operation needs the action of its name, on each resource that the reference says the action is
  about; resources are found in the request by the placeholders of their ARN's format.
- Whatever cannot be told without guessing is unmapped: a resource that no parameter names, an
  action that needs others, a policy of a resource that nobody here would ask.
- Keys that AWS would know and nobody here does are handed on as unknown, so that a condition on
  one refuses: the service's own keys, and the resource's tags where they are not looked up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws import reference
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import PolicyKind
from iamrange.clouds.aws.resources import Resource, split, tag_map
from iamrange.clouds.aws.services.named_resources import named_resources
from iamrange.clouds.aws.services.passed_roles import passed_roles
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.resources import Resources
    from iamrange.clouds.aws.store import MotoIamStore

_TAG_MEMBERS = frozenset({"tags", "taglist", "tagset"})
_OTHER_ACCOUNT = frozenset({"catalogid", "accountid", "awsaccountid", "registryid", "ownerid"})
_SETS_POLICY = re.compile(
    r"(?:Put|Set|Update|Create|Attach|Add|Delete|Remove)\w*"
    r"(?:ResourcePolicy|AccessPolicy|FileSystemPolicy|VaultPolicy|Permissions?|RepositoryPolicy)\Z"
)
# What stores do at the target of such a call, now or later, they would do without asking anybody.
_ACTS_ELSEWHERE = frozenset(
    {
        ("athena", "StartQueryExecution"),
        ("config", "PutDeliveryChannel"),
        ("ses", "CreateConfigurationSetEventDestination"),
        ("ses", "SetIdentityNotificationTopic"),
        ("ses", "UpdateConfigurationSetEventDestination"),
        ("sesv2", "CreateConfigurationSetEventDestination"),
        ("sesv2", "UpdateConfigurationSetEventDestination"),
    }
)
_ALARMS = ("AlarmActions", "OKActions", "InsufficientDataActions")
# Made by a service for itself when it is first used: nothing that a caller may do by them.
_OF_THE_SERVICE = frozenset({"iam:CreateServiceLinkedRole", "iam:GetRole", "iam:PassRole"})


class ReferencePlanner:
    """What each operation of a service needs, by the reference."""

    optional_needs: frozenset[str] = frozenset()
    """Actions that the reference says are needed with some option; a subclass asks for them."""

    asks_policies = False
    """Whether `find` brings the policies of resources."""

    knows_accounts = False
    """Whether `resources` reads a parameter that names another account."""

    knows_keys = False
    """Whether `context` brings all of the service's own condition keys."""

    def __init__(self, service: str, store: MotoIamStore, resources: Resources) -> None:
        """Take the service's name in botocore, and where roles and resources are looked up."""
        self._prefix = reference.SERVICES[service]
        self._store = store
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation = request.operation
        about = reference.action(self._prefix, operation)
        if about is None:
            return Unmapped("AWS documents no action of its name", whole=True)
        odd = self._odd(request, about)
        if odd is not None:
            return Unmapped(odd, whole=True)
        if not request.account:
            return Unmapped("nobody signed it")
        named = self.resources(request, about)
        if isinstance(named, Unmapped):
            return named
        checks = [self.check(request, f"{self._prefix}:{operation}", arn) for arn in named]
        checks += self.more(request, about, named)
        checks += self.roles(request, about, named)
        accounts = {check.resource_account for check in checks[: len(named)]}
        if len(accounts) != 1:
            return Unmapped("its resources are of more than one account")
        return Plan(checks=tuple(checks), account=accounts.pop() or request.account)

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a resource as it stands, with its tags and its policy; None: they are not told."""
        parts = split(arn)
        if parts is None or not parts[2]:
            return None
        _, region, account, _ = parts
        tags = self._resources.resource_tags(request.service, account, region, arn)
        return Resource(arn=arn, account=account, tags=tags) if tags else None

    def context(self, request: AwsRequest, arn: str) -> Context:
        """Return the service's own condition keys."""
        del request, arn
        return {}

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARNs of the resources that the call is about."""
        return named_resources(self._prefix, request, about)

    def more(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return the checks of what an option of the call needs beside its own action."""
        if not tags_of(request.parameters):
            return []
        tagging = [need for need in sorted(about.needs) if "Tag" in need]
        return [self.check(request, need, arn) for need in tagging for arn in named]

    def roles(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return a check for each role that the call hands to the service."""
        passes = "iam:PassRole" in about.needs
        return passed_roles(request, self._store, self._prefix, named, passes=passes)

    def check(self, request: AwsRequest, action: str, arn: str) -> Check:
        """Return the check of one action on one resource."""
        found = self.find(request, arn)
        parts = split(arn)
        account = found.account if found else (parts[2] if parts else "") or request.account
        context = self.context(request, arn)
        unknown = [] if self.knows_keys else [f"{self._prefix}:"]
        if found is None and arn != "*":
            unknown.append("aws:resourcetag/")
        if found is not None:
            context |= {f"{self._prefix}:ResourceTag/{k}": v for k, v in found.tags.items()}
        tags = tags_of(request.parameters)
        if tags is None:
            unknown += ["aws:requesttag/", "aws:tagkeys"]
        context |= request_tags(tags or {})
        context |= tag_keys(_tag_keys(request.parameters))
        policy = found.policy if found else None
        return Check(
            action=action,
            resource=arn,
            resource_account=account,
            context=context,
            resource_policy=compiled(policy, PolicyKind.RESOURCE, arn) if policy else None,
            resource_tags=found.tags if found else None,
            unknown=tuple(unknown),
        )

    def _odd(self, request: AwsRequest, about: reference.Action) -> str | None:
        """Say why the call cannot be decided by the reference, if so."""
        rest = {n for n in about.needs if "Tag" not in n} - _OF_THE_SERVICE - self.optional_needs
        if rest:
            return f"it needs {', '.join(sorted(rest))} as well, AWS does not say when"
        if (request.service, request.operation) in _ACTS_ELSEWHERE or any(
            request.parameters.get(member) for member in _ALARMS
        ):
            return "the store would act elsewhere without asking anybody"
        if not self.asks_policies:
            if _SETS_POLICY.match(request.operation):
                return "nobody would ask the policy that it changes"
            if any(_is_policy(value) for value in request.parameters.values()):
                return "nobody would ask the policy that it brings"
        members = () if self.knows_accounts else request.parameters.items()
        for name, value in members:
            if _plain(name) in _OTHER_ACCOUNT and value not in (None, request.account):
                return "it is about another account, whose policy nobody would ask"
        return None


def tags_of(parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the tags that a request brings; None: it has tags in a form that is not known."""
    found: dict[str, str] = {}
    for name, value in parameters.items():
        plain = _plain(name)
        if not value or not plain.endswith(("tags", "taglist", "tagset", "tagspecifications")):
            continue
        if plain not in _TAG_MEMBERS or not _readable(value):
            return None
        found |= tag_map(value)
    return found


def _readable(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(one, str) for one in value.values())
    return isinstance(value, list) and len(tag_map_or_none(value)) == len(value)


def tag_map_or_none(value: list[Any]) -> dict[str, str]:
    """Return the tags of a list, none if it is a list of anything else."""
    return tag_map(value) if all(isinstance(one, dict) for one in value) else {}


def _tag_keys(parameters: Mapping[str, Any]) -> list[str]:
    for name, value in parameters.items():
        if _plain(name) in ("tagkeys", "tagkeylist") and isinstance(value, list):
            return [str(key) for key in value]
    return []


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_policy(value: object) -> bool:
    return isinstance(value, str) and "statement" in value.lower() and "effect" in value.lower()
