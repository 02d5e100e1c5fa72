"""A token that was made for Google Cloud, shown to AWS."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Assume the victim's AWS role with the token that the victim showed to Google."""
    session = workloads.assume_with_token(
        foothold.token, foothold.knows["victim.aws_role_arn"], name="wrong-cloud"
    )
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), foothold.knows["victim.aws_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="a token made for Google Cloud buys nothing at AWS",
    blocked_by=(aws_controls.TRUST_PINS_AUDIENCE, aws_controls.PROVIDER_CLIENT_IDS),
    foothold=Foothold(Part.DATA_ANALYST, Material.GCP_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.AWS_SECRET, Part.DATA_ANALYST),
    knows=("victim.aws_role_arn", "victim.aws_secret_arn"),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.NHI9, fw.T1550_001),
    lesson="Two parties that accept one audience can replay each other's tokens.",
)
