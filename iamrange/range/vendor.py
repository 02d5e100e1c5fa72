"""A vendor at work: somebody else's account that comes into ours, for us as for other customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.core.scenario import Asset, Network
from iamrange.core.verdict import Legitimate
from iamrange.range.work import FootholdError, WorkBrokeError, run_actor
from iamrange.range.workloads import name_of
from scenarios.workloads import COLLECTS_FOR_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.range.deployment import Deployment

VENDOR = "the vendor"


def collect_as_vendor(world: Deployment, when: str) -> tuple[Legitimate, Mapping[str, str]]:
    """Have the vendor do its work for us; return how it went, and its own session.

    Raises:
        FootholdError: the stack has no vendor.
        WorkBrokeError: the work was neither done nor refused.
    """
    account = world.landing.vendor
    if account is None:
        raise FootholdError("stack config 'iamrange:vendor': expected a vendor, got none")
    key = world.world.aws_keys[account]
    answer = run_actor(
        world,
        "work",
        {
            "workload": name_of(COLLECTS_FOR_US),
            "facts": world.stage.facts(COLLECTS_FOR_US.knows),
        },
        world.world.environment(Network.OUTSIDE)
        | {
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            "AWS_DEFAULT_REGION": world.landing.region,
        },
    )
    if answer.get("nonce") == world.canaries[Asset(COLLECTS_FOR_US.asset_kind)]:
        return Legitimate(part=VENDOR, when=when, ok=True), answer["memory"]
    if "refused" not in answer:
        raise WorkBrokeError(f"work of {VENDOR}, {when} the attack: {answer.get('broke')}")
    return Legitimate(part=VENDOR, when=when, ok=False, detail=answer["refused"]), {}
