"""Stolen STS credentials, used from a network that is not ours."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    Loot,
    Material,
    Network,
    Part,
    Scenario,
    Taken,
)
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Use the live session as it is, from elsewhere."""
    session = workloads.aws_session(foothold.aws_session)
    return Loot((workloads.read_aws_secret(session, foothold.knows["victim.aws_secret_arn"]),))


SCENARIO = Scenario(
    claim="a stolen AWS session is useless outside our networks",
    blocked_by=(aws_controls.NETWORK_PERIMETER,),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.DATA_ANALYST),
    knows=("victim.aws_secret_arn",),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI8, fw.ASI03, fw.T1078_004),
    lesson="A session is a bearer credential: where it is used is the only thing left to check.",
    network=Network.OUTSIDE,
)
