"""Agents at work: each piece of work in a process and a folder of its own.

- Work goes well only if what it read is the value that this run has planted.
- What an agent's process is given is its own home's environment and a network, no more.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from iamrange.core import aws_controls
from iamrange.core.scenario import Asset, AssetKind, Network
from iamrange.core.verdict import Legitimate
from iamrange.identity.agent_home import (
    AWS_TOKEN,
    GOOGLE_TOKEN,
    OWN_FEDERATION,
    VAULT_TOKEN,
    agent_environment,
)
from iamrange.range.processes import ProcessError
from iamrange.range.words import redacted
from iamrange.range.workloads import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.core.scenario import Part, Workload
    from iamrange.range.deployment import Deployment

ACTOR_SECONDS = 60.0
_IN_THE_VAULT = frozenset(
    {AssetKind.VAULT_SECRET, AssetKind.VAULT_BOOTSTRAP, AssetKind.DATABASE_RECORDS}
)
_numbers = itertools.count(1)


class FootholdError(Exception):
    """The victim's legitimate work did not go well, so there is nothing to take."""


class WorkBrokeError(ProcessError):
    """An agent's work was neither done nor refused: that says nothing about any control."""


def do_work(
    world: Deployment, part: Part, workload: Workload, when: str
) -> tuple[Legitimate, Mapping[str, str]]:
    """Have an agent do its work; return how it went and what then lies in its memory.

    It went well only if the nonce that it read is the value planted for this run.

    Raises:
        WorkBrokeError: it was neither done nor refused.
    """
    environment = agent_environment(world.homes[part])
    if aws_controls.BROKER_SESSIONS.id in world.off:
        # the agent federates by itself: with the token that its node projects, for an hour
        project_tokens(world, world.homes[part])
        environment["AWS_PROFILE"] = OWN_FEDERATION
    elif workload.asset_kind in _IN_THE_VAULT:
        # an agent of a vault reads the token that its node projects, as one on Kubernetes does
        project_tokens(world, world.homes[part])
    expected = world.canaries[Asset(workload.asset_kind, part)]
    with approving(world, workload.approvals):
        answer = run_actor(
            world,
            "work",
            {
                "workload": name_of(workload),
                "facts": world.stage.facts(workload.knows, victim=part),
            },
            world.world.environment(Network.CORPORATE) | environment,
        )
    if answer.get("nonce") == expected:
        return Legitimate(part=part, when=when, ok=True), answer["memory"]
    if "nonce" in answer:
        return Legitimate(part=part, when=when, ok=False, detail="read another value"), {}
    if "refused" not in answer:
        raise WorkBrokeError(f"work of {part}, {when} the attack: {answer.get('broke')}")
    return Legitimate(part=part, when=when, ok=False, detail=answer["refused"]), {}


@contextlib.contextmanager
def approving(world: Deployment, count: int, *, waiting: int = 1) -> Iterator[None]:
    """Have a manager approve so many requests meanwhile, in a process of their own.

    The manager begins once `waiting` of them wait.
    """
    if count == 0:
        yield
        return
    person, key = next(iter(world.people.items()))
    environment = world.world.environment(Network.CORPORATE)
    over = world.world.folder / f"work-{next(_numbers)}-is-over"
    with ThreadPoolExecutor(1) as manager:
        done = manager.submit(
            run_actor,
            world,
            "approve",
            {
                "person": person,
                "key": str(key),
                "count": count,
                "waiting": waiting,
                "over": str(over),
            },
            environment,
        )
        try:
            yield
        finally:
            over.touch()
        answer = done.result()
    if "approved" not in answer:
        raise WorkBrokeError(f"a manager could not approve: {answer.get('broke')}")


def project_tokens(world: Deployment, home: Path) -> dict[str, str]:
    """Have an agent's tokens projected into its home; return file name -> token.

    Raises:
        FootholdError: the issuer did not give them.
    """
    settings = json.loads((home / "agent.json").read_text())
    audiences = {
        AWS_TOKEN: ("aws", world.stage.aws["audience"]),
        GOOGLE_TOKEN: ("google", world.stage.gcp["audience"]),
        VAULT_TOKEN: ("vault", world.stage.vault.get("audience")),
    }
    wanted = {
        file: audience for file, (target, audience) in audiences.items() if target in settings
    }
    answer = run_actor(
        world,
        "project",
        {"home": str(home), "audiences": wanted},
        world.world.environment(Network.CORPORATE) | agent_environment(home),
    )
    if "written" not in answer:
        raise FootholdError(f"tokens for {home.name}: {answer.get('broke') or 'no answer'}")
    return {name: (home / name).read_text() for name in wanted}


def actor_folder(world: Deployment, name: str) -> Path:
    """Make a new folder for one actor of this world."""
    folder = world.world.folder / "actors" / f"{next(_numbers)}-{name}"
    folder.mkdir(parents=True)
    return folder


def actor_environment(world: Deployment, folder: Path) -> dict[str, str]:
    """Return what every actor's process is given: nothing that says who it is."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "AWS_SDK_UA_APP_ID": f"iamrange-{world.tools.run_id}",
    }


def run_actor(
    world: Deployment, function: str, spec: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Run one actor in a process and a folder of its own; return its report.

    Raises:
        WorldBrokenError: it broke, and so did the world.
    """
    folder = actor_folder(world, function)
    child = world.tools.zygote.spawn(
        f"iamrange.range.actor:{function}",
        {"spec": dict(spec)},
        env={**actor_environment(world, folder), **environment},
        cwd=folder,
        name=function,
        stdout=folder / "stdout",
        stderr=folder / "stderr",
    )
    try:
        answer: dict[str, Any] = child.receive(ACTOR_SECONDS)
        child.wait(ACTOR_SECONDS)
    except ProcessError as error:
        answer = {"broke": f"the {function} process: {error}"}
    # a client's word for a refusal is what some server has told it
    answer |= {name: redacted(answer[name]) for name in ("refused", "broke") if name in answer}
    if "broke" in answer:
        world.world.check()  # the world's own end explains it better
    return answer
