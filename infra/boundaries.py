"""What caps that which agents can be granted, by whomever: permissions boundaries.

Administrators have one of their own, so that no other agent's reaches as far.
"""

from __future__ import annotations

from infra import documents, names


def agent_boundary(place: documents.Place) -> documents.Document:
    """Cap what any agent can ever be granted: nothing below `platform/`, for one."""
    return documents.Document(
        (
            documents.Statement(
                sid="AgentSecretsOnly",
                actions=documents.SECRET_READ,
                resources=(documents.every_agent_secret(place),),
            ),
            documents.Statement(
                sid="SecretNames", actions=("secretsmanager:ListSecrets",), resources=("*",)
            ),
            documents.Statement(
                sid="ProjectRecords",
                actions=documents.RECORDS_READ,
                resources=(documents.tables(place),),
            ),
            documents.Statement(
                sid="AgentRolePolicies",
                actions=documents.ROLE_POLICY_WRITE,
                resources=(f"arn:aws:iam::{place.account}:role{names.AGENT_PATH}*",),
            ),
            documents.Statement(
                sid="Functions",
                actions=documents.FUNCTION_DEPLOY,
                resources=(f"arn:aws:lambda:{place.region}:{place.account}:function:*",),
            ),
            documents.pass_role(f"arn:aws:iam::{place.account}:role{names.FUNCTION_PATH}*"),
            *documents.wrapped_data_keys(place),
            documents.work_for_project(place),
            documents.Statement(sid="WhoAmI", actions=("sts:GetCallerIdentity",), resources=("*",)),
        )
    )


def administrator_boundary(place: documents.Place) -> documents.Document:
    """Cap what an agent that administers the account can be granted."""
    return documents.Document(
        (
            *agent_boundary(place).statements,
            documents.manage_service_keys(place),
            documents.administer_account(),
        )
    )
