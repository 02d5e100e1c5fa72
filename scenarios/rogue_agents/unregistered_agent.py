"""An agent that nobody approved registers itself."""

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
    """Register a key of its own for the scope that is wanted, and work with it."""
    knows = foothold.knows
    key = oauth.new_key()
    client_id = oauth.register(
        knows["identity.issuer"],
        {
            "client_name": "helpful-assistant",
            "scope": knows["target.service_scope"],
            "jwks": {"keys": [oauth.public(key)]},
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["client_credentials"],
        },
    )
    client = oauth.client_with_key(
        client_id, knows["identity.issuer"], key, dpop_bound_access_tokens=True
    )
    token = client.client_credentials(
        scope=knows["target.service_scope"], resource=knows["target.service"]
    )
    return Loot((oauth.read_record(knows["target.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="an agent that nobody approved gets no token",
    blocked_by=(identity_controls.REGISTERED_AGENTS_ONLY,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.NETWORK, taken_from="the same network"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("identity.issuer", "target.service", "target.service_scope"),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI10),
    lesson="Open registration means that the directory lists whoever asked, not whom you approved.",
)
