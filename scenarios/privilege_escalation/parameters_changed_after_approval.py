"""An approval for one deployment, used for another."""

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
    """Deploy something else with the approval that waits for its deployment."""
    token = oauth.taken_token(foothold)
    receipt = oauth.do(
        foothold.knows["services.production-deployment"],
        auth=token,
        body={"version": "the attacker's"},
        approval_id=foothold.oauth["approval_id"],
    )
    return Loot((receipt,))


SCENARIO = Scenario(
    claim="an approval is for the request that was read by the human who signed it",
    blocked_by=(access_controls.APPROVAL_BOUND,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.APPROVED_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.PRODUCTION_DEPLOYMENT),
    knows=("services.production-deployment",),
    legitimate=service_workloads.DEPLOYS_WITH_APPROVALS,
    attack=attack,
    maps_to=(fw.ASI09, fw.ASI02, fw.T1548_005),
    lesson="What a human agrees to is what was on the screen. All that is sent must be in what is "
    "signed.",
)
