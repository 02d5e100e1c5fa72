"""A neighbour's data key, which lies wrapped where everybody can fetch it."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Ask KMS to open the neighbour's data key, in the neighbour's name."""
    session = workloads.aws_session(foothold.aws_session)
    table, agent = foothold.knows["aws.data_keys_table"], foothold.knows["target.name"]
    return Loot((workloads.open_data_key(session, table, agent),))


SCENARIO = Scenario(
    claim="an agent has its own data key opened and no neighbour's",
    blocked_by=(aws_controls.KMS_ENCRYPTION_CONTEXT,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_DATA_KEY, Part.HR_ASSISTANT),
    knows=("target.name", "aws.data_keys_table"),
    legitimate=workloads.OPENS_OWN_DATA_KEY,
    attack=attack,
    maps_to=(fw.NHI5, fw.NHI8, fw.T1555_006),
    lesson="Encryption under one shared key protects from outsiders; who is inside may decrypt.",
)
