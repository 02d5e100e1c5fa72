"""A genuine token for AWS, found in a log after its time."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forgery, workloads


def attack(foothold: Taken) -> Loot:
    """Use the victim's own token long after it ran out."""
    return Loot((forgery.use_at_aws(foothold.token, foothold),))


SCENARIO = Scenario(
    claim="AWS takes no token past its expiry",
    blocked_by=(controls.INVARIANTS["aws.refuses-expired"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_TOKEN, taken_from="log"),
    asset=Asset(AssetKind.AWS_SECRET, Part.DATA_ANALYST),
    knows=forgery.AT_AWS,
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI7, fw.T1550_001),
    lesson="A log keeps a token for years. Its expiry is what makes the log harmless.",
    ages=1200.0,
)
