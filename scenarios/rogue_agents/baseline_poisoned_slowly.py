"""For two months a thief has worked a little more each day, and now takes what there is."""

from __future__ import annotations

from iamrange.core import detect_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    History,
    Material,
    Part,
    Scenario,
)
from scenarios import service_workloads
from scenarios.rogue_agents import call_rate_up

SCENARIO = Scenario(
    claim="a baseline that was led astray for weeks does not cover for what comes then",
    blocked_by=(detect_controls.HARD_LIMITS,),
    foothold=Foothold(Part.FLEET_SENSOR, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.OLD_READING),
    knows=("services.telemetry",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=call_rate_up.attack,
    maps_to=(fw.ASI10, fw.ASI02, fw.SI_4),
    lesson="What learns from an agent learns from its thief too. Some limits must not be learned.",
    history=History(days=60, grows_to=16),
)
