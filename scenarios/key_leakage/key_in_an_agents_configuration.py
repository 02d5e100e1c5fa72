"""A key in the configuration of an agent's tools, found in a copy of the folder, and used."""

from __future__ import annotations

from pathlib import Path

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
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
from scenarios import searching, service_workloads


def attack(foothold: Taken) -> Loot:
    """Read every file of the folder, and try each key that one of them has."""
    files = sorted(Path(foothold.folder or "").rglob("*.json"))
    text = "\n".join(file.read_text(errors="replace") for file in files)
    return searching.try_each(text, foothold)


SCENARIO = Scenario(
    claim="an agent's configuration files, wherever they are copied to, hold no key",
    blocked_by=(secrets_controls.NO_HARD_CODED_CREDENTIALS,),
    foothold=Foothold(
        Part.DATA_ANALYST, Material.CONFIGURATION, taken_from="a synchronised folder"
    ),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "victim.service",
        "victim.service_scope",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI2, fw.T1552_001, fw.IA_5_7),
    lesson="What starts an agent's tools is passed around like a recipe, and so are its secrets.",
)
