"""Stolen STS credentials, kept for later in the same hour."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads

TWENTY_MINUTES = 1200.0


def attack(foothold: Taken) -> Loot:
    """Use the session that was stolen twenty minutes ago."""
    session = workloads.aws_session(foothold.aws_session)
    return Loot((workloads.read_aws_secret(session, foothold.knows["victim.aws_secret_arn"]),))


SCENARIO = Scenario(
    claim="a stolen AWS session is dead after fifteen minutes",
    blocked_by=(aws_controls.BROKER_SESSIONS,),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.DATA_ANALYST),
    knows=("victim.aws_secret_arn",),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI7, fw.ASI03, fw.T1078_004),
    lesson="How long a session lasts is the caller's choice on AWS: let the caller be the broker.",
    ages=TWENTY_MINUTES,
)
