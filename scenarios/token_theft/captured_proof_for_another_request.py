"""A captured proof of possession, put on a request that it was not made for."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
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
    """Move the proof to another address of the same service, so that it is not the same request."""
    taken = foothold.oauth
    return Loot(
        (
            oauth.read_record_with(
                f"DPoP {taken['access_token']}",
                foothold.knows["victim.service"] + oauth.SAME_RECORD,
                DPoP=taken["proof"],
            ),
        )
    )


SCENARIO = Scenario(
    claim="a proof of possession is good for the request that it was made for, and no other",
    blocked_by=(controls.INVARIANTS["identity.ties-proof-to-request"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.CAPTURED_REQUEST, taken_from="a proxy's log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1550_001),
    lesson="What a proof does not name it does not prove: method, address and token belong in it.",
)
