"""A token is exchanged for one that holds more."""

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
    """Exchange the own token for one that reads the target's service."""
    knows, taken = foothold.knows, foothold.oauth
    client = oauth.victims_client(foothold)
    token = client.token_exchange(
        subject_token=taken["access_token"],
        subject_token_type=oauth.ACCESS_TOKEN_TYPE,
        scope=knows["target.service_scope"],
        resource=knows["target.service"],
        dpop=True,
        dpop_key=oauth.dpop_key(taken["dpop_key"]),
    )
    return Loot((oauth.read_record(knows["target.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a token is exchanged for less, never for more",
    blocked_by=(identity_controls.EXCHANGE_NARROWS, identity_controls.SCOPE_LIMITS),
    foothold=Foothold(Part.SUPPORT_LLM, Material.CLIENT_SESSION, taken_from="process memory"),
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
    lesson="An exchange is a second door to the same house: what the first one checks, it checks.",
)
