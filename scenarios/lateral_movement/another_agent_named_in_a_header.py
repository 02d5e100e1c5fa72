"""An agent says in a header that it is another one."""

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
    """Call with an own token, and name the administrators' agent in the services' header."""
    token = oauth.taken_token(foothold)
    headers = {"X-Agent-Id": foothold.knows["target.spiffe_id"]}
    url = foothold.knows["target.record_url"]
    return Loot((oauth.read_record(url, auth=token, headers=headers),))


SCENARIO = Scenario(
    claim="who calls is what the gateway has verified, never what the caller writes into a header",
    blocked_by=(access_controls.IDENTITY_HEADERS_STRIPPED,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AGENT_RECORD, Part.PLATFORM_ADMIN),
    knows=("target.spiffe_id", "target.record_url"),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI07, fw.T1550_001),
    lesson="Behind a gateway a header is as good as a login. It must come from the gateway alone.",
)
