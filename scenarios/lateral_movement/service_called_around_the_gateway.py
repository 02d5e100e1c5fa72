"""A service is called around the gateway, by an agent with a certificate of its own."""

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
    """Speak to the sidecar as if it were for the gateway to say who calls."""
    knows = foothold.knows
    files = oauth.written(foothold.oauth["certificate"], foothold.oauth["certificate_key"])
    path = knows["services.salaries"].removeprefix(knows["services.hr"])
    headers = {"x-agent-id": knows["victim.spiffe_id"]}
    # whoever attacks does not mind whose certificate the other side shows
    url = knows["services.hr_mesh"] + path
    return Loot((oauth.read_record(url, headers=headers, cert=files, verify=False),))


SCENARIO = Scenario(
    claim="a service speaks with the gateway and its neighbours only, whatever others can show",
    blocked_by=(access_controls.SEGMENTATION,),
    foothold=Foothold(Part.PAYMENTS_AGENT, Material.CERTIFICATE, taken_from="its home folder"),
    asset=Asset(AssetKind.SALARIES),
    knows=("victim.spiffe_id", "services.salaries", "services.hr", "services.hr_mesh"),
    legitimate=service_workloads.READS_SERVICE_RECORDS_OVER_MTLS,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI07, fw.T1550_001),
    lesson="All that the gateway decides is worth nothing if there is another way to the service.",
)
