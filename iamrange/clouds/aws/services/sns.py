"""SNS topics in permissions; phone numbers and platform endpoints are not mapped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iamrange.clouds.aws.actions import exists
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import split, tag_map
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from iamrange.clouds.aws.resources import Resources

_LISTS = frozenset({"ListTopics", "ListSubscriptions"})
_SUBSCRIPTIONS = frozenset(
    {"Unsubscribe", "GetSubscriptionAttributes", "SetSubscriptionAttributes"}
)
_SILENT = frozenset({"email", "email-json", "sms"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}(?:\.fifo)?\Z")


class SnsPlanner:
    """What each operation of SNS needs."""

    def __init__(self, resources: Resources) -> None:
        """Take where topics are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation, parameters = request.operation, request.parameters
        action = "sns:Publish" if operation == "PublishBatch" else f"sns:{operation}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        if operation in _LISTS and request.account:
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        if operation == "CreateTopic" and request.account:
            return self._create(request)
        if operation == "Subscribe" and parameters.get("Protocol") not in _SILENT:
            # The emulator would deliver by itself: into queues whose policies nobody asked, and
            # over the network.
            return Unmapped("only subscriptions by e-mail or message are kept")
        named = parameters.get("TopicArn") or parameters.get("TargetArn")
        named = named or parameters.get("ResourceArn")
        if operation in _SUBSCRIPTIONS:
            named = str(parameters.get("SubscriptionArn")).rpartition(":")[0]
        found = split(str(named))
        if found is None or found[0] != "sns" or found[1] != request.region:
            return Unmapped("no topic of this region is named")
        arn, account = str(named), found[2]
        topic = self._resources.topic(arn)
        context: Context = request_tags(tag_map(parameters.get("Tags")))
        context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
        for member in ("Protocol", "Endpoint"):
            if parameters.get(member):
                context[f"sns:{member}"] = str(parameters[member])
        check = Check(
            action=action,
            resource=arn,
            resource_account=account,
            context=context,
            resource_policy=(
                compiled(topic.policy, PolicyKind.RESOURCE, arn) if topic and topic.policy else None
            ),
            resource_tags=topic.tags if topic else None,
        )
        missing = AwsError(code="NotFound", message="Topic does not exist", status=404)
        return Plan(
            checks=(check,),
            account=account,
            instead=missing if topic is None else _bad_policy(request),
        )

    def _create(self, request: AwsRequest) -> Plan | Unmapped:
        name = str(request.parameters.get("Name"))
        if not _NAME.match(name):
            return Unmapped("the topic's name is not one")
        tags = tag_map(request.parameters.get("Tags"))
        actions = ["sns:CreateTopic", *(["sns:TagResource"] if tags else [])]
        checks = tuple(
            Check(
                action=action,
                resource=f"arn:aws:sns:{request.region}:{request.account}:{name}",
                resource_account=request.account,
                context=request_tags(tags),
            )
            for action in actions
        )
        return Plan(checks=checks, account=request.account, instead=_bad_policy(request))


def _bad_policy(request: AwsRequest) -> AwsError | None:
    parameters = request.parameters
    document = (parameters.get("Attributes") or {}).get("Policy")
    if parameters.get("AttributeName") == "Policy":
        document = parameters.get("AttributeValue")
    if not document:
        return None
    try:
        compiled(str(document), PolicyKind.RESOURCE, "topic-policy")
    except MalformedPolicy as error:
        message = f"Invalid parameter: Policy Error: {error}"
        return AwsError(code="InvalidParameter", message=message, status=400)
    return None
