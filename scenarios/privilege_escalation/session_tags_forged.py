"""A session tag forged on the way from one role to the next."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Name the own project at the first hop and the target's at the second."""
    knows = foothold.knows
    worker = workloads.assume_tagged(
        foothold.aws_session, knows["aws.worker_role_arn"], project=knows["victim.project"]
    )
    reader = workloads.assume_tagged(
        worker, knows["aws.records_role_arn"], project=knows["target.project"]
    )
    session = workloads.aws_session(reader)
    return Loot((workloads.read_aws_record(session, knows["target.aws_table"], "latest"),))


SCENARIO = Scenario(
    claim="the project that an agent's session is tagged with stays the same from hop to hop",
    blocked_by=(aws_controls.TAG_SESSION,),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_RECORDS, Part.PAYMENTS_AGENT),
    knows=(
        "aws.worker_role_arn",
        "aws.records_role_arn",
        "victim.project",
        "target.project",
        "target.aws_table",
    ),
    legitimate=workloads.WORKS_FOR_PROJECT,
    attack=attack,
    maps_to=(fw.NHI8, fw.ASI03, fw.T1548_005),
    lesson="A tag that the bearer may set at the next door says nothing about the bearer.",
)
