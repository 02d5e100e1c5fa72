"""A leaked private key, used after the rotation that was to end it."""

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
    Response,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Ask for a token with the old key."""
    knows = foothold.knows
    client = oauth.victims_client(foothold)
    token = client.client_credentials(
        scope=knows["victim.service_scope"], resource=knows["victim.service"]
    )
    return Loot((oauth.read_record(knows["victim.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a leaked key is worth nothing once it was rotated",
    blocked_by=(identity_controls.KEY_ROTATION,),
    foothold=Foothold(Part.DATA_ANALYST, Material.CLIENT_KEY, taken_from="a backup of its home"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "victim.service",
        "victim.service_scope",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI7, fw.NHI2, fw.T1528),
    lesson="Rotation has two halves, and the second is the one that people forget.",
    response=Response.KEY_ROTATION,
)
