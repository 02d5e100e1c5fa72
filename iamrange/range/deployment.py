"""A stack, deployed into a world by the real engine: the base of a run, and its snapshots.

- One `pulumi up` makes the base. A snapshot forks the world and copies the stack's state, and a
  control goes off there by another real `pulumi up`.
- Switching a control may change what the control declares that it touches, and nothing else.
"""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from iamrange.core.control import SwitchedIn
from iamrange.core.controls import control_named
from iamrange.core.scenario import AssetKind
from iamrange.engine.errors import EngineError, OperationError
from iamrange.engine.run import THROWAWAY, Engine, ProgramHosts
from iamrange.engine.workspace import Workspace
from iamrange.range.agents import Enrolment
from iamrange.range.canaries import canaries_for, planting
from iamrange.range.catalogue import response_controls
from iamrange.range.emulator import in_fresh_accounts
from iamrange.range.landing import Landing, LandingError, landing_of, stack_config
from iamrange.range.people import enrol_people
from iamrange.range.processes import ProcessError, Zygote
from iamrange.range.services import OUR_SERVICES
from iamrange.range.stage import Stage, stage_from_outputs
from iamrange.range.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from iamrange.core.scenario import Asset, Part
    from iamrange.engine.events import Progress, Step
    from iamrange.engine.run import OperationResult
    from iamrange.range.config import WorldConfig
    from iamrange.range.emulator import Emulator
    from iamrange.range.processes import Child

STACK_FOLDER = "stack"
_START_SECONDS = 60.0
_PLANT_SECONDS = 120.0
_END_SECONDS = 5.0
_REFUSED_SETTING = re.compile(r"(?:iamrange|aws):[^\n]+?: expected [^\n]+")
"""What the program says of a setting that it cannot work with (`infra.expectations`)."""


class DeploymentError(Exception):
    """The stack could not be deployed, or switching a control did what it must not."""


