"""A leaked service certificate with its key, used after its agent was given another."""

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
    """Have a token over mutual TLS with the old certificate, and read with both."""
    knows = foothold.knows
    files = oauth.written(foothold.oauth["certificate"], foothold.oauth["certificate_key"])
    token = oauth.token_over_mtls(
        knows["victim.spiffe_id"],
        knows["identity.issuer"],
        files,
        resource=knows["victim.service"],
    )
    url = knows["victim.service"] + oauth.RECORD
    headers = {"Authorization": f"Bearer {token}"}
    return Loot((oauth.read_record(url, headers=headers, cert=files),))


SCENARIO = Scenario(
    claim="a leaked certificate is worth nothing once its agent has another",
    blocked_by=(identity_controls.CERTIFICATE_WITHDRAWAL,),
    foothold=Foothold(Part.PAYMENTS_AGENT, Material.CERTIFICATE, taken_from="a backup of its home"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.PAYMENTS_AGENT),
    knows=("victim.spiffe_id", "identity.issuer", "victim.service"),
    legitimate=service_workloads.READS_SERVICE_RECORDS_OVER_MTLS,
    attack=attack,
    maps_to=(fw.NHI7, fw.NHI2, fw.T1528),
    lesson="A certificate is believed until it ends, unless somebody asks its authority. A list "
    "that nobody reads, or that may be missing, withdraws nothing.",
    response=Response.KEY_ROTATION,
)
