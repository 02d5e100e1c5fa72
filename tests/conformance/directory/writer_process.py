"""A process that changes the directory until it is killed, and tells what was acknowledged.

    python writer_process.py URL HOME life|bulk|race ARGUMENT

Each line on stdout is printed after the directory returned, so what it says must last.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.identity.directory import Agent, AgentSpec, Directory
from tests.conformance.directory.lab import new_jwk, spec

if TYPE_CHECKING:
    from iamrange.identity.directory.bulk import BulkResult


def tell(*what: object) -> None:
    """Print one acknowledged fact."""
    print(json.dumps(what), flush=True)  # noqa: T201 - what the test reads


def many(run: str) -> list[AgentSpec]:
    """Return two thousand specs, the same whenever asked."""
    return [AgentSpec(name=f"bulk-{run}-{number}", owner="team-a") for number in range(2000)]


def live(directory: Directory, run: str) -> None:
    """Register agents and revoke them, for ever."""
    for number in itertools.count():
        name = f"life-{run}-{number}"
        for outcome in (
            directory.register(spec(name), actor="writer", activate=True),
            directory.rotate(name, new_jwk(), overlap=0, actor="writer"),
            directory.revoke(name, actor="writer"),
            directory.quarantine(name, actor="writer"),
        ):
            assert isinstance(outcome, Agent)
            tell(name, outcome.epoch, outcome.version, outcome.keys[0].kid)


def register_many(directory: Directory, run: str) -> None:
    """Register two thousand agents in parts of a hundred."""

    def progress(result: BulkResult) -> None:
        tell(result.position)

    directory.register_many(many(run), actor="writer", progress=progress, batch=100)
    tell("done")


def race(directory: Directory, version: str) -> None:
    """Rotate one agent's key if it still has this version, when told to start."""
    key = new_jwk()
    tell("ready")
    sys.stdin.readline()
    outcome = directory.rotate(
        "raced", key, overlap=0, actor="writer", expected_version=int(version)
    )
    tell(type(outcome).__name__, getattr(outcome, "code", None))


if __name__ == "__main__":
    url, home, what, argument = sys.argv[1:]
    opened = Directory.open(url, Path(home))
    {"life": live, "bulk": register_many, "race": race}[what](opened, argument)
