"""A stolen access token, used by a process that does not hold its key."""

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
    """Show the token as if it were a bearer token."""
    url = foothold.knows["victim.service"] + oauth.RECORD
    return Loot((oauth.read_record_with(f"Bearer {foothold.oauth['access_token']}", url),))


SCENARIO = Scenario(
    claim="an access token is useless outside the process that it was issued to",
    blocked_by=(identity_controls.SENDER_CONSTRAINED,),
    foothold=Foothold(Part.DATA_ANALYST, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI03, fw.T1528, fw.T1550_001),
    lesson="A bearer token is money: whoever finds it spends it. A bound one is a cheque in "
    "somebody's name.",
)
