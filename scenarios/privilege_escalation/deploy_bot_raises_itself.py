"""The pipeline's identity writes itself a policy that allows everything."""

from __future__ import annotations

import json

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads

ALLOW_ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)


def attack(foothold: Taken) -> Loot:
    """Grant oneself everything with a power that one holds for good reason, and use it."""
    session = workloads.aws_session(foothold.aws_session)
    session.client("iam").put_role_policy(
        RoleName=foothold.knows["victim.aws_role_arn"].rsplit("/", 1)[1],
        PolicyName="raised",
        PolicyDocument=ALLOW_ALL,
    )
    secret = workloads.read_aws_secret(session, foothold.knows["aws.platform_secret_arn"])
    return Loot((secret,))


SCENARIO = Scenario(
    claim="an identity that may write policies cannot write itself beyond its boundary",
    blocked_by=(aws_controls.PERMISSIONS_BOUNDARY,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_PLATFORM_SECRET),
    knows=("victim.aws_role_arn", "aws.platform_secret_arn"),
    legitimate=workloads.DEPLOYS_WITHIN_THE_BOUNDARY,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1098_003),
    lesson="Who may write policies holds every permission that no boundary withholds.",
)
