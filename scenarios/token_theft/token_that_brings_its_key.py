"""An access token whose header holds the key that it is to be verified with."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forged_access_token, oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Put an own key into claims and header, and sign with it."""
    key = oauth.new_key()
    header, claims = forged_access_token.rebound(foothold.oauth["access_token"], key)
    token = forged_access_token.signed({**header, "jwk": oauth.public(key)}, claims, key)
    return Loot((forged_access_token.use(token, key, foothold),))


SCENARIO = Scenario(
    claim="a token is verified with the published keys, never with one that it brings along",
    blocked_by=(controls.INVARIANTS["identity.ignores-keys-in-tokens"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1606),
    lesson="Whoever writes the token writes its header too.",
)
