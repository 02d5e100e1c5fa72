"""A stolen access token made out to another key, with the algorithm `none`."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forged_access_token, oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Put an own key into the token and leave the signature out."""
    key = oauth.new_key()
    header, claims = forged_access_token.rebound(foothold.oauth["access_token"], key)
    token = forged_access_token.unsigned({**header, "alg": "NoNe"}, claims)
    return Loot((forged_access_token.use(token, key, foothold),))


SCENARIO = Scenario(
    claim="a service takes no unsigned token, however the word is spelt",
    blocked_by=(controls.INVARIANTS["identity.allows-one-algorithm"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1606),
    lesson="The verifier chooses the algorithm: a token that names its own is a letter that brings "
    "its seal.",
)
