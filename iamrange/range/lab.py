"""Where attacks happen: one fresh world an attack, footholds taken from victims that worked.

- A world that was attacked is never used again: each attack gets a fork, and the fork is stopped.
- A foothold is what really lay in the victim's memory or files after its legitimate work.
- After a refused attack the victim, re-issued, and a bystander must still get their work done.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from iamrange.core.scenario import Asset, AssetKind, Material, Network, Part
from iamrange.core.verdict import Attempt, Judgement, Legitimate, Trial, Verdict, judge
from iamrange.engine.errors import EngineError
from iamrange.identity.agent_home import AWS_TOKEN, GOOGLE_TOKEN, agent_environment
from iamrange.range.catalogue import GUARDS, Entry
from iamrange.range.deployment import CancelledError, Deployment, DeploymentError
from iamrange.range.processes import ProcessError
from iamrange.range.rogues import LACKING, ROGUES
from iamrange.range.stage import StageError
from iamrange.range.workloads import WORKLOADS, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.core.scenario import Scenario, Workload
    from iamrange.range.deployment import Deployment

ACTOR_SECONDS = 60.0
FRESH_SECONDS = 120.0
"""How long something taken is used again: tokens live 300 s and must outlive the attack."""

INCIDENT_DELAY = 2.0
"""AWS tells moments of issue apart by whole seconds: the world's clock is moved by this much."""


class FootholdError(Exception):
    """The victim's legitimate work did not go well, so there is nothing to take."""


class WorkBrokeError(ProcessError):
    """An agent's work was neither done nor refused: that says nothing about any control."""


BROKE = (FootholdError, ProcessError, EngineError, DeploymentError, StageError, OSError)
"""What ends one attack as an error of the range, and lets the run go on with the others."""


@dataclass(frozen=True, slots=True)
class _Footing:
    """What a victim left behind, and when."""

    work: Legitimate
    material: Mapping[str, Any]
    taken_at: float


class Snapshot:
    """A world kept as it is, from which attacks are forked; victims do their work in it."""

    def __init__(self, deployment: Deployment) -> None:
        """Take the deployment over."""
        self.deployment = deployment
        self._footings: dict[tuple[Any, ...], _Footing] = {}

    def footing(self, scenario: Scenario) -> _Footing:
        """Return what the scenario's attacker starts with, taken anew when it is old.

        Raises:
            FootholdError: the victim could not work.
        """
        foothold = scenario.foothold
        workload = name_of(scenario.legitimate)
        key = (foothold.victim, foothold.takes, foothold.tenant, workload)
        with self.deployment.lock:
            known = self._footings.get(key)
            if known is None or time.monotonic() - known.taken_at > FRESH_SECONDS:
                known = self._footings[key] = self._take(scenario)
            return known

    def _take(self, scenario: Scenario) -> _Footing:
        foothold = scenario.foothold
        deployment = self.deployment
        home = deployment.homes[foothold.victim]
        if foothold.tenant is not None:
            tokens = project_tokens(
                deployment, deployment.enrolment.namesake(foothold.victim, foothold.tenant)
            )
        else:
            tokens = project_tokens(deployment, home)
        work, memory = do_work(deployment, foothold.victim, scenario.legitimate, "before")
        if not work.ok:
            raise FootholdError(f"{work.part} could not do its work: {work.detail}")
        offered: Mapping[Material, dict[str, Any]] = {
            Material.AWS_TOKEN: {"token": tokens.get(AWS_TOKEN)},
            Material.GCP_TOKEN: {"token": tokens.get(GOOGLE_TOKEN)},
            Material.AWS_SESSION: {"aws_session": memory if "session_token" in memory else None},
            Material.GCP_ACCESS_TOKEN: {"gcp_access_token": memory.get("access_token")},
        }
        material = offered[foothold.takes]
        if not all(material.values()):
            raise FootholdError(f"{foothold.victim}: no {foothold.takes} found after its work")
        return _Footing(work, material, time.monotonic())

    def stop(self) -> None:
        """Stop its world."""
        self.deployment.stop()


