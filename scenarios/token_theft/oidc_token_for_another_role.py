"""One agent's OIDC token, shown for another agent's AWS role."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Assume the neighbour's role with the victim's own, perfectly valid token."""
    session = workloads.assume_with_token(
        foothold.token, foothold.knows["target.aws_role_arn"], name="not-my-role"
    )
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), foothold.knows["target.aws_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="an agent's OIDC token opens its own AWS role and no other agent's",
    blocked_by=(aws_controls.TRUST_PINS_SUBJECT,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.AWS_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.AWS_SECRET, Part.HR_ASSISTANT),
    knows=("target.aws_role_arn", "target.aws_secret_arn"),
    legitimate=workloads.READS_OWN_AWS_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.ASI03, fw.T1550_001),
    lesson="An issuer vouches for all of its agents. Only the subject says which one is asking.",
)
