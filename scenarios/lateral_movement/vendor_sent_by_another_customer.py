"""A vendor with a role in our account, sent there by another of its customers."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Be a customer of the vendor's too, and name our role as one's own.

    The vendor comes under the external id that it has for the customer who sends it.
    """
    session = workloads.come_as_vendor(
        foothold.aws_session,
        foothold.knows["aws.vendor_role_arn"],
        external_id="another-customer-2c9e41d8",
    )
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), foothold.knows["aws.vendor_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="a vendor comes into our account on our business and on no other customer's",
    blocked_by=(aws_controls.EXTERNAL_ID,),
    foothold=Foothold(
        Part.DATA_ANALYST,
        Material.VENDOR_SESSION,
        taken_from="the attacker's own job at the vendor",
    ),
    asset=Asset(AssetKind.AWS_VENDOR_REPORT),
    knows=("aws.vendor_role_arn", "aws.vendor_secret_arn"),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI3, fw.ASI03, fw.T1199),
    lesson="A deputy with many masters has to say which of them it comes from.",
)
