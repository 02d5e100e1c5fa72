"""A neighbour's secret in Google Secret Manager."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import gcp_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Ask for the neighbour's secret with the victim's access token."""
    credentials = workloads.bearer(foothold.gcp_access_token)
    return Loot((workloads.read_gcp_secret(credentials, foothold.knows["target.gcp_secret"]),))


SCENARIO = Scenario(
    claim="an agent reads its own secret in Google Cloud and no neighbour's",
    blocked_by=(gcp_controls.SECRET_LEVEL_IAM,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.GCP_ACCESS_TOKEN, taken_from="process memory"),
    asset=Asset(AssetKind.GCP_SECRET, Part.HR_ASSISTANT),
    knows=("target.gcp_secret",),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI02, fw.T1555_006),
    lesson="A role on the project is a role on each secret that the project will ever hold.",
)
