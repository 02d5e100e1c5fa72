"""A manager is asked and asked, until one request goes through for the sake of peace."""

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

REQUESTS = 12


def attack(foothold: Taken) -> Loot:
    """Ask for ever new things, wait for the last, and do it."""
    knows = foothold.knows
    client = oauth.victims_client(foothold)
    service, url = knows["services.approvals"], knows["services.production-deployment"]
    asking = client.client_credentials(resource=service)
    for number in range(1, REQUESTS):
        oauth.ask_approval(service, asking, url, {"version": f"hotfix {number}"})
    body = {"version": f"hotfix {REQUESTS}"}
    told = oauth.ask_approval(service, asking, url, body)
    approval_id = oauth.approved(service, asking, told)
    token = oauth.taken_token(foothold)
    return Loot((oauth.do(url, auth=token, body=body, approval_id=approval_id),))


SCENARIO = Scenario(
    claim="people are not asked so often that they stop reading",
    blocked_by=(access_controls.PROMPTS_LIMITED,),
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
    maps_to=(fw.ASI09, fw.ASI10, fw.T1621),
    lesson="Human oversight has a capacity, and attackers use it up. What comes after is approved.",
    wearies_after=10,
)
