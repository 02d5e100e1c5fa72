"""An agent that was retired, with tokens that are still alive."""

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
    Response,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Go on with token and key as if nothing had happened."""
    token = oauth.taken_token(foothold)
    return Loot((oauth.read_record(foothold.knows["victim.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a retired agent's live tokens are dead at once",
    blocked_by=(identity_controls.REVOCATION,),
    foothold=Foothold(Part.DATA_ANALYST, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI1, fw.ASI10, fw.T1528),
    lesson="Offboarding that waits for expiry gives whoever left as long as a token lives.",
    response=Response.OFFBOARDING,
)
