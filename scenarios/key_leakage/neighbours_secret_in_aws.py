"""A neighbour's secret in AWS Secrets Manager."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Ask for the neighbour's secret with the victim's session."""
    session = workloads.aws_session(foothold.aws_session)
    return Loot((workloads.read_aws_secret(session, foothold.knows["target.aws_secret_arn"]),))


SCENARIO = Scenario(
    claim="an agent reads its own secret in AWS and no neighbour's",
    blocked_by=(aws_controls.LEAST_PRIVILEGE,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.HR_ASSISTANT),
    knows=("target.aws_secret_arn",),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI02, fw.T1555_006),
    lesson="An agent that obeys what it reads will ask for anything; its policy is what answers.",
)
