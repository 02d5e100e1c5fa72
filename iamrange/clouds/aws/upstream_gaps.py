"""What each emulator cannot store, or would itself decide by: one committed file, typed here.

Tests hold to it both ways: what is listed must fail at that emulator, what is not must work.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Literal


class UpstreamKind(StrEnum):
    """The emulators that are known; any other is taken by LocalStack's conventions."""

    MOTO = "moto"
    LOCALSTACK = "localstack"
    MINISTACK = "ministack"
    UNKNOWN = "unknown"


Keeper = Literal["authorizer", "embedded", "nobody"]
"""The authorizer, beside the emulator; the embedded store, in its place; or nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One operation (`service:Operation`, or `service:*`) that an emulator does not do as AWS.

    `kept` says who holds in its place what decisions turn on; `since` is the version in which
    it was seen first.
    """

    upstream: UpstreamKind
    operation: str
    what: str
    kept: Keeper
    since: str


@functools.cache
def gaps() -> tuple[Gap, ...]:
    """Return every gap that is known.

    Raises:
        ValueError: the file is not of this program's version.
    """
    text = resources.files("iamrange.clouds.aws").joinpath("upstream_gaps.json").read_text("utf-8")
    told = json.loads(text)
    if told["version"] != 1:
        raise ValueError(f"upstream_gaps.json: version expected 1, got {told['version']!r}")
    return tuple(Gap(**{**gap, "upstream": UpstreamKind(gap["upstream"])}) for gap in told["gaps"])


def kept_here(kind: UpstreamKind, operation: str) -> bool:
    """Tell whether the authorizer keeps what an operation writes, in an emulator's place."""
    return any(
        gap.upstream is kind and gap.operation == operation and gap.kept == "authorizer"
        for gap in gaps()
    )


def services_kept_embedded(kind: UpstreamKind) -> frozenset[str]:
    """Return the services that an emulator lacks whole, and that the embedded store serves."""
    return frozenset(
        gap.operation.removesuffix(":*")
        for gap in gaps()
        if gap.upstream is kind and gap.operation.endswith(":*") and gap.kept == "embedded"
    )
