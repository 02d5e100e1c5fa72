"""A stolen device tries every reading there could be."""

from __future__ import annotations

import requests

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

READINGS = 300
NOT_FOUND = 404


def attack(foothold: Taken) -> Loot:
    """Go through all names, as fast as it gets answers; the first refusal ends it."""
    token = oauth.taken_token(foothold)
    known = foothold.knows["services.telemetry"]
    session = requests.Session()
    for number in range(READINGS):
        answer = session.get(f"{known}/records/reading-{number}", auth=token, timeout=oauth.TIMEOUT)
        if answer.status_code != NOT_FOUND:
            answer.raise_for_status()
            return Loot((str(answer.json()["value"]),))
    return Loot(())


SCENARIO = Scenario(
    claim="an agent that asks for everything is stopped long before it has found anything",
    blocked_by=(access_controls.RATE_LIMIT,),
    foothold=Foothold(Part.FLEET_SENSOR, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.OLD_READING),
    knows=("services.telemetry",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI02, fw.ASI10, fw.T1499),
    lesson="Each call is allowed. What is not is a hundred times as many as the work needs.",
)
