"""An agent reads, with a scope that it really has, what is none of its business."""

from __future__ import annotations

from iamrange.core import access_controls
from iamrange.core import frameworks as fw
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
    """Get a token for the fleet's telemetry, for which the broker is registered, and read."""
    knows = foothold.knows
    client = oauth.victims_client(foothold)
    token = client.client_credentials(resource=knows["target.service"])
    return Loot((oauth.read_record(knows["target.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a scope alone opens nothing: the policy asks who the agent is and whose the data is",
    blocked_by=(access_controls.REGO_POLICY,),
    foothold=Foothold(Part.CREDENTIAL_BROKER, Material.CLIENT_KEY, taken_from="its home folder"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.FLEET_SENSOR),
    knows=("victim.spiffe_id", "identity.issuer", "target.service"),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI02, fw.T1528),
    lesson="Scopes are granted once and grow. A policy that is asked at each call sees the whole "
    "call.",
)
