"""A trust condition that misses by a little: a pattern that ends inside the trust domain's name."""

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
    claim="a trust domain whose name begins like ours is another trust domain",
    blocked_by=(aws_controls.ISSUER_TENANT, aws_controls.TRUST_PINS_SUBJECT),
    foothold=Foothold(
        Part.PAYMENTS_AGENT,
        Material.AWS_TOKEN,
        taken_from="the attacker's own agent, named like the victim",
        tenant="iamrange-fork",
    ),
    asset=Asset(AssetKind.AWS_RECORDS, Part.PAYMENTS_AGENT),
    knows=("victim.aws_role_arn", "victim.aws_table"),
    legitimate=workloads.READS_PROJECT_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.NHI6, fw.T1199),
    lesson="A pattern that ends before the delimiter has its last word said by somebody else.",
)
