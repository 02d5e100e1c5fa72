"""A client secret that leaked, used after the rotation that was to end it."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    Material,
    Part,
    Response,
    Scenario,
)
from scenarios import service_workloads
from scenarios.key_leakage.client_secret_used import attack

SCENARIO = Scenario(
    claim="a leaked secret is worth nothing once it was rotated",
    blocked_by=(secrets_controls.ROTATION,),
    foothold=Foothold(Part.FLEET_SENSOR, Material.CLIENT_SECRET, taken_from="a repository"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.FLEET_SENSOR),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "victim.service",
        "victim.service_scope",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI7, fw.NHI2, fw.T1528),
    lesson="A new value in the vault ends nothing: whoever accepts the old one has to be asked.",
    response=Response.SECRET_ROTATION,
)
