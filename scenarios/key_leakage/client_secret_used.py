"""A client secret, found where it was configured."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import identity_controls
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Ask for a token with the secret, and bind it to a key of the attacker's."""
    knows = foothold.knows
    client = oauth.client_with_secret(
        knows["victim.spiffe_id"], knows["identity.issuer"], foothold.oauth["client_secret"]
    )
    token = client.client_credentials(
        scope=knows["victim.service_scope"], resource=knows["victim.service"]
    )
    return Loot((oauth.read_record(knows["victim.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a secret that is found in an agent's configuration opens nothing",
    blocked_by=(identity_controls.PRIVATE_KEY_JWT,),
    foothold=Foothold(Part.FLEET_SENSOR, Material.CLIENT_SECRET, taken_from="a configuration file"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.FLEET_SENSOR),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "victim.service",
        "victim.service_scope",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI2, fw.NHI4, fw.T1528),
    lesson="A secret that both sides must know is in two places at least; a private key is in one.",
)
