"""A token that was made for AWS, shown to Google Cloud."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import gcp_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Federate into Google Cloud with the token that the victim showed to AWS."""
    credentials = workloads.federate_with_token(
        foothold.token,
        foothold.knows["gcp.provider"],
        foothold.knows["victim.gcp_service_account"],
    )
    return Loot((workloads.read_gcp_secret(credentials, foothold.knows["victim.gcp_secret"]),))


SCENARIO = Scenario(
    claim="a token made for AWS buys nothing at Google Cloud",
    blocked_by=(gcp_controls.ALLOWED_AUDIENCES,),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.GCP_SECRET, Part.DATA_ANALYST),
    knows=("gcp.provider", "victim.gcp_service_account", "victim.gcp_secret"),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.NHI9, fw.T1550_001),
    lesson="A provider's list of audiences is a list of whom its tokens may be stolen from.",
)
