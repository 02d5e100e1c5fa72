"""The services that this cloud decides, each with its planner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.services.iam import IamPlanner
from iamrange.clouds.aws.services.organizations import OrganizationsPlanner
from iamrange.clouds.aws.services.s3 import S3Planner
from iamrange.clouds.aws.services.secretsmanager import SecretsManagerPlanner

if TYPE_CHECKING:
    from iamrange.clouds.aws.organization_tree import OrganizationRegistry
    from iamrange.clouds.aws.plan import Planner
    from iamrange.clouds.aws.resources import MotoResources
    from iamrange.clouds.aws.store import MotoIamStore


def planners(
    store: MotoIamStore, resources: MotoResources, organizations: OrganizationRegistry
) -> dict[str, Planner]:
    """Return the planners by botocore's service name. `sts` authorises its own calls."""
    return {
        "iam": IamPlanner(store),
        "organizations": OrganizationsPlanner(organizations),
        "s3": S3Planner(resources),
        "secretsmanager": SecretsManagerPlanner(resources),
    }
