"""The main job: bring a base up, attack, take controls away, attack again, and say what is proved.

- Scenarios run side by side, as many as there are cores; each on worlds of its own.
- However a run ends, nothing is left running; what a crashed one left is swept at the next start.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from iamrange.core.controls import CONTROLS, Control, Invariant, UnknownNameError
from iamrange.core.result import Cell, RunResult, ScenarioResult
from iamrange.core.scenario import Ability, Part
from iamrange.engine.prepare import prepare
from iamrange.range.ablation import not_evaluated, prove_scenario
from iamrange.range.catalogue import GUARDS, Entry, chosen
from iamrange.range.deployment import Deployment, Tools
from iamrange.range.emulator import find_emulator, localstack_url
from iamrange.range.hijack import Hijacked, read
from iamrange.range.jail import machine_jails
from iamrange.range.lab import Lab
from iamrange.range.processes import ProcessError, Zygote
from iamrange.range.programs import ZygotePrograms
from iamrange.range.sweep import sweep, worlds_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.core.verdict import Trial
    from iamrange.engine.events import Step

PROJECT = Path(__file__).resolve().parents[2]
VERSIONS = ("iamrange", "pulumi", "pulumi-aws", "pulumi-gcp", "boto3", "google-auth", "moto")
ROOM_FOR_WORLDS = 64 << 20
"""Bytes. An engine that cannot write its state half-way takes half a minute to say so."""

TARGETS: dict[str, str] = {"embedded": "lab", "localstack": "localstack"}
"""What `--target` may be: target -> stack."""

ABILITIES: dict[str, frozenset[Ability]] = {
    "embedded": frozenset(Ability),
    "localstack": frozenset(Ability) - {Ability.RUNS_FUNCTIONS},
}
"""What each target is able to do; a scenario that needs more is not evaluated there."""


def lacking(entry: Entry, target: str) -> Mapping[Ability, str]:
    """Return what a scenario needs and a target has not, on this machine, and why not."""
    needs = entry.scenario.needs
    found = dict.fromkeys(needs - ABILITIES[target], f"the target {target} has it not")
    if Ability.JAILS_AGENTS in needs and (unable := machine_jails()) is not None:
        found[Ability.JAILS_AGENTS] = f"this machine refuses: {unable.step}: {unable.detail}"
    return found


class Progress(Protocol):
    """Hears how a run goes on."""

    def step(self, message: str) -> None:
        """Hear what is done now."""
        ...

    def resource(self, step: Step) -> None:
        """Hear of one resource of the base's `up`."""
        ...

    def attacked(self, trial: Trial) -> None:
        """Hear of one attack."""
        ...

    def scenario(self, result: ScenarioResult) -> None:
        """Hear of one scenario that is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What one run is to do. `project` is the folder that holds Pulumi.yaml.

    Worlds follow the folder `policy`; without one a policy stays as it is for the whole run.
    """

    scenarios: tuple[str, ...] = ()
    target: str = "embedded"
    matrix: bool = False
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    project: Path = PROJECT
    policy: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @property
    def stack(self) -> str:
        """The stack that the target is deployed as."""
        return TARGETS[self.target]


def run(options: RunOptions, progress: Progress) -> RunResult:
    """Run the chosen scenarios and return what was found out.

    Raises:
        UnknownNameError: a scenario is not known.
        EngineError, ProcessError, DeploymentError, StageError, LandingError: the range broke.
    """
    entries = chosen(options.scenarios)
    started, began = time.time(), time.monotonic()
    with workshop(options, progress) as tools:
        progress.step(f"pulumi up of the stack '{tools.stack}'")
        with (
            Deployment.create(tools, progress.resource) as base,
            Lab(base, keep_snapshots=options.matrix) as lab,
        ):
            progress.step(f"attack: {len(entries)} scenarios, {options.jobs} at once")
            results = _prove_all(entries, lab, base.off, options.target, options.jobs, progress)
            cells = _matrix(entries, lab, options, progress) if options.matrix else ()
            unevaluated = tuple(
                dict.fromkeys(
                    element
                    for result in results
                    for trial in _trials_of(result)
                    for record in trial.records
                    for element in record.unevaluated
                )
            )
            return RunResult(
                run_id=tools.run_id,
                target=options.target,
                started=started,
                seconds=time.monotonic() - began,
                versions={name: version(name) for name in VERSIONS},
                scenarios=results,
                off_in_stack=tuple(sorted(base.off)),
                matrix=cells,
                unevaluated=unevaluated,
            )


def attack_once(
    scenario: str, without: Sequence[str], options: RunOptions, progress: Progress
) -> Trial:
    """Attack once, on a fresh range, without the named controls, or on an invariant's rogue.

    Raises:
        UnknownNameError: the scenario, or something that is to be taken away, is not known.
        EngineError, ProcessError, DeploymentError, StageError, LandingError: the range broke.
    """
    (entry,) = chosen([scenario])
    taken = _guards(without)
    if missing := lacking(entry, options.target):
        return not_evaluated(entry, missing).trial
    off = frozenset(guard.id for guard in taken if isinstance(guard, Control))
    rogue = next((guard.rogue for guard in taken if isinstance(guard, Invariant)), None)
    with workshop(options, progress) as tools:
        progress.step(f"pulumi up of the stack '{tools.stack}'")
        with Deployment.create(tools, progress.resource) as base, Lab(base) as lab:
            return lab.attack(entry, base.off | off, rogue)


