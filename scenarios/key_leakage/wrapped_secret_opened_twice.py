"""What an agent handed to a worker, found where it was handed over."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import vault_workloads

TOKENS = ("s.", "hvs.")
"""What tokens of OpenBao and of HashiCorp Vault begin with."""


def attack(foothold: Taken) -> Loot:
    """Take what was handed over for what it is; if that is a token, open it again."""
    found = foothold.vault_token or ""
    return Loot((vault_workloads.unwrap(found) if found.startswith(TOKENS) else found,))


SCENARIO = Scenario(
    claim="what was handed to a worker in a wrapping is of no use to whoever finds it later",
    blocked_by=(secrets_controls.SINGLE_USE_WRAPPING,),
    foothold=Foothold(
        Part.DEPLOY_BOT, Material.VAULT_HANDOVER, taken_from="a worker's environment"
    ),
    asset=Asset(AssetKind.VAULT_BOOTSTRAP, Part.DEPLOY_BOT),
    knows=vault_workloads.FACTS,
    legitimate=vault_workloads.STARTS_A_WORKER,
    attack=attack,
    maps_to=(fw.NHI2, fw.ASI03, fw.T1555_006),
    lesson="A secret that is passed along lies wherever it has passed. A wrapping opens once, and "
    "who comes second knows that somebody was first.",
)
