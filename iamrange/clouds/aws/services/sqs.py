"""SQS in permissions: a queue's URL says whose it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from iamrange.clouds.aws.actions import exists
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import Resource, tag_map
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from iamrange.clouds.aws.resources import Resources

_BATCHES = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(?:\.fifo)?\Z")


class SqsPlanner:
    """What each operation of SQS needs."""

    def __init__(self, resources: Resources) -> None:
        """Take where queues are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        action = f"sqs:{_BATCHES.get(request.operation, request.operation)}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        parameters = request.parameters
        if request.operation == "ListQueues":
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        account, name = request.account, parameters.get("QueueName")
        if parameters.get("QueueUrl"):
            parts = urlsplit(str(parameters["QueueUrl"])).path.strip("/").split("/")
            if len(parts) != 2:  # noqa: PLR2004 - account and name
                return Unmapped("the queue URL is not .../ACCOUNT/NAME")
            account, name = parts
        elif parameters.get("QueueOwnerAWSAccountId"):
            account = str(parameters["QueueOwnerAWSAccountId"])
        if not isinstance(name, str) or not _NAME.match(name):
            return Unmapped("no queue is named")
        queue = self._resources.queue(account, request.region, name)
        if queue is None and request.operation != "CreateQueue":
            return self._absent(request, action, account, name)
        arn = f"arn:aws:sqs:{request.region}:{account}:{name}"
        tags = tag_map(parameters.get("tags") or parameters.get("Tags"))
        actions = [action]
        if request.operation == "CreateQueue" and tags:
            actions.append("sqs:TagQueue")
        checks = tuple(_check(request, needed, arn, account, queue) for needed in actions)
        return Plan(checks=checks, account=account, instead=_bad_policy(request))

    def _absent(self, request: AwsRequest, action: str, account: str, name: str) -> Plan:
        arn = f"arn:aws:sqs:{request.region}:{account}:{name}"
        error = AwsError(
            code="QueueDoesNotExist"
            if request.protocol == "json"
            else "AWS.SimpleQueueService.NonExistentQueue",
            message="The specified queue does not exist.",
            status=400,
        )
        check = _check(request, action, arn, account, None)
        return Plan(checks=(check,), account=request.account, instead=error)


def _check(
    request: AwsRequest, action: str, arn: str, account: str, queue: Resource | None
) -> Check:
    parameters = request.parameters
    context: Context = request_tags(tag_map(parameters.get("tags") or parameters.get("Tags")))
    context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    policy = None
    if queue is not None and queue.policy:
        policy = compiled(queue.policy, PolicyKind.RESOURCE, arn)
    return Check(
        action=action,
        resource=arn,
        resource_account=account,
        context=context,
        resource_policy=policy,
        resource_tags=queue.tags if queue else None,
    )


def _bad_policy(request: AwsRequest) -> AwsError | None:
    document = (request.parameters.get("Attributes") or {}).get("Policy")
    if not document:
        return None
    try:
        compiled(str(document), PolicyKind.RESOURCE, "queue-policy")
    except MalformedPolicy as error:
        return AwsError(code="InvalidAttributeValue", message=str(error), status=400)
    return None
