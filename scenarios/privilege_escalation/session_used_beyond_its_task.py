"""A session that was made for one task, used for another that the role serves too."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Read the project's records with a device's session for fetching its own credentials."""
    session = workloads.aws_session(foothold.aws_session)
    record = workloads.read_aws_record(session, foothold.knows["victim.aws_table"], "latest")
    return Loot((record,))


SCENARIO = Scenario(
    claim="a session made for one task is no good for the others that its role serves",
    blocked_by=(aws_controls.SESSION_POLICY,),
    foothold=Foothold(Part.FLEET_SENSOR, Material.AWS_SESSION, taken_from="the device's memory"),
    asset=Asset(AssetKind.AWS_RECORDS, Part.FLEET_SENSOR),
    knows=("victim.aws_table",),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI02, fw.T1530),
    lesson="A role is for all that a device may ever do; a session is for what it does now.",
)
