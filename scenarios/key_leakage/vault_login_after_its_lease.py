"""A login at the vault, stolen from an agent's memory and kept for later."""

from __future__ import annotations

import time

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import vault_workloads

MOMENT = 1.5
"""How much longer than the lease the thief waits, in seconds."""


def attack(foothold: Taken) -> Loot:
    """Use the login once its lease is over. The vault goes by real time."""
    knows = foothold.knows
    time.sleep(float(knows["vault.lease"]) + MOMENT)
    client = vault_workloads.with_token(foothold.vault_token)
    return Loot((vault_workloads.read_secret(client, knows, knows["victim.vault_path"]),))


SCENARIO = Scenario(
    claim="a login at the vault that was stolen is dead when its lease is over",
    blocked_by=(secrets_controls.SHORT_LEASES,),
    foothold=Foothold(Part.DATA_ANALYST, Material.VAULT_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.VAULT_SECRET, Part.DATA_ANALYST),
    knows=("victim.vault_path", "vault.lease", *vault_workloads.FACTS),
    legitimate=vault_workloads.READS_OWN_VAULT_SECRET,
    attack=attack,
    maps_to=(fw.NHI7, fw.ASI03, fw.T1555_006),
    lesson="Whoever asks for a login without saying for how long has it for a month.",
)
