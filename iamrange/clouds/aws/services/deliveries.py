"""What a service will do by itself for a caller: deliver to a target, now or later.

- The emulators deliver without asking anybody. So the permission of whoever delivers - the role
  that was handed over, or the service itself by the target's own policy - is asked when the
  delivery is arranged, and the arrangement is refused when it would be refused at delivery.
- A target of any other kind is unmapped: nobody could say what would be done.
- https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.clouds.aws.model import AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Unmapped
from iamrange.clouds.aws.policy import PolicyKind
from iamrange.clouds.aws.request import Principal
from iamrange.clouds.aws.resources import split
from iamrange.clouds.aws.services.policy_texts import joined
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from iamrange.clouds.aws.resources import Resources
    from iamrange.clouds.aws.store import MotoIamStore

_BY_ROLE = {
    "states": "states:StartExecution",
    "ecs": "ecs:RunTask",
    "kinesis": "kinesis:PutRecord",
    "firehose": "firehose:PutRecord",
    "events": "events:PutEvents",
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "lambda": "lambda:InvokeFunction",
    "logs": "logs:PutLogEvents",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something that a service will do at a target.

    `service` is the principal that does it (`events.amazonaws.com`) for `source`, an ARN; with a
    role, in that role.
    """

    service: str
    source: str
    target: str
    role: str | None


def delivery_check(
    request: AwsRequest, store: MotoIamStore, resources: Resources, arranged: Delivery
) -> Check | Unmapped:
    """Return the check that whoever delivers to a target may do so."""
    target, role = arranged.target, arranged.role
    parts = split(target)
    if parts is None or parts[0] not in _BY_ROLE or not parts[2]:
        return Unmapped("a target of a kind that nobody would ask")
    action, policy = _BY_ROLE[parts[0]], _policy(resources, target, parts)
    deliverer = _role(store, role) if role else _service(arranged.service)
    if deliverer is None:
        return Unmapped("the role that would deliver is not there")
    return Check(
        action=action,
        resource=target,
        resource_account=parts[2],
        context={
            "aws:SourceArn": arranged.source,
            "aws:SourceAccount": request.account,
            "aws:PrincipalIsAWSService": "false" if role else "true",
        },
        resource_policy=compiled(policy, PolicyKind.RESOURCE, target) if policy else None,
        caller=deliverer,
    )


def _service(name: str) -> Caller:
    principal = Principal(kind="service", arn=name)
    return Caller(principal=principal, access_key_id=None, account=None)


def _role(store: MotoIamStore, arn: str) -> Caller | None:
    role = store.role_by_arn(arn)
    if role is None:
        return None
    principal = Principal(
        kind="assumed-role",
        arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/delivery",
        role_arn=arn,
        account=role.account,
    )
    return Caller(principal=principal, access_key_id=None, account=role.account, tags=role.tags)


def _policy(resources: Resources, arn: str, parts: tuple[str, str, str, str]) -> str | None:
    service, region, account, rest = parts
    match service:
        case "sqs":
            queue = resources.queue(account, region, rest)
            return queue.policy if queue else None
        case "sns":
            topic = resources.topic(arn)
            return topic.policy if topic else None
        case "lambda":
            return resources.function_policy(account, region, rest.split(":")[1])
        case "events":
            return resources.bus_policy(account, region, rest.rpartition("/")[2])
        case "logs":
            return joined(resources.log_policies(account, region))
    return None
