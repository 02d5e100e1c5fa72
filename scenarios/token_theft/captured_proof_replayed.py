"""A captured request, token and proof, sent once more."""

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
    """Send the request again as it was."""
    taken = foothold.oauth
    return Loot(
        (
            oauth.read_record_with(
                f"DPoP {taken['access_token']}", taken["url"], DPoP=taken["proof"]
            ),
        )
    )


SCENARIO = Scenario(
    claim="a captured request is worth nothing the second time",
    blocked_by=(controls.INVARIANTS["identity.spends-proofs"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.CAPTURED_REQUEST, taken_from="a proxy's log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1550_001),
    lesson="Proof of possession holds only if each proof is taken once: somebody has to remember.",
)
