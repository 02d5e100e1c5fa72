"""An agent of one project reads another project's records."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Read the other project's table with the victim's session."""
    session = workloads.aws_session(foothold.aws_session)
    record = workloads.read_aws_record(session, foothold.knows["target.aws_table"], "latest")
    return Loot((record,))


SCENARIO = Scenario(
    claim="an agent reads its own project's records and no other project's",
    blocked_by=(aws_controls.ABAC_PROJECT_TAG,),
    foothold=Foothold(Part.DATA_ANALYST, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_RECORDS, Part.PAYMENTS_AGENT),
    knows=("target.aws_table",),
    legitimate=workloads.READS_PROJECT_RECORDS,
    attack=attack,
    maps_to=(fw.NHI5, fw.NHI8, fw.T1530),
    lesson="One statement can serve every project, as long as the tags on both sides must agree.",
)
