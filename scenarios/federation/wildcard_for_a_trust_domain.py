"""A trust condition that misses by one character: a wildcard where the trust domain should be."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Assume the role of the agent whose name one bears in another trust domain."""
    session = workloads.assume_with_token(
        foothold.token, foothold.knows["victim.aws_role_arn"], name="namesake"
    )
    record = workloads.read_aws_record(
        workloads.aws_session(session), foothold.knows["victim.aws_table"], "latest"
    )
    return Loot((record,))


SCENARIO = Scenario(
    claim="a role knows its agent by the whole subject, not by how it ends",
    blocked_by=(aws_controls.TRUST_EXACT_SUBJECT, aws_controls.TRUST_PINS_SUBJECT),
    foothold=Foothold(
        Part.PAYMENTS_AGENT,
        Material.AWS_TOKEN,
        taken_from="the attacker's own agent, named like the victim",
        tenant="elsewhere",
    ),
    asset=Asset(AssetKind.AWS_RECORDS, Part.PAYMENTS_AGENT),
    knows=("victim.aws_role_arn", "victim.aws_table"),
    legitimate=workloads.READS_PROJECT_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.NHI6, fw.T1199),
    lesson="A pattern is read from both ends: what a `*` lets in was written by somebody else.",
)
