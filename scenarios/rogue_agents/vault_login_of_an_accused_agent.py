"""Whoever holds what an agent logs in with looks around in the vault, and comes back for more."""

from __future__ import annotations

import time

import hvac.exceptions

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
from scenarios import vault_workloads

LOOKS, PAUSE = 10, 0.5


def attack(foothold: Taken) -> Loot:
    """Log in and look for logins to use, which is refused; log in anew and read the secret."""
    knows = foothold.knows
    role = knows["victim.vault_role"]
    client = vault_workloads.log_in(knows, role, foothold.token)
    for _ in range(LOOKS):
        try:
            client.sys.list_auth_methods()
        except hvac.exceptions.Forbidden:
            time.sleep(PAUSE)
    again = vault_workloads.log_in(knows, role, foothold.token)
    return Loot((vault_workloads.read_secret(again, knows, knows["victim.vault_path"]),))


SCENARIO = Scenario(
    claim="an accused agent's next login at the vault is refused, whatever it still holds",
    blocked_by=(detect_controls.VAULT_ISOLATION,),
    foothold=Foothold(
        Part.HR_ASSISTANT, Material.VAULT_ASSERTION, taken_from="projected token file"
    ),
    asset=Asset(AssetKind.VAULT_SECRET, Part.HR_ASSISTANT),
    knows=("victim.vault_role", "victim.vault_path", *vault_workloads.FACTS),
    legitimate=vault_workloads.READS_OWN_VAULT_SECRET,
    attack=attack,
    maps_to=(fw.ASI10, fw.NHI1, fw.T1555_006),
    lesson="A lease ends by itself, and the next login begins another: who is out must be told.",
    history=History(days=14),
)
