"""A token that may read, used to deploy."""

from __future__ import annotations

from iamrange.core import access_controls
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
    """Deploy to staging with a token that was asked for to read."""
    token = oauth.taken_token(foothold)
    return Loot((oauth.do(foothold.knows["services.staging-deployment"], auth=token),))


SCENARIO = Scenario(
    claim="a token opens the routes of its scopes and no others, whatever its agent may do",
    blocked_by=(access_controls.SCOPE_ENFORCED,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.STAGING_DEPLOYMENT),
    knows=("services.staging-deployment",),
    legitimate=service_workloads.READS_WITH_A_NARROW_TOKEN,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1550_001),
    lesson="An agent that asks for less than it may have leaves less behind for a thief.",
)
