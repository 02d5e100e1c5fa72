"""The services that this cloud decides, each with its planner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.reference import SERVICES
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.cloudtrail import CloudTrailPlanner
from iamrange.clouds.aws.services.dynamodb import DynamoDbPlanner
from iamrange.clouds.aws.services.ec2 import Ec2Planner
from iamrange.clouds.aws.services.ecr import EcrPlanner
from iamrange.clouds.aws.services.ecs import EcsPlanner
from iamrange.clouds.aws.services.events import EventsPlanner
from iamrange.clouds.aws.services.iam import IamPlanner
from iamrange.clouds.aws.services.kms import KmsPlanner
from iamrange.clouds.aws.services.lambda_functions import LambdaPlanner
from iamrange.clouds.aws.services.logs import LogsPlanner
from iamrange.clouds.aws.services.organizations import OrganizationsPlanner
from iamrange.clouds.aws.services.s3 import S3Planner
from iamrange.clouds.aws.services.scheduler import SchedulerPlanner
from iamrange.clouds.aws.services.secretsmanager import SecretsManagerPlanner
from iamrange.clouds.aws.services.sns import SnsPlanner
from iamrange.clouds.aws.services.sqs import SqsPlanner
from iamrange.clouds.aws.services.ssm import SsmPlanner
from iamrange.clouds.aws.services.stepfunctions import StepFunctionsPlanner

if TYPE_CHECKING:
    from iamrange.clouds.aws.issuer_keys import IssuerKeys
    from iamrange.clouds.aws.organization_tree import OrganizationRegistry
    from iamrange.clouds.aws.plan import Planner
    from iamrange.clouds.aws.resources import Resources
    from iamrange.clouds.aws.store import MotoIamStore
    from iamrange.clouds.aws.write_guard import WriteGuard


def planners(
    store: MotoIamStore,
    resources: Resources,
    organizations: OrganizationRegistry,
    guard: WriteGuard,
    issuers: IssuerKeys,
) -> dict[str, Planner]:
    """Return the planners by botocore's service name. `sts` authorises its own calls."""
    by_reference: dict[str, Planner] = {
        name: ReferencePlanner(name, store, resources) for name in SERVICES
    }
    return by_reference | {
        "cloudtrail": CloudTrailPlanner("cloudtrail", store, resources),
        "ecr": EcrPlanner("ecr", store, resources),
        "ecs": EcsPlanner("ecs", store, resources),
        "events": EventsPlanner("events", store, resources),
        "logs": LogsPlanner("logs", store, resources),
        "stepfunctions": StepFunctionsPlanner("stepfunctions", store, resources),
        "dynamodb": DynamoDbPlanner(resources),
        "ec2": Ec2Planner("ec2", store, resources),
        "iam": IamPlanner(store, guard, issuers, organizations),
        "kms": KmsPlanner(resources),
        "lambda": LambdaPlanner("lambda", store, resources),
        "organizations": OrganizationsPlanner(organizations),
        "s3": S3Planner(resources),
        "scheduler": SchedulerPlanner("scheduler", store, resources),
        "secretsmanager": SecretsManagerPlanner(resources),
        "sns": SnsPlanner(resources),
        "sqs": SqsPlanner(resources),
        "ssm": SsmPlanner("ssm", store, resources),
    }
