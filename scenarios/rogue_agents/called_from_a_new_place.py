"""What was stolen from an agent is used from another network than ever before."""

from __future__ import annotations

from iamrange.core import detect_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    History,
    Loot,
    Material,
    Network,
    Part,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Read what the agent reads every day, from elsewhere."""
    token = oauth.dpop_token(foothold.oauth["access_token"], foothold.oauth["dpop_key"])
    return Loot((oauth.read_record(foothold.knows["victim.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="an agent that calls from a place where it never was is found out",
    blocked_by=(detect_controls.BEHAVIOUR_BASELINE,),
    foothold=Foothold(Part.DATA_ANALYST, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI10, fw.NHI9, fw.T1550_001),
    lesson="Token and key were stolen together, so all proofs hold. The address is what is wrong.",
    network=Network.OUTSIDE,
    history=History(days=14),
)
