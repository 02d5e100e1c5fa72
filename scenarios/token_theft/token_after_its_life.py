"""An access token stolen together with its key, used after its 300 seconds."""

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
    """Read with token and key as the victim did."""
    token = oauth.taken_token(foothold)
    return Loot((oauth.read_record(foothold.knows["victim.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="whoever steals a token with its key has five minutes",
    blocked_by=(identity_controls.SHORT_TOKENS,),
    foothold=Foothold(Part.DATA_ANALYST, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI7, fw.ASI03, fw.T1528),
    lesson="When key and token go together, time is the only thing that still ends the theft.",
    ages=600.0,
)
