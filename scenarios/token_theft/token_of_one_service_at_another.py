"""A token for one service, shown to another."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import identity_controls
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Use token and key, taken from work with the logs, at the customers' service."""
    token = oauth.taken_token(foothold)
    return Loot((oauth.read_record(foothold.knows["target.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a token for one service opens no other",
    blocked_by=(identity_controls.AUDIENCE_RESTRICTED,),
    foothold=Foothold(Part.CREDENTIAL_BROKER, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.FLEET_SENSOR),
    knows=("target.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI9, fw.ASI03, fw.T1550_001),
    lesson="A token that everything takes is worth everything to whoever gets it from anything.",
)
