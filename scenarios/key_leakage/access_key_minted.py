"""A long-lived access key, minted to outlive the session that made it."""

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
    """Mint a key for the backup user with the administrator's session, and read with the key."""
    session = workloads.aws_session(foothold.aws_session)
    answer = session.client("iam").create_access_key(UserName=foothold.knows["aws.backup_user"])
    key = answer["AccessKey"]
    minted = workloads.aws_session(AwsSession(key["AccessKeyId"], key["SecretAccessKey"]))
    return Loot((workloads.read_aws_secret(minted, foothold.knows["aws.backup_secret_arn"]),))


SCENARIO = Scenario(
    claim="nobody in the organisation can mint a long-lived AWS key",
    blocked_by=(aws_controls.ORG_NO_LONG_LIVED_KEYS,),
    foothold=Foothold(Part.PLATFORM_ADMIN, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_BACKUP_SECRET),
    knows=("aws.backup_user", "aws.backup_secret_arn"),
    legitimate=workloads.AUDITS_ACCESS_KEYS,
    attack=attack,
    maps_to=(fw.NHI7, fw.T1098_001),
    lesson="A fifteen-minute session that may mint keys is a session without end.",
)
