"""Where attacks happen: one fresh world an attack, footholds taken from victims that worked.

- A world that was attacked is never used again: each attack gets a fork, and the fork is stopped.
- After a refused attack the victim, re-issued, and a bystander must still get their work done.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from iamrange.core.controls import control_named
from iamrange.core.scenario import AssetKind, Material, Part, Response
from iamrange.core.verdict import Attempt, Judgement, Trial, Verdict, judge
from iamrange.detect.audit_log import LogDownError
from iamrange.engine.errors import EngineError
from iamrange.range.audited import Audited
from iamrange.range.behaviour_watch import BehaviourWatch, watched
from iamrange.range.catalogue import GUARDS, Entry
from iamrange.range.deployment import CancelledError, Deployment, DeploymentError
from iamrange.range.foothold import OF_ONE_VAULT, Footing, Snapshot
from iamrange.range.hijack import obey
from iamrange.range.history import history_of
from iamrange.range.jail import JailBrokeError
from iamrange.range.leaks import known_secrets, leaked, words_of
from iamrange.range.logged import Logged
from iamrange.range.lying_around import WHERE, LyingAround
from iamrange.range.processes import ProcessError
from iamrange.range.responses import RESPONSES, recover
from iamrange.range.rogues import LACKING, ROGUES
from iamrange.range.stage import StageError
from iamrange.range.vendor import collect_as_vendor
from iamrange.range.work import FootholdError, approving, do_work, run_actor
from iamrange.range.workloads import WORKLOADS
from iamrange.range.world import CommandRefusedError
from iamrange.range.written import loot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iamrange.core.scenario import Scenario, Workload
    from iamrange.core.verdict import Legitimate

BROKE = (
    FootholdError,
    ProcessError,
    CommandRefusedError,
    EngineError,
    DeploymentError,
    StageError,
    JailBrokeError,
    LogDownError,
    OSError,
)
"""What ends one attack as an error of the range, and lets the run go on with the others."""


_WHATEVER_COMES = 1000


class Lab:
    """Makes worlds, attacks in them, and judges."""

    def __init__(
        self,
        base: Deployment,
        *,
        keep_snapshots: bool = False,
        change: Callable[[Deployment], None] | None = None,
    ) -> None:
        """Attack forks of this base.

        With `keep_snapshots` a world with controls off serves every scenario of a matrix, until it
        is let go; else it goes once its one attack is over. `change` is done to each world whose
        controls were switched, once they are: for a base to which it was done, and that a switch
        may undo.
        """
        self._base = Snapshot(base)
        self._keep = keep_snapshots
        self._change = change
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

    def let_go(self, off: frozenset[str]) -> None:
        """Stop the world that was kept for these controls being off: nobody attacks there again."""
        with self._guard:
            snapshot = self._snapshots.pop(off, None)
        if snapshot is not None:
            snapshot.stop()

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
        footing: Footing,
        off: frozenset[str],
        rogue: str | None,
        started: float,
    ) -> Trial:
        scenario = entry.scenario
        if scenario.response is not None:
            RESPONSES[scenario.response](world, scenario.foothold.victim, off)
        if scenario.ages:
            world.world.set_clock(scenario.ages)
        footing, audited, lying = _taken_here(world, scenario, footing)
        weary = scenario.wearies_after
        with (
            _under_watch(world, scenario) as watch,
            approving(world, 0 if weary is None else _WHATEVER_COMES, waiting=weary or 1),
        ):
            _, mark = world.world.records_since(0)
            attempt = _attempt(world, entry, footing)
            if watch is not None:
                watch.settle()
        world.world.collect_handshakes()
        records, _ = world.world.records_since(mark)
        if watch is not None:
            recover(world, scenario.foothold.victim, watch)
        if audited is not None and attempt.broke is None and attempt.refused is None:
            won = audited.silent()
            attempt = replace(attempt, loot=(world.canaries[scenario.asset],) if won else ())
            records += [found for found in (audited.found(),) if found is not None]
        if lying is not None:
            records += [found for found in (lying.searched(),) if found is not None]
        judgement = judge(
            attempt,
            canary=world.canaries[scenario.asset],
            records=records,
            known=GUARDS,
            under_test=entry.guards,
            decoy=lying.decoy if lying is not None else None,
        )
        legitimate = [footing.work]
        if judgement.verdict is not Verdict.SUCCEEDED:
            legitimate += _work_goes_on(world, scenario)
        said = words_of(judgement, records, legitimate)
        leak = leaked(world, known_secrets(world, footing.material), said)
        if leak is not None:
            detail = f"the range wrote a secret down: {leak}"
            judgement = Judgement(verdict=Verdict.ERROR, detail=detail)
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

        With a response the base serves every time: what is off is switched with the response.
        """
        if off == self._base.deployment.off or entry.scenario.response is not None:
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
        base = self._base.deployment
        if base.tools.emulator is not None and _kept_outside(off ^ base.off):
            # a fork would share what is switched with the base: a deployment of its own then
            return Snapshot(Deployment.create(base.tools, off=off))
        fork = base.fork()
        try:
            fork.reconfigure(off=off)
            if self._change is not None:
                self._change(fork)
        except BaseException:
            fork.stop()
            raise
        return Snapshot(fork)


