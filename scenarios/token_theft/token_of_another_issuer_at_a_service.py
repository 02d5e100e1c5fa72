"""An access token by an issuer of the attacker's own."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forged_access_token, oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Sign as an issuer of its own, with everything else as it should be."""
    key = oauth.new_key()
    header, claims = forged_access_token.rebound(
        foothold.oauth["access_token"], key, iss="https://auth.attacker.example"
    )
    token = forged_access_token.signed({**header, "kid": oauth.key_id(key)}, claims, key)
    return Loot((forged_access_token.use(token, key, foothold),))


SCENARIO = Scenario(
    claim="a service takes tokens of our own token service and of no other",
    blocked_by=(controls.INVARIANTS["identity.knows-its-issuer"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1606),
    lesson="A faultless signature says who wrote a token, and nothing about whether to believe it.",
)
