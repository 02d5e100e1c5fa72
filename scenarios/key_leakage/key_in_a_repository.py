"""A key that was committed once, found in the history of a clone, and used."""

from __future__ import annotations

import subprocess
import tempfile

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
    """Clone it, read every commit, and try each key that one of them brought."""
    with tempfile.TemporaryDirectory() as place:
        _git("clone", "--quiet", foothold.folder or "", place)
        log = _git("-C", place, "log", "--all", "-p", "-U0")
    lines = log.decode(errors="replace").splitlines()
    added = "\n".join(line[1:] for line in lines if line.startswith("+"))
    return searching.try_each(added, foothold)


def _git(*arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603 - the clone


SCENARIO = Scenario(
    claim="a clone of an agent's repository has no key in any commit",
    blocked_by=(secrets_controls.NO_HARD_CODED_CREDENTIALS,),
    foothold=Foothold(Part.DATA_ANALYST, Material.REPOSITORY, taken_from="the code host"),
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
    lesson="Who deletes a key in the next commit has told everybody where to look.",
)
