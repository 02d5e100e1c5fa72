"""A genuine token for Google Cloud, found in a log after its time."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forgery, workloads


def attack(foothold: Taken) -> Loot:
    """Use the victim's own token long after it ran out."""
    return Loot((forgery.use_at_gcp(foothold.token, foothold),))


SCENARIO = Scenario(
    claim="Google Cloud takes no token past its expiry",
    blocked_by=(controls.INVARIANTS["gcp.refuses-expired"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.GCP_TOKEN, taken_from="log"),
    asset=Asset(AssetKind.GCP_SECRET, Part.DATA_ANALYST),
    knows=forgery.AT_GCP,
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI7, fw.T1550_001),
    lesson="A log keeps a token for years. Its expiry is what makes the log harmless.",
    ages=1200.0,
)
