"""How the program acts in a member account of the organisation."""

from __future__ import annotations

import pulumi_aws as aws

from infra import names


def member_provider(name: str, *, account: str, region: str) -> aws.Provider:
    """Return a provider that acts in a member account through the role that Organizations makes.

    `allowed_account_ids` is a second look: credentials that lead elsewhere change nothing there.
    """
    return aws.Provider(
        name,
        region=region,
        allowed_account_ids=[account],
        assume_roles=[
            aws.ProviderAssumeRoleArgs(
                role_arn=f"arn:aws:iam::{account}:role/{names.ACCESS_ROLE}", session_name="iamrange"
            )
        ],
    )
