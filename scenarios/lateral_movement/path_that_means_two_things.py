"""A path that one server reads as a record, and the next one as administration."""

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
    """Hide the way up behind an encoded slash."""
    token = oauth.taken_token(foothold)
    service = foothold.knows["victim.service"]
    path = foothold.knows["services.administration"].removeprefix(service)
    return Loot((oauth.read_raw(f"{service}/records/..%2f{path[1:]}", token),))


SCENARIO = Scenario(
    claim="what the gateway decides on is what the service serves: a path has one meaning or none",
    blocked_by=(access_controls.PATH_NORMALISED,),
    foothold=Foothold(Part.DEPLOY_BOT, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.ADMINISTRATION),
    knows=("victim.service", "services.administration"),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI02, fw.ASI03, fw.T1550_001),
    lesson="Every server on the way reads a path in its own manner, and attackers know both.",
)