class CancelledError(Exception):
    """The run is being ended, so nothing more is begun."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every deployment of a run is made with."""

    zygote: Zygote
    cli: Path
    program: ProgramHosts
    project: Path
    stack: str
    run_id: str
    emulator: Emulator | None = None
    policy: Path | None = None
    engines: set[Engine] = field(default_factory=set)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End all that threads of this run have in flight, and let nothing more begin."""
        self.cancelled.set()
        self.zygote.stop()
        running = tuple(self.engines)
        for engine in running:
            engine.interrupt()
        for engine in running:  # asked once more, the engine waits for nothing
            engine.interrupt()


@dataclass(slots=True)
class Deployment:
    """One world with one stack in it. `homes` are the agents' home folders.

    `off` are the controls that are off here, the stack's own included. `owns_resources` tells that
    resources outside the world end with it: they must be deleted.
    """

    tools: Tools
    landing: Landing
    world: World
    engine: Engine
    stage: Stage
    canaries: Mapping[Asset, str]
    people: Mapping[str, Path]
    """Who approves: SPIFFE id -> the file of the private key."""
    homes: dict[Part, Path]
    off: frozenset[str]
    up_seconds: float = 0.0
    owns_resources: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def create(
        cls,
        tools: Tools,
        progress: Progress | None = None,
        *,
        off: frozenset[str] | None = None,
    ) -> Deployment:
        """Start a world, deploy the stack, plant the canaries and enrol the agents.

        With `off` exactly these controls are off, instead of the stack's own.

        Raises:
            DeploymentError, LandingError, StageError, EngineError, ProcessError: it could not.
        """
        with contextlib.ExitStack() as undo:
            config = _config_of(tools, off)
            landing = landing_of(config)
            world = World.start(_world_config(tools, landing), zygote=tools.zygote)
            undo.callback(world.stop)
            workspace = Workspace.create(tools.project, world.folder / STACK_FOLDER, tools.stack)
            engine = Engine(tools.cli, workspace, program=tools.program)
            engine.init()
            if tools.emulator is not None or off is not None:
                engine.set_config(config)
            if tools.emulator is not None:
                undo.callback(_clear, tools, landing, world, engine)
            with served(tools, landing, world, engine):
                result = _first_up(engine, progress)
            stage = stage_from_outputs(result.outputs)
            canaries = canaries_for(stage)
            _plant(tools, planting(world, landing, stage, canaries))
            for asset, value in canaries.items():
                if asset.kind in OUR_SERVICES:
                    world.control(
                        "plant", url=stage.place_of(asset), value=value, owner=_owner(stage, asset)
                    )
                elif asset.kind is AssetKind.DATABASE_RECORDS:
                    # a database is told when it starts
                    world.control("plant_in_database", reader=stage.place_of(asset), value=value)
            enrolment = Enrolment(world, stage, tools.run_id, landing)
            deployment = cls(
                tools=tools,
                landing=landing,
                world=world,
                engine=engine,
                stage=stage,
                canaries=canaries,
                people=enrol_people(world, landing.people),
                homes=enrolment.all(),
                off=landing.off,
                up_seconds=result.seconds,
                owns_resources=tools.emulator is not None,
            )
            undo.pop_all()
            return deployment

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop its world."""
        self.stop()

    def stop(self) -> None:
        """End the world and remove all that it had."""
        try:
            if self.owns_resources:
                _clear(self.tools, self.landing, self.world, self.engine)
        finally:
            self.world.stop()

    @property
    def enrolment(self) -> Enrolment:
        """How agents are enrolled here."""
        return Enrolment(self.world, self.stage, self.tools.run_id, self.landing)

    def fork(
        self, *, rogue: str | None = None, rogue_arguments: Mapping[str, Any] | None = None
    ) -> Deployment:
        """Snapshot the world as it is; the stack's state is shared until `copied` is asked for."""
        with self.lock:
            world = self.world.fork(rogue=rogue, rogue_arguments=rogue_arguments)
        return Deployment(
            tools=self.tools,
            landing=self.landing,
            world=world,
            engine=self.engine,
            stage=self.stage,
            canaries=self.canaries,
            people=self.people,
            homes=dict(self.homes),
            off=self.off,
        )

    def reconfigure(
        self,
        *,
        off: Iterable[str] = (),
        incidents: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Switch exactly these controls off in this fork, where each is switched.

        What is provisioned changes by a real `pulumi up` on a copy of the state.

        Raises:
            DeploymentError: it changed a resource of a type that no switched control touches.
        """
        off = frozenset(off)
        switched = off ^ self.off
        provisioned = frozenset(
            name for name in switched if control_named(name).switched_in is SwitchedIn.STACK
        )
        if switched - provisioned:
            self.world.control("switch", off=sorted(off))
        if provisioned or incidents is not None:
            self._redeploy(off, provisioned, incidents, progress)
        self.off = off

    def _redeploy(
        self,
        off: frozenset[str],
        provisioned: frozenset[str],
        incidents: Mapping[str, str] | None,
        progress: Progress | None,
    ) -> None:
        self.engine = self.engine.copy_to(self.world.folder / STACK_FOLDER, THROWAWAY)
        self.engine.set_config({"iamrange:controls": dict.fromkeys(sorted(off), False)})
        if incidents is not None:
            self.engine.set_config({"iamrange:incidents": dict(incidents)})
        with served(self.tools, self.landing, self.world, self.engine):
            result = self.engine.up(progress=progress)
        if incidents is None:
            _check_touched(provisioned, result.changed)


def _config_of(tools: Tools, off: frozenset[str] | None) -> Mapping[str, Any]:
    """Return the stack's config: in accounts of this world's own where others use the emulator."""
    config = stack_config(tools.project, tools.stack)
    if tools.emulator is not None:
        config = in_fresh_accounts(config)
    if off is not None:
        config = {**config, "iamrange:controls": dict.fromkeys(sorted(off), False)}
    return config


def _world_config(tools: Tools, landing: Landing) -> WorldConfig:
    config = landing.world_config(tools.run_id)
    if tools.policy is not None:
        config = replace(config, policy=str(tools.policy))
    if tools.emulator is None:
        return config
    return replace(
        config,
        aws_upstream=tools.emulator.url,
        aws_upstream_kind=tools.emulator.kind,
        aws_upstream_lacking=tools.emulator.lacking,
    )


def _clear(tools: Tools, landing: Landing, world: World, engine: Engine) -> None:
    """Delete what a world has made outside itself.

    Raises:
        DeploymentError: something of it is still there; the message has the engine's own words.
    """
    if tools.cancelled.is_set():
        return  # the world is ended at once; its accounts are its own, and nobody else's
    try:
        with served(tools, landing, world, engine):
            engine.destroy()
    except (EngineError, ProcessError) as error:
        where = tools.emulator.url if tools.emulator is not None else "outside"
        accounts = ", ".join((landing.management, *landing.members))
        raise DeploymentError(
            f"emulator at {where}: what this run has made in accounts {accounts} is not all "
            f"deleted: {error}"
        ) from error


@contextlib.contextmanager
def served(tools: Tools, landing: Landing, world: World, engine: Engine) -> Iterator[Child]:
    """Serve the embedded providers of a world while the block runs, for the engine to use."""
    child = tools.zygote.spawn(
        "iamrange.range.provider_host:serve_providers",
        {"clouds": landing.clouds_of(world)},
        cwd=world.folder,
        name="providers",
        stderr=world.folder / "providers.log",
        serves=True,
    )
    try:
        answer = child.receive(_START_SECONDS)
        engine.environment["PULUMI_DEBUG_PROVIDERS"] = answer["debug_providers"]
        tools.engines.add(engine)
        yield child
    finally:
        tools.engines.discard(engine)
        child.kill()
        with contextlib.suppress(ProcessError):
            child.wait(_END_SECONDS)


def _first_up(engine: Engine, progress: Progress | None) -> OperationResult:
    """Deploy the stack as its config declares it.

    Raises:
        LandingError: the program refused the config, before it declared anything.
        EngineError: the engine failed.
    """
    try:
        return engine.up(progress=progress)
    except OperationError as error:
        refused = _REFUSED_SETTING.search(str(error))
        if refused is None:
            raise
        raise LandingError(f"stack config {refused[0]}") from error


def _owner(stage: Stage, asset: Asset) -> str | None:
    """Return whose record an asset is, where it is one agent's alone."""
    if asset.kind is not AssetKind.AGENT_RECORD or asset.of is None:
        return None
    return stage.agents[asset.of]["spiffe_id"]


def _plant(tools: Tools, orders: Mapping[str, Any]) -> None:
    child = tools.zygote.spawn(
        "iamrange.range.canaries:plant", {"spec": orders}, name="planting of canaries"
    )
    planted = child.receive(_PLANT_SECONDS)
    child.wait(_END_SECONDS)
    if planted != len(orders["values"]):
        raise DeploymentError(
            f"canaries: expected {len(orders['values'])} planted, got {planted!r}"
        )


def _check_touched(switched: frozenset[str], changed: Iterable[Step]) -> None:
    """Hold a switch to what its control declares.

    Raises:
        DeploymentError: another type of resource changed, or none although no incident is needed.
    """
    controls = [control_named(name) for name in switched]
    allowed = {kind for control in controls for kind in control.touches}
    types = {step.type for step in changed if step.type != "pulumi:pulumi:Stack"}
    names = ", ".join(sorted(control.id for control in controls))
    if types - allowed:
        raise DeploymentError(
            f"switching {names}: changed {', '.join(sorted(types - allowed))}, "
            f"declared are {', '.join(sorted(allowed)) or 'none'}"
        )
    if not types and not response_controls().issuperset(switched):
        raise DeploymentError(f"switching {names}: expected a change, the program made none")
