"""A neighbour's path in the vault, read with one's own login."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import vault_workloads


def attack(foothold: Taken) -> Loot:
    """Log in as the victim, and read past its own path."""
    knows = foothold.knows
    client = vault_workloads.log_in(knows, knows["victim.vault_role"], foothold.token)
    return Loot((vault_workloads.read_secret(client, knows, knows["target.vault_path"]),))


SCENARIO = Scenario(
    claim="an agent reads its own path in the vault and no neighbour's",
    blocked_by=(secrets_controls.VAULT_POLICY_PER_AGENT,),
    foothold=Foothold(
        Part.SUPPORT_LLM, Material.VAULT_ASSERTION, taken_from="projected token file"
    ),
    asset=Asset(AssetKind.VAULT_SECRET, Part.HR_ASSISTANT),
    knows=("victim.vault_role", "target.vault_path", *vault_workloads.FACTS),
    legitimate=vault_workloads.READS_OWN_VAULT_SECRET,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1555_006),
    lesson="A policy with a wildcard is one policy for everybody, however many names it has.",
)
