"""The AWS package: its types, functions and configuration."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types import (
    cloudtrail,
    dynamodb,
    iam_inline,
    iam_policy,
    iam_role,
    iam_user,
    kms,
    organization_accounts,
    organization_policies,
    organizations,
    s3,
    s3_object,
    secretsmanager,
)
from iamrange.engine.aws_types.functions import FUNCTIONS
from iamrange.engine.aws_types.session import AwsSession, describe
from iamrange.engine.package import ConfigurationError, Package

if TYPE_CHECKING:
    from iamrange.engine.endpoints import AwsEndpoint
    from iamrange.engine.resource import Properties, ResourceType

TYPES: Final[tuple[ResourceType[AwsSession], ...]] = (
    iam_role.ROLE,
    *iam_inline.TYPES,
    *iam_policy.TYPES,
    *iam_user.TYPES,
    *secretsmanager.TYPES,
    *s3.TYPES,
    *s3_object.TYPES,
    *kms.TYPES,
    *dynamodb.TYPES,
    *cloudtrail.TYPES,
    *organizations.TYPES,
    *organization_accounts.TYPES,
    *organization_policies.TYPES,
)

_OWN = "the embedded provider takes {} from its own process; leave it out of this stack"


def aws_package(endpoint: AwsEndpoint | None) -> Package:
    """Return the AWS package on an endpoint; without one every configuration is refused."""

    def open_session(config: Properties) -> Any:  # noqa: ANN401 - the protocol's implementation
        if endpoint is None:
            raise ConfigurationError("this range has no AWS")
        return AwsSession(endpoint, config)

    return Package(
        name="aws",
        version=version("pulumi-aws"),
        types={kind.token: kind for kind in TYPES},
        functions={function.token: function for function in FUNCTIONS},
        open_session=open_session,
        settings=frozenset(
            {
                "region",
                "allowedAccountIds",
                "forbiddenAccountIds",
                "assumeRoles",
                "defaultTags",
            }
        ),
        # they tell the official plugin what not to ask of an emulator, or how to reach it
        ignored=frozenset(
            {
                "skipCredentialsValidation",
                "skipMetadataApiCheck",
                "skipRegionValidation",
                "skipRequestingAccountId",
                "s3UsePathStyle",
                "s3UsEast1RegionalEndpoint",
                "maxRetries",
                "retryMode",
                "userAgents",
            }
        ),
        refused={
            "endpoints": _OWN.format("its endpoint"),
            "accessKey": _OWN.format("its credentials"),
            "secretKey": _OWN.format("its credentials"),
            "token": _OWN.format("its credentials"),
            "profile": _OWN.format("its credentials"),
            "sharedConfigFiles": _OWN.format("its credentials"),
            "sharedCredentialsFiles": _OWN.format("its credentials"),
        },
        describe=describe,
    )
