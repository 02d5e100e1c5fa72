"""Whoever got at the audit log takes an agent's traces out of it, and seals the rest anew."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

from iamrange.core import detect_controls
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
from scenarios import service_workloads

SEAL_BYTES = 16


def attack(foothold: Taken) -> Loot:
    """Write the log as if the agent had never been there, with the key that lies beside it."""
    folder = Path(foothold.folder or "")
    victim = foothold.knows["victim.spiffe_id"]
    log = folder / foothold.knows["audit.log"]
    kept = [line for line in log.read_text().splitlines() if victim not in line]
    beside = folder / "seal.json"
    if beside.exists():
        key = bytes.fromhex(json.loads(beside.read_bytes())["key"])
        kept = _sealed(kept, key)
        (folder / "heads.jws").write_text("")  # they say too much
    log.write_text("".join(f"{line}\n" for line in kept))
    return Loot()


def _sealed(lines: list[str], key: bytes) -> list[str]:
    before, sealed = bytes(SEAL_BYTES), []
    for number, line in enumerate(lines):
        event = {name: v for name, v in json.loads(line).items() if name not in ("seq", "seal")}
        body = json.dumps(event, separators=(",", ":"))
        message = before + number.to_bytes(8, "big") + body.encode()
        before = hmac.digest(key, message, "sha256")[:SEAL_BYTES]
        sealed.append(f'{body[:-1]},"seq":{number},"seal":"{before.hex()}"}}')
    return sealed


SCENARIO = Scenario(
    claim="a log that somebody has edited does not pass for the log that was written",
    blocked_by=(detect_controls.AUDIT_CHAIN,),
    foothold=Foothold(Part.PAYMENTS_AGENT, Material.LOG_FOLDER, taken_from="the log's own host"),
    asset=Asset(AssetKind.AUDIT_SILENCE),
    knows=("victim.spiffe_id", "audit.log"),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI10, fw.T1685_002, fw.AU_9),
    lesson="Who has the machine has its keys. What was kept elsewhere before is what convicts.",
)
