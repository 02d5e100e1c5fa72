"""A token for Google Cloud of an issuer that the attacker runs."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forgery, workloads


def attack(foothold: Taken) -> Loot:
    """Issue oneself a token with the target's subject from an issuer of one's own."""
    token = forgery.signed_by_attacker(
        foothold.token,
        {"iss": "https://idp.attacker.example", **forgery.as_target(foothold)},
    )
    return Loot((forgery.use_at_gcp(token, foothold),))


SCENARIO = Scenario(
    claim="Google Cloud takes no token of an issuer that nobody registered",
    blocked_by=(controls.INVARIANTS["gcp.knows-its-issuers"],),
    foothold=Foothold(Part.SUPPORT_LLM, Material.GCP_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.GCP_SECRET, Part.HR_ASSISTANT),
    knows=forgery.AT_GCP,
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1199),
    lesson="Anyone can run an issuer. Trust begins where an account names one.",
)
