"""An agent impersonates its neighbour's service account."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import gcp_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Federate as the victim, then ask for the neighbour's access token."""
    credentials = workloads.federate_with_token(
        foothold.token,
        foothold.knows["gcp.provider"],
        foothold.knows["target.gcp_service_account"],
    )
    return Loot((workloads.read_gcp_secret(credentials, foothold.knows["target.gcp_secret"]),))


SCENARIO = Scenario(
    claim="an agent impersonates its own service account and no neighbour's",
    blocked_by=(gcp_controls.IMPERSONATION_SCOPED,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.GCP_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.GCP_SECRET, Part.HR_ASSISTANT),
    knows=("gcp.provider", "target.gcp_service_account", "target.gcp_secret"),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1548_005),
    lesson="The right to impersonate, granted on a project, is the right to be everyone in it.",
)
