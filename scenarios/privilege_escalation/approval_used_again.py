"""An approval that has been used brings an old version back."""

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
    """Deploy once more what a human once agreed to: long since replaced, for good reasons."""
    token = oauth.taken_token(foothold)
    receipt = oauth.do(
        foothold.knows["services.production-deployment"],
        auth=token,
        body={"version": "2.4.0"},
        approval_id=foothold.oauth["used_approval_id"],
    )
    return Loot((receipt,))


SCENARIO = Scenario(
    claim="an approval is good once",
    blocked_by=(access_controls.APPROVAL_BOUND,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.APPROVED_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.PRODUCTION_DEPLOYMENT),
    knows=("services.production-deployment",),
    legitimate=service_workloads.DEPLOYS_WITH_APPROVALS,
    attack=attack,
    maps_to=(fw.ASI09, fw.ASI02, fw.T1548_005),
    lesson="Word for word the request that was agreed to can be an attack, if it comes twice.",
)
