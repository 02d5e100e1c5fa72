"""The roles that a call hands to a service: each is a permission of its own, iam:PassRole.

- https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
- To which service a role goes is known for some parameters; for others the key is unknown, so that
  a condition on `iam:PassedToService` refuses.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.services.iam import pass_role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.clouds.aws.model import AwsRequest, Check
    from iamrange.clouds.aws.store import MotoIamStore

_ROLE_ARN = re.compile(r"arn:aws:iam::\d{12}:role/\S+\Z", re.ASCII)
_ROLE_NAME = re.compile(r"[\w+=,.@/-]{1,512}\Z", re.ASCII)
_READS = ("List", "Describe", "Get", "BatchGet", "Search", "Delete", "Stop", "Untag", "Tag")
# Services all of whose roles are assumed by one and the same principal.
_PRINCIPALS = {
    "appconfig": "appconfig",
    "cloudformation": "cloudformation",
    "cloudtrail": "cloudtrail",
    "codebuild": "codebuild",
    "codedeploy": "codedeploy",
    "codepipeline": "codepipeline",
    "config": "config",
    "databrew": "databrew",
    "ecs": "ecs-tasks",
    "ec2": "ec2",
    "eks": "eks",
    "events": "events",
    "firehose": "firehose",
    "glue": "glue",
    "kinesisanalytics": "kinesisanalytics",
    "lakeformation": "lakeformation",
    "lambda": "lambda",
    "logs": "logs",
    "sagemaker": "sagemaker",
    "scheduler": "scheduler",
    "states": "states",
    "transfer": "transfer",
}


def passed_roles(
    request: AwsRequest, store: MotoIamStore, prefix: str, named: Sequence[str], *, passes: bool
) -> list[Check]:
    """Return a check for each role in the parameters, wherever it stands.

    `passes`: the action is known to hand over a role, so that any role's ARN counts; otherwise only
    those in a member that is called a role.
    """
    if request.operation.startswith(_READS):
        return []
    found = _roles(request, store, request.parameters, "role" if passes else "")
    resource = named[0] if named else "*"
    return [passed(request, store, arn, prefix, resource) for arn in dict.fromkeys(found)]


def passed(
    request: AwsRequest, store: MotoIamStore, role_arn: str, prefix: str, resource: str
) -> Check:
    """Return the check for handing one role to a service, for a resource of it."""
    principal = _PRINCIPALS.get(prefix)
    check = pass_role(request, store, role_arn, f"{principal}.amazonaws.com")
    context = {k: v for k, v in check.context.items() if principal or k != "iam:PassedToService"}
    unknown = () if principal else ("iam:passedtoservice",)
    if resource != "*":
        context["iam:AssociatedResourceArn"] = resource
    return replace(check, context=context, unknown=unknown)


def _roles(request: AwsRequest, store: MotoIamStore, value: Any, path: str) -> Iterator[str]:  # noqa: ANN401  # any parameter
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _roles(request, store, item, f"{path}.{key}".lower())
    elif isinstance(value, list):
        for item in value:
            yield from _roles(request, store, item, path)
    elif isinstance(value, str) and "instanceprofile" in path:
        role = store.profile_role(request.account, value.rpartition("/")[2])
        # A profile that is not there, or holds no role, is asked for as a role of its name.
        yield role or f"arn:aws:iam::{request.account}:role/{value.rpartition('/')[2]}"
    elif isinstance(value, str) and "role" in path:
        if _ROLE_ARN.match(value):
            yield value
        elif path.endswith(("role", "rolename")) and _ROLE_NAME.match(value):
            known = store.entity(request.account, "role", value.rpartition("/")[2])
            yield known.arn if known else f"arn:aws:iam::{request.account}:role/{value}"
