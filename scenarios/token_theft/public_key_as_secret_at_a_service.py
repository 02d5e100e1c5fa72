"""An access token authenticated with the public key as if it were a shared secret."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import forged_access_token, oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Put an own key into the token, and compute HS256 with the published key as the secret."""
    key = oauth.new_key()
    header, claims = forged_access_token.rebound(foothold.oauth["access_token"], key)
    secret = oauth.published_key_pem(foothold.knows["identity.issuer"], header["kid"])
    token = forged_access_token.keyed({**header, "alg": "HS256"}, claims, secret)
    return Loot((forged_access_token.use(token, key, foothold),))


SCENARIO = Scenario(
    claim="what everybody may read is no secret that a token is authenticated with",
    blocked_by=(controls.INVARIANTS["identity.allows-one-algorithm"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=(
        "identity.issuer",
        "victim.service",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1606),
    lesson="A verifier that asks the token for the algorithm hands its public key out as a "
    "password.",
)
