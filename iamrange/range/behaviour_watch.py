"""Watches what the agents of a world do, while it runs, and cuts off whom it accuses.

- It reads the world's decision records as they are written. What it finds and does is a record of
  the world's own too, and so an event of the central audit log.
- The directory is changed in the thread that watches; clouds and vault, which take longer, in
  another.
- An agent that a human has released in the directory gets its sessions back, and is judged again.
- Its state is a file: the baselines, who stands accused, and how far each containment is.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.access_controls import CLASSIFICATION
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.core.detect_controls import (
    AUTOMATIC_REVOCATION,
    BEHAVIOUR_BASELINE,
    HARD_LIMITS,
    ISOLATION,
    RESPONSE,
    VAULT_ISOLATION,
    WATCH,
)
from iamrange.detect.behaviour_state import read_saved
from iamrange.detect.containment import Containment
from iamrange.detect.watcher import Watcher
from iamrange.identity.agent import write_private
from iamrange.range.agent_processes import ProcessMeans
from iamrange.range.behaviour_calls import Calls, declared_of
from iamrange.range.behaviour_means import CloudMeans, DirectoryMeans, VaultMeans
from iamrange.range.config import CORPORATE, NETWORKS
from iamrange.range.processes import ProcessError
from iamrange.range.world import CommandRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from iamrange.detect.behaviour import Accusation, Declared
    from iamrange.detect.containment import Step
    from iamrange.range.deployment import Deployment

POLL_SECONDS: Final = 0.05
SAVE_SECONDS: Final = 5.0
RELEASE_SECONDS: Final = 0.5
FRESH_SECONDS: Final = 2.0
"""How long what an agent is registered for is taken as known."""

UNANSWERED_SECONDS: Final = 600.0
"""Where nobody is quarantined: how long an agent stays accused before it is judged again."""

MAX_INCIDENTS: Final = 200
_KNOWN_NOTICES: Final = 4096
_KNOWN_AGENTS: Final = 10_000
PATIENCE_SECONDS: Final = 10.0
"""How long the world may refuse to say whose call it was, before nobody watches any more."""

_PATIENCE: Final = 5.0


class BehaviourWatch:
    """The watch over one world."""

    def __init__(self, deployment: Deployment, *, state: Path | None = None) -> None:
        """Watch this world; go on with the state in the file, if it is there.

        Raises:
            ProcessError: the file cannot be read, or holds something else.
        """
        self._world = deployment.world
        domain = next(iter(deployment.stage.agents.values()))["spiffe_id"].split("/")[2]
        self._calls = Calls(
            deployment.stage.agents.values(),
            NETWORKS,
            domain=domain,
            projects=(deployment.landing.project_number,),
        )
        self._watcher = Watcher(self._declared)
        # one each: who is slow does not keep the directory waiting
        self._means: dict[str, Containment] = {
            AUTOMATIC_REVOCATION.id: Containment([DirectoryMeans(self._world)]),
            ISOLATION.id: Containment([ProcessMeans.of(deployment), CloudMeans(deployment)]),
            VAULT_ISOLATION.id: Containment([VaultMeans(deployment)]),
        }
        self._off: frozenset[str] = frozenset()
        self._known: dict[str, tuple[float, Declared | None, str]] = {}
        self._noticed: deque[tuple[str, str, str]] = deque(maxlen=_KNOWN_NOTICES)
        self._accused_at: dict[str, float] = {}
        self._incidents: deque[dict[str, Any]] = deque(maxlen=MAX_INCIDENTS)
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._failed: str | None = None
        self._state = state
        self._mark = self._judged = 0
        self._saved_at = self._looked_at = time.monotonic()
        self._waiting: deque[DecisionRecord] = deque()
        self._unsaid: deque[DecisionRecord] = deque()
        self._saying = threading.Lock()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("behaviour watch", self._watch), ("containment", self._contain))
        ]
        if state is not None and state.exists():
            self._take(state)

    @property
    def _containments(self) -> tuple[Containment, ...]:
        """Return those that are switched on, the directory's first."""
        return tuple(one for name, one in self._means.items() if name not in self._off)

    def _follow(self) -> None:
        """Do as the controls are switched in the world now."""
        self._off = self._world.off()
        self._watcher.hard = HARD_LIMITS.id not in self._off
        self._calls.labelled = CLASSIFICATION.id not in self._off
        self._watcher.learned = BEHAVIOUR_BASELINE.id not in self._off

    def teach(self, records: Iterable[DecisionRecord]) -> None:
        """Show the watch what was before it began: nobody is cut off for it any more."""
        self._follow()
        for record in records:
            call = self._calls.call(record)
            if call is not None:
                self._watcher.see(call)
                self._watcher.pardon(call.agent)

    def start(self, mark: int) -> None:
        """Begin with the records after this offset."""
        self._mark = self._judged = mark
        self._follow()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and keep the state."""
        self._ended.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_PATIENCE)
        with contextlib.suppress(OSError):
            self._save()

    def check(self) -> None:
        """Raise if nobody watches any more.

        Raises:
            ProcessError: it broke.
        """
        if self._failed is not None:
            raise ProcessError(f"nobody watches the agents any more: {self._failed}")

    @property
    def accused(self) -> tuple[str, ...]:
        """Return who stands accused now."""
        with self._lock:
            return tuple(self._watcher.accused)

    def settle(self) -> None:
        """Wait until all that is written is judged, and all that is begun is tried."""
        deadline = time.monotonic() + _PATIENCE
        end = self._world.records_since(self._mark)[1]
        while time.monotonic() < deadline and self._failed is None:
            judged = self._judged >= end
            with self._lock:
                accused = tuple(self._watcher.accused)
            if judged and all(
                containment.contained(agent)
                for containment in self._containments
                for agent in accused
            ):
                return
            time.sleep(POLL_SECONDS)

    def release(self, agent: str) -> None:
        """Let an agent work again, as a human who has looked into it does."""
        for containment in reversed(self._means.values()):
            for step in containment.restore(agent):
                self._told(step, "release")
        with self._lock:
            self._watcher.release(agent)
            self._accused_at.pop(agent, None)
            self._known.pop(agent, None)

    def accept(self, agent: str) -> dict[str, list[str]]:
        """Release an agent, and take what it stands accused of for ordinary from now on.

        Returns what is `accepted`, and what only a change in the directory can make ordinary.

        Raises:
            CommandRefusedError: the agent does not stand accused.
        """
        with self._lock:
            said = self._watcher.accused.get(agent)
            if said is None:
                raise CommandRefusedError(
                    f"agent {agent!r}: expected one that stands accused; "
                    "`iamrange behaviour incidents` shows who does"
                )
            left = self._watcher.accept(agent)
        self.release(agent)
        return {
            "accepted": [one.rule.value for one in said if one not in left],
            "not accepted": [one.rule.value for one in left],
        }

    def _guarded(self, work: Callable[[], None]) -> None:
        """Work again and again, until the end; bear with a world that refuses for a while."""
        refused: float | None = None
        while not self._ended.wait(POLL_SECONDS):
            now = time.monotonic()
            try:
                work()
                refused = None
            except CommandRefusedError as error:
                refused = refused or now
                if now - refused >= PATIENCE_SECONDS:
                    self._failed = str(error)
                    return
            except (ProcessError, OSError) as error:
                if not self._ended.is_set():
                    self._failed = str(error)
                return
            except Exception as error:
                self._failed = type(error).__name__
                raise

    def _watch(self) -> None:
        self._say_all()
        records, self._mark = self._world.records_since(self._mark)
        self._waiting.extend(records)
        while self._waiting:
            self._judge(self._waiting[0])
            self._waiting.popleft()
        self._judged = self._mark
        now = time.monotonic()
        if now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            self._save()

    def _contain(self) -> None:
        self._tick(self._containments)
        now = time.monotonic()
        if now - self._looked_at >= RELEASE_SECONDS:
            self._looked_at = now
            self._follow()
            self._look_for_releases(now)

    def _judge(self, record: DecisionRecord) -> None:
        call = self._calls.call(record)
        if call is None:
            return
        with self._lock:
            found = self._watcher.see(call)
        weighs = [one for one in found if one.contains]
        said = weighs or [one for one in found if self._is_news(one)]
        if not said:
            return
        if weighs:
            self._accused_at[call.agent] = time.monotonic()
            for containment in self._containments:
                containment.contain(call.agent)
        self._say(_record(call.agent, call.service, said))
        if weighs:
            self._tick(self._containments[:1])
        incident = {
            "agent": call.agent,
            "time": call.time,
            "contained": bool(weighs),
            "accusations": [_shown(one) for one in said],
        }
        with self._lock:
            self._incidents.append(incident)
        if weighs:
            self._save()

    def _say(self, record: DecisionRecord) -> None:
        """Write something down; what cannot be now is written later, in the same order."""
        self._unsaid.append(record)
        with contextlib.suppress(CommandRefusedError):
            self._say_all()

    def _say_all(self) -> None:
        with self._saying:
            while self._unsaid:
                self._world.record(self._unsaid[0])
                self._unsaid.popleft()

    def _is_news(self, notice: Accusation) -> bool:
        key = (notice.agent, notice.rule.value, notice.seen)
        if key in self._noticed:
            return False
        self._noticed.append(key)
        return True

    def _tick(self, containments: Sequence[Containment]) -> None:
        for containment in containments:
            for step in containment.tick(time.monotonic()):
                self._told(step, "contain")

    def _told(self, step: Step, verb: str) -> None:
        """Write down what was done about an agent, or could not be."""
        effect = Effect.ALLOW if step.done else Effect.DENY
        reason = "done" if step.done else "to-be-tried-again"
        self._say(
            DecisionRecord(
                request_id=str(uuid.uuid4()),
                time=0.0,
                point=RESPONSE,
                action=f"{verb}:{step.means}",
                resource=step.agent,
                principal="",
                outcome=Outcome.ALLOW if step.done else Outcome.DENY,
                reason=reason,
                layers=(LayerAnswer(step.means, effect, reason, detail=step.detail),),
                facts={"attempts": str(step.attempts)},
            )
        )

    def _declared(self, agent: str) -> Declared | None:
        return self._registered(agent)[0]

    def _registered(self, agent: str, *, fresh: bool = False) -> tuple[Declared | None, str]:
        """Return what an agent is registered for, and its state; asked anew after a while."""
        now = time.monotonic()
        known = self._known.get(agent)
        if known is None or fresh or now - known[0] > FRESH_SECONDS:
            entry = self._world.declared(agent)
            declared = None if entry is None else declared_of(entry, [CORPORATE])
            known = (now, declared, "" if entry is None else str(entry["state"]))
            if len(self._known) >= _KNOWN_AGENTS:
                self._known.clear()
            self._known[agent] = known
        return known[1], known[2]

    def _look_for_releases(self, now: float) -> None:
        for agent in self.accused:
            since = self._accused_at.setdefault(agent, now)
            step = self._means[AUTOMATIC_REVOCATION.id].step(agent, DirectoryMeans.name)
            if step is None:
                free = now - since > UNANSWERED_SECONDS
            else:
                free = step.done and self._registered(agent, fresh=True)[1] == "active"
            if free:
                self.release(agent)

    def _save(self) -> None:
        if self._state is None:
            return
        with self._lock:
            value = {
                "watcher": self._watcher.to_json(),
                "containments": {name: one.to_json() for name, one in self._means.items()},
                "incidents": list(self._incidents),
            }
        fresh = self._state.with_suffix(".new")
        write_private(fresh, json.dumps(value))
        fresh.replace(self._state)

    def _take(self, state: Path) -> None:
        try:
            saved = read_saved(state.read_bytes(), self._watcher)
        except (OSError, ValueError) as error:
            raise ProcessError(
                f"file '{state}': expected the watch's own state, got {type(error).__name__}: "
                f"{error}; way out: remove it, and every agent is one without history"
            ) from error
        for name, containment in self._means.items():
            # an older file knows nothing of means that are new
            containment.take(saved.containments.get(name, []))
        self._incidents.extend(saved.incidents)


def _shown(accusation: Accusation) -> dict[str, Any]:
    return {
        "rule": accusation.rule.value,
        "layer": accusation.layer,
        "seen": accusation.seen,
        "expected": accusation.expected,
        "evidence": list(accusation.evidence),
    }


def _record(agent: str, service: str, said: Sequence[Accusation]) -> DecisionRecord:
    """Return what is said against one call, each layer with its own word."""
    contains = any(one.contains for one in said)
    layers = []
    for layer in ("limits", "baseline"):
        found = [one for one in said if one.layer == layer]
        weighs = [one for one in found if one.contains]
        layers.append(
            LayerAnswer(
                layer,
                Effect.DENY if weighs else Effect.ALLOW,
                (weighs or found)[0].rule.value if found else "nothing-unusual",
                detail="; ".join(map(str, found)),
            )
        )
    return DecisionRecord(
        request_id=str(uuid.uuid4()),
        time=0.0,
        point=WATCH,
        action="behaviour:Accuse" if contains else "behaviour:Notice",
        resource=service,
        principal=agent,
        outcome=Outcome.DENY if contains else Outcome.ALLOW,
        reason=said[0].rule.value,
        layers=tuple(layers),
        facts={"evidence": "; ".join(said[0].evidence)},
    )


@contextlib.contextmanager
def watched(
    deployment: Deployment, *, state: Path | None = None, teach: Iterable[DecisionRecord] = ()
) -> Iterator[BehaviourWatch]:
    """Watch a world while the block runs, from its next record on.

    Raises:
        ProcessError: the state cannot be used.
    """
    watch = BehaviourWatch(deployment, state=state)
    watch.teach(teach)
    watch.start(deployment.world.records_since(0)[1])
    try:
        yield watch
    finally:
        watch.stop()
