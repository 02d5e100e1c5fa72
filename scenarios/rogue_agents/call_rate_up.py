"""A stolen device reads a few dozen readings, slowly enough for every limit of the gateway."""

from __future__ import annotations

import time

import requests

from iamrange.core import detect_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    History,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads

FIRST, LAST = 248, 275
PAUSE = 0.2
NOT_FOUND = 404


def attack(foothold: Taken) -> Loot:
    """Read on and on, five a second; the first refusal ends it."""
    token = oauth.dpop_token(foothold.oauth["access_token"], foothold.oauth["dpop_key"])
    known = foothold.knows["services.telemetry"]
    session = requests.Session()
    for number in range(FIRST, LAST + 1):
        answer = session.get(f"{known}/records/reading-{number}", auth=token, timeout=oauth.TIMEOUT)
        if answer.status_code != NOT_FOUND:
            answer.raise_for_status()
            return Loot((str(answer.json()["value"]),))
        time.sleep(PAUSE)
    return Loot(())


SCENARIO = Scenario(
    claim="an agent that calls six times as often as ever is cut off before it has what it wants",
    blocked_by=(detect_controls.AUTOMATIC_REVOCATION,),
    foothold=Foothold(Part.FLEET_SENSOR, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.OLD_READING),
    knows=("services.telemetry",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI10, fw.ASI02, fw.T1499),
    lesson="Each call is allowed, and so are all of them together. They are not what it ever does.",
    history=History(days=14),
)
