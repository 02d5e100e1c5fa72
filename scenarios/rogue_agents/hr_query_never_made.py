"""A stolen payments agent asks the HR service, which lets it: it merely never asked before."""

from __future__ import annotations

import json

from iamrange.core import detect_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    History,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Have a token for the HR service, as the agent may, and read who works there."""
    knows = foothold.knows
    client = oauth.client_with_key(
        knows["victim.spiffe_id"],
        knows["identity.issuer"],
        json.loads(foothold.oauth["client_key"]),
        dpop_bound_access_tokens=True,
    )
    token = client.client_credentials(resource=knows["services.hr"])
    return Loot((oauth.read_record(knows["services.colleagues"], auth=token),))


SCENARIO = Scenario(
    claim="an agent's first query ever of a service is found out, though it is allowed",
    blocked_by=(detect_controls.BEHAVIOUR_BASELINE,),
    foothold=Foothold(Part.PAYMENTS_AGENT, Material.CLIENT_SESSION, taken_from="its home folder"),
    asset=Asset(AssetKind.COLLEAGUES),
    knows=("victim.spiffe_id", "identity.issuer", "services.hr", "services.colleagues"),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.ASI10, fw.NHI5, fw.T1530),
    lesson="A right that is never used is for thieves alone. Whoever watches sees its first use.",
    history=History(days=14),
)