def hijack_once(
    documents: Sequence[str], without: Sequence[str], options: RunOptions, progress: Progress
) -> Hijacked:
    """Have the support agent read documents once, on a fresh range without the named controls.

    Raises:
        UnknownNameError: a control is not known.
        EngineError, ProcessError, DeploymentError, StageError, LandingError: the range broke.
        JailBrokeError: so did the agent's jail.
    """
    off = frozenset(guard.id for guard in _guards(without, CONTROLS))
    with workshop(options, progress) as tools:
        progress.step(f"pulumi up of the stack '{tools.stack}'")
        with Deployment.create(tools, progress.resource) as base, base.fork() as world:
            world.reconfigure(off=base.off | off)
            progress.step("the agent reads")
            return read(world, Part.SUPPORT_LLM, documents)


def _guards(
    names: Sequence[str], known: Mapping[str, Control | Invariant] = GUARDS
) -> tuple[Control | Invariant, ...]:
    for name in names:
        if name not in known:
            raise UnknownNameError("control", name, tuple(known))
    return tuple(known[name] for name in names)


@contextlib.contextmanager
def workshop(options: RunOptions, progress: Progress) -> Iterator[Tools]:
    """Sweep, find the engine, and start the processes that a run's worlds are made with.

    Raises:
        PrepareError: there is no engine and none could be made.
        ProcessError: the disk is full.
        EmulatorUrlError, EmulatorDownError: the target's emulator is not there.
    """
    swept = sweep()
    if swept:
        progress.step(f"swept what an earlier run had left: {', '.join(swept)}")
    free = shutil.disk_usage(worlds_folder()).free
    if free < ROOM_FOR_WORLDS:
        raise ProcessError(
            f"folder '{worlds_folder()}': expected {ROOM_FOR_WORLDS >> 20} MiB free for worlds, "
            f"got {free >> 20}; way out: free disk space, or set XDG_STATE_HOME to another disk"
        )
    emulator = None
    if options.target == "localstack":
        emulator = find_emulator(localstack_url(options.environment))
        progress.step(f"AWS's resources are kept by {emulator.kind} {emulator.version}")
    cli = prepare()
    run_id = secrets.token_hex(4)
    with Zygote() as zygote:
        yield Tools(
            zygote=zygote,
            cli=cli.path,
            program=ZygotePrograms(zygote),
            project=options.project,
            stack=options.stack,
            run_id=run_id,
            emulator=emulator,
            policy=options.policy,
        )


def _prove_all(  # noqa: PLR0913, PLR0917 - the parts of one run
    entries: Sequence[Entry],
    lab: Lab,
    off_in_stack: frozenset[str],
    target: str,
    jobs: int,
    progress: Progress,
) -> tuple[ScenarioResult, ...]:
    def prove(entry: Entry) -> ScenarioResult:
        if missing := lacking(entry, target):
            return not_evaluated(entry, missing)

        def attack(off: frozenset[str], rogue: str | None = None) -> Trial:
            trial = lab.attack(entry, off, rogue)
            progress.attacked(trial)
            return trial

        return prove_scenario(entry, attack, off_in_stack=off_in_stack)

    results: dict[str, ScenarioResult] = {}
    with _pool(jobs, lab) as pool:
        for future in as_completed([pool.submit(prove, entry) for entry in entries]):
            result = future.result()
            results[result.id] = result
            progress.scenario(result)
    return tuple(results[entry.id] for entry in entries)


def _matrix(
    entries: Sequence[Entry], lab: Lab, options: RunOptions, progress: Progress
) -> tuple[Cell, ...]:
    """Attack each scenario with each single control off.

    A world is kept as long as an attack needs it: a machine gives out watches and memory for some.
    """
    progress.step(f"matrix: {len(entries)} scenarios against {len(CONTROLS)} controls")

    def attack(entry: Entry, control: str) -> Cell:
        off = frozenset({control})
        trial = lab.attack(entry, off)
        with lock:
            left[control] -= 1
            last = not left[control]
        if last:
            lab.let_go(off)
        progress.attacked(trial)
        return Cell(scenario=entry.id, control=control, trial=trial)

    able = [entry for entry in entries if not lacking(entry, options.target)]
    left, lock = dict.fromkeys(CONTROLS, len(able)), threading.Lock()
    with _pool(options.jobs, lab) as pool:
        futures = [pool.submit(attack, entry, control) for control in CONTROLS for entry in able]
        return tuple(future.result() for future in futures)


@contextlib.contextmanager
def _pool(jobs: int, lab: Lab) -> Iterator[ThreadPoolExecutor]:
    """Give threads to attack from; when the block fails, what is in flight ends at once."""
    with ThreadPoolExecutor(jobs, thread_name_prefix="attack") as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            lab.cancel()
            raise


def _trials_of(result: ScenarioResult) -> Iterator[Trial]:
    yield result.trial
    for proof in result.proofs:
        yield proof.with_it
        yield proof.without_it
