"""A token for Google Cloud under the algorithm `none`."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forgery, workloads


def attack(foothold: Taken) -> Loot:
    """Change the subject of a genuine token and drop the signature."""
    token = forgery.unsigned(foothold.token, forgery.as_target(foothold))
    return Loot((forgery.use_at_gcp(token, foothold),))


SCENARIO = Scenario(
    claim="Google Cloud takes no token without a signature",
    blocked_by=(controls.INVARIANTS["gcp.refuses-unsigned"],),
    foothold=Foothold(Part.SUPPORT_LLM, Material.GCP_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.GCP_SECRET, Part.HR_ASSISTANT),
    knows=forgery.AT_GCP,
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1606),
    lesson="The verifier chooses the algorithms; the token may only name one of them.",
)
