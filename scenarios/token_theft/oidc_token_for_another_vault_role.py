"""One agent's OIDC token, shown for another agent's role at the vault."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import vault_workloads


def attack(foothold: Taken) -> Loot:
    """Log in as the neighbour with the victim's own, perfectly valid token."""
    knows = foothold.knows
    client = vault_workloads.log_in(knows, knows["target.vault_role"], foothold.token)
    return Loot((vault_workloads.read_secret(client, knows, knows["target.vault_path"]),))


SCENARIO = Scenario(
    claim="an agent's OIDC token opens its own role at the vault and no other agent's",
    blocked_by=(secrets_controls.VAULT_BOUND_CLAIMS,),
    foothold=Foothold(
        Part.SUPPORT_LLM, Material.VAULT_ASSERTION, taken_from="projected token file"
    ),
    asset=Asset(AssetKind.VAULT_SECRET, Part.HR_ASSISTANT),
    knows=("target.vault_role", "target.vault_path", *vault_workloads.FACTS),
    legitimate=vault_workloads.READS_OWN_VAULT_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI03, fw.T1550_001),
    lesson="The audience says that a token is meant for the vault. It does not say whose it is.",
)
