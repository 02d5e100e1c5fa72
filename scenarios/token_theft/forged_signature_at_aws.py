"""A token for AWS with the target's subject, signed by the attacker."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forgery, workloads


def attack(foothold: Taken) -> Loot:
    """Change the subject of a genuine token and sign it with a key of one's own."""
    token = forgery.signed_by_attacker(foothold.token, forgery.as_target(foothold))
    return Loot((forgery.use_at_aws(token, foothold),))


SCENARIO = Scenario(
    claim="AWS takes no token that the issuer did not sign",
    blocked_by=(controls.INVARIANTS["aws.verifies-signature"],),
    foothold=Foothold(Part.SUPPORT_LLM, Material.AWS_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.AWS_SECRET, Part.HR_ASSISTANT),
    knows=forgery.AT_AWS,
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1606),
    lesson="A subject is a claim like any other until the signature is checked.",
)