class Lab:
    """Makes worlds, attacks in them, and judges."""

    def __init__(self, base: Deployment, *, keep_snapshots: bool = False) -> None:
        """Attack forks of this base.

        With `keep_snapshots` a world with controls off serves every scenario of a matrix; else it
        goes once its one attack is over.
        """
        self._base = Snapshot(base)
        self._keep = keep_snapshots
        self._snapshots: dict[frozenset[str], Snapshot] = {}
        self._making: defaultdict[frozenset[str], threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what it made."""
        self.stop()

    def cancel(self) -> None:
        """End the attacks that other threads have in flight, and let none begin."""
        self._base.deployment.tools.cancel()

    def attack(self, entry: Entry, off: frozenset[str], rogue: str | None = None) -> Trial:
        """Attack once, in a fresh world, with exactly these controls off.

        Raises:
            CancelledError: the run is being ended.
        """
        started = time.monotonic()
        tools = self._base.deployment.tools
        try:
            with self._snapshot(entry, off) as snapshot:
                footing = snapshot.footing(entry.scenario)
                name, arguments = _tamper_of(entry, rogue)
                world = snapshot.deployment.fork(rogue=name, rogue_arguments=arguments)
                with world:
                    return self._attack_in(world, entry, footing, off, rogue, started)
        except BROKE as error:
            if tools.cancelled.is_set():
                raise CancelledError from error
            return Trial(
                scenario=entry.id,
                off=off,
                rogue=rogue,
                judgement=Judgement(verdict=Verdict.ERROR, detail=str(error)),
                records=(),
                legitimate=(),
                seconds=time.monotonic() - started,
            )

    def stop(self) -> None:
        """Stop every snapshot but the base, which is its owner's."""
        with self._guard:
            for snapshot in self._snapshots.values():
                snapshot.stop()
            self._snapshots.clear()

    def _attack_in(  # noqa: PLR0913, PLR0917 - the parts of one trial
        self,
        world: Deployment,
        entry: Entry,
        footing: _Footing,
        off: frozenset[str],
        rogue: str | None,
        started: float,
    ) -> Trial:
        scenario = entry.scenario
        if scenario.incident:
            declare_incident(world, scenario.foothold.victim, off)
        if scenario.ages:
            world.world.set_clock(scenario.ages)
        _, mark = world.world.records_since(0)
        attempt = _attempt(world, entry, footing)
        records, _ = world.world.records_since(mark)
        judgement = judge(
            attempt,
            canary=world.canaries[scenario.asset],
            records=records,
            known=GUARDS,
            under_test=entry.guards,
        )
        legitimate = [footing.work]
        if judgement.verdict is not Verdict.SUCCEEDED:
            for part, when in ((scenario.bystander, "during"), (scenario.foothold.victim, "after")):
                work, _ = do_work(world, part, _workload_of(scenario, part), when)
                legitimate.append(work)
        return Trial(
            scenario=entry.id,
            off=off,
            rogue=rogue,
            judgement=judgement,
            records=tuple(records),
            legitimate=tuple(legitimate),
            seconds=time.monotonic() - started,
        )

    @contextlib.contextmanager
    def _snapshot(self, entry: Entry, off: frozenset[str]) -> Iterator[Snapshot]:
        """Yield the world to fork from: the base, or a fork of it with these controls off.

        For an incident the base serves every time: what is off is switched with the response.
        """
        if off == self._base.deployment.off or entry.scenario.incident:
            yield self._base
            return
        with self._making[off]:
            with self._guard:
                snapshot = self._snapshots.get(off)
            if snapshot is None:
                snapshot = self._make(off)
                if self._keep:
                    with self._guard:
                        self._snapshots[off] = snapshot
        try:
            yield snapshot
        finally:
            if not self._keep:
                snapshot.stop()

    def _make(self, off: frozenset[str]) -> Snapshot:
        fork = self._base.deployment.fork()
        try:
            fork.reconfigure(off=off)
        except BaseException:
            fork.stop()
            raise
        return Snapshot(fork)


def _tamper_of(entry: Entry, rogue: str | None) -> tuple[str | None, dict[str, str] | None]:
    """Return the declared tamper, and its arguments, that makes a rogue cloud.

    `rogue` is the name that an invariant of this scenario gives its rogue, the id of any guard
    that the cloud is to lack, or the name of a declared tamper.
    """
    if rogue is None or (rogue in ROGUES and rogue != LACKING):
        return rogue, None
    named = (g.id for g in entry.scenario.blocked_by if getattr(g, "rogue", None) == rogue)
    return LACKING, {"guard": next(named, rogue)}


def _workload_of(scenario: Scenario, part: Part) -> Workload:
    """Return what a part does while the victim's own powers are not everybody's."""
    if part == scenario.foothold.victim:
        return scenario.legitimate
    gcp = scenario.legitimate.asset_kind is AssetKind.GCP_SECRET
    return WORKLOADS["READS_OWN_GCP_SECRET" if gcp else "READS_OWN_AWS_SECRET"]


def _attempt(world: Deployment, entry: Entry, footing: _Footing) -> Attempt:
    """Run the attack in a process that holds the foothold, an environment, and nothing else."""
    spec = {
        "module": entry.module,
        "knows": world.stage.known_to(entry.scenario),
        **footing.material,
    }
    answer = run_actor(
        world,
        "attack",
        spec,
        world.world.environment(entry.scenario.network)
        | {"AWS_DEFAULT_REGION": world.landing.region},
    )
    return Attempt(
        loot=tuple(answer.get("loot", ())),
        refused=answer.get("refused"),
        request_id=answer.get("request_id"),
        broke=answer.get("broke"),
    )


def do_work(
    world: Deployment, part: Part, workload: Workload, when: str
) -> tuple[Legitimate, Mapping[str, str]]:
    """Have an agent do its work; return how it went and what then lies in its memory.

    It went well only if the nonce that it read is the value planted for this run.

    Raises:
        WorkBrokeError: it was neither done nor refused.
    """
    expected = world.canaries[Asset(workload.asset_kind, part)]
    answer = run_actor(
        world,
        "work",
        {
            "workload": name_of(workload),
            "facts": world.stage.facts(workload.knows, victim=part),
        },
        world.world.environment(Network.CORPORATE) | agent_environment(world.homes[part]),
    )
    if answer.get("nonce") == expected:
        return Legitimate(part=part, when=when, ok=True), answer["memory"]
    if "nonce" in answer:
        return Legitimate(part=part, when=when, ok=False, detail="read another value"), {}
    if "refused" not in answer:
        raise WorkBrokeError(f"work of {part}, {when} the attack: {answer.get('broke')}")
    return Legitimate(part=part, when=when, ok=False, detail=answer["refused"]), {}


def project_tokens(world: Deployment, home: Path) -> dict[str, str]:
    """Have an agent's tokens projected into its home; return file name -> token.

    Raises:
        FootholdError: the issuer did not give them.
    """
    wanted = {AWS_TOKEN: world.stage.aws["audience"], GOOGLE_TOKEN: world.stage.gcp["audience"]}
    settings = json.loads((home / "agent.json").read_text())
    if "aws" not in settings:
        del wanted[AWS_TOKEN]
    answer = run_actor(
        world,
        "project",
        {"home": str(home), "audiences": wanted},
        world.world.environment(Network.CORPORATE) | agent_environment(home),
    )
    if "written" not in answer:
        raise FootholdError(f"tokens for {home.name}: {answer.get('broke') or 'no answer'}")
    return {name: (home / name).read_text() for name in wanted}


def declare_incident(world: Deployment, victim: Part, off: frozenset[str]) -> None:
    """Declare the victim's incident: a new key for the agent, and the stack's response.

    The world's clock moves on, so that what is issued afterwards is told apart.
    """
    offset = INCIDENT_DELAY
    moment = datetime.fromtimestamp(time.time() + offset, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.reconfigure(off=off, incidents={victim.value: moment})
    world.world.set_clock(2 * offset)
    world.homes[victim] = world.enrolment.one(victim, world.world.folder / "reissued")


_numbers = itertools.count(1)


def run_actor(
    world: Deployment, function: str, spec: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Run one actor in a process and a folder of its own; return its report.

    Raises:
        WorldBrokenError: it broke, and so did the world.
    """
    folder = world.world.folder / "actors" / f"{next(_numbers)}-{function}"
    folder.mkdir(parents=True)
    child = world.tools.zygote.spawn(
        f"iamrange.range.actor:{function}",
        {"spec": dict(spec)},
        env={
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "AWS_SDK_UA_APP_ID": f"iamrange-{world.tools.run_id}",
            **environment,
        },
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
    if "broke" in answer:
        world.world.check()  # the world's own end explains it better
    return answer
