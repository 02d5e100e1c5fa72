"""An analyst of public data reads customers' profiles."""

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
    """Read confidential data of the same service and project, with the same scope."""
    token = oauth.taken_token(foothold)
    return Loot((oauth.read_record(foothold.knows["services.customer-profiles"], auth=token),))


SCENARIO = Scenario(
    claim="data above an agent's ceiling stays closed, even in its own service and project",
    blocked_by=(access_controls.CLASSIFICATION,),
    foothold=Foothold(Part.DATA_ANALYST, Material.DPOP_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.CUSTOMER_PROFILES),
    knows=("services.customer-profiles",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1528),
    lesson="One scope for a whole service is usual. The label on the data is what tells its parts "
    "apart.",
)
