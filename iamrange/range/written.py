"""Powers: what an attacker brings home is a state that it wrote, read back by the runner.

- A canary stands for the power too, and is laid into the attacker's hands when the state is there.
- Read with the range's own credentials, in a process of its own: the attack only says that it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.core.scenario import AssetKind
from iamrange.range.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.scenario import Asset
    from iamrange.range.deployment import Deployment

WRITTEN: Mapping[AssetKind, str] = {
    AssetKind.AWS_SILENCE: "iamrange.range.written:trail_is_silent",
}
"""Each power, and what reads whether somebody has it."""

LIES_NOWHERE = frozenset({*WRITTEN, AssetKind.AUDIT_SILENCE})
"""The kinds of assets that nobody can read anywhere, and nothing is planted for."""

_SECONDS = 30.0


def loot_of(world: Deployment, asset: Asset, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an attack brought home: what it says, or the power that it has won.

    Raises:
        ProcessError: the state could not be read.
    """
    if asset.kind not in WRITTEN:
        return tuple(answer.get("loot", ()))
    if "loot" not in answer:
        return ()
    key = world.world.aws_keys[world.landing.workloads]
    reader = world.tools.zygote.spawn(
        WRITTEN[asset.kind],
        {
            "spec": {
                "endpoint": world.world.aws_endpoint,
                "key": dict(key),
                "region": world.landing.region,
                "place": world.stage.place_of(asset),
            }
        },
        name="reading of what was written",
    )
    won = reader.receive(_SECONDS)
    reader.wait(_SECONDS)
    if not isinstance(won, bool):
        raise ProcessError(f"state of {asset}: expected true or false, got {won!r}")
    return (world.canaries[asset],) if won else ()


def trail_is_silent(spec: Mapping[str, Any]) -> bool:
    """Tell whether the trail records nothing: stopped, or gone."""
    import boto3  # noqa: PLC0415 - the runner itself needs no SDK

    client = boto3.client(
        "cloudtrail",
        endpoint_url=spec["endpoint"],
        region_name=spec["region"],
        aws_access_key_id=spec["key"]["access_key_id"],
        aws_secret_access_key=spec["key"]["secret_access_key"],
    )
    try:
        return not client.get_trail_status(Name=spec["place"])["IsLogging"]
    except client.exceptions.TrailNotFoundException:
        return True
