"""An administrator's session stops the account's audit trail."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Have nothing more written down. There is nothing to bring home but that."""
    session = workloads.aws_session(foothold.aws_session)
    session.client("cloudtrail").stop_logging(Name=foothold.knows["aws.trail_arn"])
    return Loot(())


SCENARIO = Scenario(
    claim="nobody in the organisation can have their account's audit trail fall silent",
    blocked_by=(aws_controls.ORG_KEEP_LOGGING,),
    foothold=Foothold(Part.PLATFORM_ADMIN, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SILENCE),
    knows=("aws.trail_arn",),
    legitimate=workloads.LOOKS_AFTER_THE_ACCOUNT,
    attack=attack,
    maps_to=(fw.ASI10, fw.T1685_002),
    lesson="An audit trail that its subject can stop is evidence of the well-behaved alone.",
)
