"""An agent asks the token service for a scope that it is not registered for."""

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
    """Ask, with the victim's own key, for the scope that reads the target's service."""
    knows = foothold.knows
    client = oauth.victims_client(foothold)
    token = client.client_credentials(
        scope=knows["target.service_scope"], resource=knows["target.service"]
    )
    return Loot((oauth.read_record(knows["target.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="no agent is given a scope that it is not registered for",
    blocked_by=(identity_controls.SCOPE_LIMITS,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.CLIENT_KEY, taken_from="its home folder"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.HR_ASSISTANT),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "target.service",
        "target.service_scope",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1548_005),
    lesson="A hijacked agent asks for everything. What it gets is what somebody once wrote down.",
)
