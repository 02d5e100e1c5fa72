"""Another tenant of the same issuer, whose agent bears the victim's name."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import gcp_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Federate with the other tenant's own token; the mapped subject is the victim's."""
    credentials = workloads.federate_with_token(
        foothold.token,
        foothold.knows["gcp.provider"],
        foothold.knows["victim.gcp_service_account"],
    )
    return Loot((workloads.read_gcp_secret(credentials, foothold.knows["victim.gcp_secret"]),))


SCENARIO = Scenario(
    claim="another tenant of our issuer is nobody at our provider",
    blocked_by=(gcp_controls.ATTRIBUTE_CONDITION,),
    foothold=Foothold(
        Part.DATA_ANALYST,
        Material.GCP_TOKEN,
        taken_from="the attacker's own agent, named like the victim",
        tenant="vendor",
    ),
    asset=Asset(AssetKind.GCP_SECRET, Part.DATA_ANALYST),
    knows=("gcp.provider", "victim.gcp_service_account", "victim.gcp_secret"),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI3, fw.NHI4, fw.T1199),
    lesson="A shared issuer signs for its other customers too; the condition says which are ours.",
)
