"""A pull request from a fork, whose pipeline has the deploying agent's name."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Assume the deploying agent's role with the fork's own token, genuine in every part."""
    session = workloads.assume_with_token(
        foothold.token, foothold.knows["victim.aws_role_arn"], name="pull-request"
    )
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), foothold.knows["victim.aws_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="a pull request from a fork gets no role of the repository that it was forked from",
    blocked_by=(aws_controls.TRUST_PINS_SUBJECT, aws_controls.ISSUER_TENANT),
    foothold=Foothold(
        Part.DEPLOY_BOT,
        Material.AWS_TOKEN,
        taken_from="the fork's own pipeline, named like the victim",
        tenant="iamrange-fork",
    ),
    asset=Asset(AssetKind.AWS_SECRET, Part.DEPLOY_BOT),
    knows=("victim.aws_role_arn", "victim.aws_secret_arn"),
    legitimate=workloads.DEPLOYS_WITHIN_THE_BOUNDARY,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI03, fw.T1199),
    lesson="An issuer that everybody builds on signs for everybody: the subject says for whom.",
)
