"""An agent approves its own deployment to production."""

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
    """Ask, sign for it with the key that there is, and go on as if a human had agreed."""
    knows = foothold.knows
    key = oauth.victims_key(foothold)
    client = oauth.victims_client(foothold)
    service, url = knows["services.approvals"], knows["services.production-deployment"]
    body = {"version": "the attacker's"}
    told = oauth.ask_approval(service, client.client_credentials(resource=service), url, body)
    oauth.approve_oneself(service, told["approval_id"], signer=knows["victim.spiffe_id"], key=key)
    token = oauth.taken_token(foothold)
    return Loot((oauth.do(url, auth=token, body=body, approval_id=told["approval_id"]),))


SCENARIO = Scenario(
    claim="who asks for an approval does not give it",
    blocked_by=(access_controls.APPROVED_BY_OTHERS,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.CLIENT_SESSION, taken_from="its process and home"),
    asset=Asset(AssetKind.PRODUCTION_DEPLOYMENT),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "services.approvals",
        "services.production-deployment",
    ),
    legitimate=service_workloads.DEPLOYS_WITH_APPROVALS,
    attack=attack,
    maps_to=(fw.ASI09, fw.ASI03, fw.T1548_005),
    lesson="A signature that verifies says who signed. Whether that one may is another question.",
)
