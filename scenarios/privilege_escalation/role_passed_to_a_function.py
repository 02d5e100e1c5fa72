"""A role above one's own, passed to a function whose code one writes."""

from __future__ import annotations

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Ability,
    Asset,
    AssetKind,
    Foothold,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Deploy a function with the platform's own role, and have it read what the role may."""
    secret = workloads.run_function(
        workloads.aws_session(foothold.aws_session),
        name=foothold.knows["victim.aws_function"],
        role_arn=foothold.knows["aws.release_role_arn"],
        secret=foothold.knows["aws.platform_secret_arn"],
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="who deploys functions can pass them no role above the one made for them",
    blocked_by=(aws_controls.PASSROLE_SCOPED, aws_controls.PERMISSIONS_BOUNDARY),
    foothold=Foothold(Part.DEPLOY_BOT, Material.AWS_SESSION, taken_from="process memory"),
    asset=Asset(AssetKind.AWS_PLATFORM_SECRET),
    knows=("victim.aws_function", "aws.release_role_arn", "aws.platform_secret_arn"),
    legitimate=workloads.DEPLOYS_A_FUNCTION,
    attack=attack,
    maps_to=(fw.NHI5, fw.ASI03, fw.T1548_005),
    lesson="To pass a role to code that one writes is to have the role.",
    needs=frozenset({Ability.RUNS_FUNCTIONS}),
)
