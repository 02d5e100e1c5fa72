"""Stolen STS credentials, still used after the incident was declared."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
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
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Use the session that was stolen before the incident, from inside.

    The response has killed the agent's tokens in the directory too, which no cloud asks.
    """
    session = workloads.aws_session(foothold.aws_session)
    return Loot((workloads.read_aws_secret(session, foothold.knows["victim.aws_secret_arn"]),))


SCENARIO = Scenario(
    claim="a session stolen before the incident dies with the response to it",
    blocked_by=(aws_controls.REVOKE_OLDER_SESSIONS,),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.DATA_ANALYST),
    knows=("victim.aws_secret_arn",),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI1, fw.ASI10, fw.T1078_004),
    lesson="Rotating a key ends nothing that was issued with it; only a deny by issue time does.",
    response=Response.INCIDENT,
)
