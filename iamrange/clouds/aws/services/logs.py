"""CloudWatch Logs in permissions: groups, streams, and the policies over them.

- A group is `log-group:NAME` for its tags and `log-group:NAME:...` for all else, so that a policy
  on the plain name allows tagging only.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
- A group is named plainly, or by an ARN, which may be another account's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import Resource, split
from iamrange.clouds.aws.services.by_reference import ReferencePlanner, tags_of
from iamrange.clouds.aws.services.policy_texts import joined
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.clouds.aws import reference
    from iamrange.clouds.aws.context import Context

_GROUP = re.compile(r"[\w\-/.#]{1,512}\Z", re.ASCII)
_STREAM = re.compile(r"[^:*]{1,512}\Z")
_GROUPS = ("logGroupName", "logGroupIdentifier", "logGroupNames", "logGroupIdentifiers")
_DELIVERS = frozenset(
    ["CreateDelivery", "CreateExportTask", "PutDestination", "PutSubscriptionFilter"]
)
_BY_EITHER = frozenset({"FilterLogEvents", "GetLogEvents", "DescribeLogStreams"})


class LogsPlanner(ReferencePlanner):
    """What each operation of CloudWatch Logs needs."""

    asks_policies = True
    knows_keys = True

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        if request.operation in _DELIVERS:
            return Unmapped("the store would deliver without asking anybody", whole=True)
        plan = super().__call__(request, caller)
        if isinstance(plan, Unmapped):
            return plan
        return replace(plan, overrides=_plain(request), instead=_bad_policy(request))

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a group or stream with the group's tags, and the account's policies of logs."""
        parts = split(arn)
        if parts is None or not parts[3].startswith("log-group:"):
            return super().find(request, arn)
        _, region, account, rest = parts
        group = f"arn:aws:logs:{region}:{account}:log-group:{rest.split(':')[1]}"
        tags: dict[str, str] = {}
        for one in (group, f"{group}:*"):
            tags |= self._resources.resource_tags("logs", account, region, one) or {}
        policy = joined(self._resources.log_policies(account, region))
        return Resource(arn=arn, account=account, tags=tags, policy=policy)

    def context(self, request: AwsRequest, arn: str) -> Context:
        """Return the service's own condition keys."""
        del arn
        listed = request.parameters.get("logGeneratingResourceArns")
        return {"logs:LogGeneratingResourceArns": tuple(listed)} if listed else {}

    def more(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return the check of tagging a group that is made (API_CreateLogGroup)."""
        if request.operation != "CreateLogGroup" or not tags_of(request.parameters):
            return super().more(request, about, named)
        return [self.check(request, "logs:TagResource", named[0].removesuffix(":log-stream:"))]

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARNs of the groups or of the stream."""
        kinds = {use.kind for use in about.uses}
        if not kinds & {"log-group", "log-stream"}:
            return super().resources(request, about)
        if request.parameters.get("resourceArn"):
            return self._tagged(request, str(request.parameters["resourceArn"]), about)
        groups = _named(request.parameters)
        if len(groups) > 1 and request.operation in _BY_EITHER:
            return Unmapped("the group is named twice")
        if not groups:
            return Unmapped("which group it is about cannot be told", whole=True)
        streams = [str(request.parameters.get("logStreamName") or "")]
        if "log-stream" not in kinds or not _STREAM.match(streams[0]):
            if "log-stream" in kinds:
                return Unmapped("the stream is not named plainly")
            streams = [""]
        found = [_group(request, group) for group in groups]
        if None in found:
            return Unmapped("a group of another region, or not named plainly")
        return tuple(f"{arn}:log-stream:{stream}" for arn in found for stream in streams)

    def _tagged(
        self, request: AwsRequest, arn: str, about: reference.Action
    ) -> Sequence[str] | Unmapped:
        group = _group(request, arn) if ":log-group:" in arn else None
        return (group,) if group else super().resources(request, about)


def _named(parameters: Any) -> list[str]:  # noqa: ANN401  # a mapping
    names: list[str] = []
    for member in _GROUPS:
        value = parameters.get(member)
        names += value if isinstance(value, list) else [value] if value else []
    return [str(name) for name in names]


def _group(request: AwsRequest, named: str) -> str | None:
    """Return the ARN of a group, without what may stand after its name."""
    account, name = request.account, named
    parts = split(named)
    if parts is not None:
        service, region, account, rest = parts
        if (service, region) != ("logs", request.region) or not rest.startswith("log-group:"):
            return None
        name = rest.removeprefix("log-group:").removesuffix(":*")
    if not _GROUP.match(name):
        return None
    return f"arn:aws:logs:{request.region}:{account}:log-group:{name}"


def _plain(request: AwsRequest) -> dict[str, Any]:
    """Name groups plainly: the store takes the last part of an ARN for a name."""
    overrides: dict[str, Any] = {}
    for member in _GROUPS:
        value = request.parameters.get(member)
        listed = value if isinstance(value, list) else [value] if value else []
        names = [str(one).partition(":log-group:")[2].removesuffix(":*") or one for one in listed]
        if names != listed:
            overrides[member] = names if isinstance(value, list) else names[0]
    identifier = request.parameters.get("logGroupIdentifier")
    if identifier and request.operation in _BY_EITHER:
        # The store reads the name only.
        name = overrides.get("logGroupIdentifier", identifier)
        overrides |= {"logGroupName": name, "logGroupIdentifier": None}
    return overrides


def _bad_policy(request: AwsRequest) -> AwsError | None:
    document = request.parameters.get("policyDocument")
    if request.operation != "PutResourcePolicy" or not document:
        return None
    try:
        compiled(str(document), PolicyKind.RESOURCE, "log-policy")
    except MalformedPolicy as error:
        return AwsError(code="InvalidParameterException", message=str(error), status=400)
    return None
