"""A certificate-bound access token, used over a connection without the certificate."""

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
    """Show the token over plain TLS."""
    url = foothold.knows["victim.service"] + oauth.RECORD
    return Loot((oauth.read_record_with(f"Bearer {foothold.oauth['access_token']}", url),))


SCENARIO = Scenario(
    claim="a token got over mutual TLS dies with the connection's certificate",
    blocked_by=(identity_controls.CERTIFICATE_BOUND,),
    foothold=Foothold(Part.PAYMENTS_AGENT, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.PAYMENTS_AGENT),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS_OVER_MTLS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1528, fw.T1550_001),
    lesson="The handshake has proved a key already: binding the token to it costs one comparison.",
)