def _work_goes_on(world: Deployment, scenario: Scenario) -> list[Legitimate]:
    """Have whoever must get work done once the attack was refused do it."""
    done = [
        do_work(world, part, workload_of(scenario, part), when)[0]
        for part, when in _workers(scenario)
    ]
    if scenario.foothold.takes is Material.VENDOR_SESSION:
        done.append(collect_as_vendor(world, "after")[0])
    return done


def _taken_here(
    world: Deployment, scenario: Scenario, footing: Footing
) -> tuple[Footing, Audited | None, LyingAround | Logged | None]:
    """Take what only the attacked world itself has: its vault's sessions, its log, its folders."""
    takes, victim = scenario.foothold.takes, scenario.foothold.victim
    if takes in OF_ONE_VAULT:
        return Snapshot(world).footing(scenario), None, None
    if takes in WHERE:
        lying = LyingAround(world, scenario.foothold)
        return replace(footing, material={"folder": str(lying.folder)}), None, lying
    if takes is Material.LOG_READER:
        return footing, None, Logged(world, scenario)
    if takes is not Material.LOG_FOLDER:
        return footing, None, None
    done, _ = do_work(world, victim, scenario.legitimate, "before")
    audited = Audited(world, victim)
    return replace(footing, work=done, material={"folder": str(audited.folder)}), audited, None


_IN_THE_WORLD = ("aws:iam/", "aws:organizations/", "gcp:", "vault:")
"""Types that a world holds itself, and that a fork carries along, whatever the target."""


def _kept_outside(switched: frozenset[str]) -> bool:
    """Tell whether switching these controls changes what an emulator keeps."""
    return any(
        not kind.startswith(_IN_THE_WORLD)
        for name in switched
        for kind in control_named(name).touches
    )


def _tamper_of(entry: Entry, rogue: str | None) -> tuple[str | None, dict[str, str] | None]:
    """Return the declared tamper, and its arguments, that makes a rogue cloud.

    `rogue` is the name that an invariant of this scenario gives its rogue, the id of any guard
    that the cloud is to lack, or the name of a declared tamper.
    """
    if rogue is None or (rogue in ROGUES and rogue != LACKING):
        return rogue, None
    named = (g.id for g in entry.scenario.blocked_by if getattr(g, "rogue", None) == rogue)
    return LACKING, {"guard": next(named, rogue)}


_ANYBODYS_WORK: Mapping[AssetKind, str] = {
    AssetKind.GCP_SECRET: "READS_OWN_GCP_SECRET",
    AssetKind.SERVICE_RECORDS: "READS_SERVICE_RECORDS",
    AssetKind.VAULT_SECRET: "READS_OWN_VAULT_SECRET",
    AssetKind.VAULT_BOOTSTRAP: "READS_OWN_VAULT_SECRET",
    AssetKind.DATABASE_RECORDS: "QUERIES_OWN_RECORDS",
}
"""What an agent does, by what the victim works on, where the victim's powers are its own alone."""


def _workers(scenario: Scenario) -> tuple[tuple[Part, str], ...]:
    """Return who must get work done once the attack was refused, and when that is."""
    victim = scenario.foothold.victim
    during = (scenario.bystander, "during")
    # whoever was retired works no more
    retired = scenario.response is Response.OFFBOARDING
    return (during,) if retired else (during, (victim, "after"))


def workload_of(scenario: Scenario, part: Part) -> Workload:
    """Return what a part does while the victim's own powers are not everybody's."""
    if part == scenario.foothold.victim:
        return scenario.legitimate
    kind = scenario.legitimate.asset_kind
    return WORKLOADS[_ANYBODYS_WORK.get(kind, "READS_OWN_AWS_SECRET")]


@contextlib.contextmanager
def _under_watch(world: Deployment, scenario: Scenario) -> Iterator[BehaviourWatch | None]:
    """Have the agents watched, by whoever has seen the scenario's history; None: nobody does.

    Raises:
        FootholdError: the victim could not work, so there is no history.
    """
    if scenario.history is None:
        yield None
        return
    taught = history_of(world, scenario)
    with watched(world, teach=taught) as watch:
        yield watch
        watch.check()


def _attempt(world: Deployment, entry: Entry, footing: Footing) -> Attempt:
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
    if entry.scenario.foothold.takes is Material.DOCUMENT and "broke" not in answer:
        victim, asset = entry.scenario.foothold.victim, entry.scenario.asset
        answer = obey(world, victim, answer["documents"], asset)
    return Attempt(
        loot=loot_of(world, entry.scenario.asset, answer),
        refused=answer.get("refused"),
        request_id=answer.get("request_id"),
        broke=answer.get("broke"),
    )
