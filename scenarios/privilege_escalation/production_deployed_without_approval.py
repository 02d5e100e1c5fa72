"""A hijacked pipeline deploys to production, and nobody is asked."""

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
    """Deploy with the pipeline's own token and key."""
    token = oauth.taken_token(foothold)
    return Loot((oauth.do(foothold.knows["services.production-deployment"], auth=token),))


SCENARIO = Scenario(
    claim="production changes only when a human has agreed to this very change",
    blocked_by=(access_controls.APPROVAL,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.PRODUCTION_DEPLOYMENT),
    knows=("services.production-deployment",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI09, fw.ASI02, fw.T1548_005),
    lesson="A pipeline is built to change production. The one thing it lacks is judgement.",
)
