"""Watches all agents: judges each call by its agent's baseline, and accuses each agent once.

- Calls whose caller was not verified are counted and otherwise ignored: naming an agent is free.
- A call counts once, however often it is delivered (the last `MAX_SEEN` ids are remembered).
- An agent that stands accused is not judged again until a human has released it; what it does
  meanwhile is counted with its accusation. So a flood of anomalies is one accusation an agent.
- At most `agents` baselines are kept. The one not seen for longest goes first, and is an agent
  without history when it comes again: it loses its learned rules, never its hard limits.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.baseline import Baseline
from iamrange.detect.behaviour import Accusation, Rule
from iamrange.detect.behaviour_rate import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.detect.behaviour import Call, Declared

MAX_SEEN: Final = 4096
MAX_AGENTS: Final = 10_000
VERSION: Final = 2
_FIRST_WINDOWS: Final = ("60", "3600")
"""What version 1 knew of, in the order of its lists."""


@dataclass(slots=True)
class Counts:
    """What became of the calls that were delivered."""

    judged: int = 0
    unverified: int = 0
    duplicates: int = 0
    while_accused: int = 0
    unregistered: int = 0
    evicted: int = 0


class StateError(ValueError):
    """A saved state that cannot be used."""


class Watcher:
    """The baselines of all agents, and who stands accused."""

    def __init__(
        self,
        declared: Callable[[str], Declared | None],
        *,
        hard: bool = True,
        learned: bool = True,
        agents: int = MAX_AGENTS,
    ) -> None:
        """Take what says what an agent is registered for (None: it is not).

        Without `hard` or `learned` these rules are not asked, and both may be switched.
        """
        self._declared = declared
        self.hard, self.learned = hard, learned
        self._most = agents
        self.counts = Counts()
        self.accused: dict[str, tuple[Accusation, ...]] = {}
        self._baselines: OrderedDict[str, Baseline] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def see(self, call: Call) -> tuple[Accusation, ...]:
        """Judge one call; return what is said against it.

        An agent for which one of them `contains` stands accused from now on. What the source of
        declarations raises goes through: the call is then to be shown again.
        """
        if not call.authenticated:
            self.counts.unverified += 1
            return ()
        if call.id in self._seen:
            self.counts.duplicates += 1
            return ()
        accused = call.agent in self.accused
        # asked first: a call that could not be judged now is not one that was seen
        declared = None if accused else self._declared(call.agent)
        self._seen[call.id] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        if accused:
            self.counts.while_accused += 1
            return ()
        if declared is None:
            self.counts.unregistered += 1
            return ()
        self.counts.judged += 1
        found = self.baseline(call.agent).see(
            call, declared if self.hard else None, learned=self.learned
        )
        accusing = tuple(one for one in found if one.contains)
        if accusing:
            self.accused[call.agent] = accusing
        return tuple(found)

    def baseline(self, agent: str) -> Baseline:
        """Return an agent's baseline; a new one for an agent that has none."""
        found = self._baselines.get(agent)
        if found is None:
            found = self._baselines[agent] = Baseline()
            if len(self._baselines) > self._most:
                self._baselines.popitem(last=False)
                self.counts.evicted += 1
        else:
            self._baselines.move_to_end(agent)
        return found

    @property
    def agents(self) -> tuple[str, ...]:
        """Return all agents with a baseline, the one seen last at the end."""
        return tuple(self._baselines)

    def release(self, agent: str) -> None:
        """Judge this agent again: a human has let it go."""
        if self.accused.pop(agent, None) is not None:
            self.baseline(agent).released()

    def accept(self, agent: str) -> tuple[Accusation, ...]:
        """Take what an agent stands accused of for ordinary; return what could not be.

        It stands accused until it is released.
        """
        baseline = self.baseline(agent)
        said = self.accused.get(agent, ())
        return tuple(one for one in said if not baseline.accept(one))

    def pardon(self, agent: str) -> None:
        """Judge this agent again although nobody has looked: nothing is taken for accepted."""
        self.accused.pop(agent, None)

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        return {
            "version": VERSION,
            "agents": {name: one.to_json() for name, one in self._baselines.items()},
            "accused": {name: [asdict(one) for one in said] for name, said in self.accused.items()},
            "seen": list(self._seen),
            "counts": asdict(self.counts),
        }

    def take(self, value: dict[str, Any]) -> None:
        """Go on with what `to_json` made.

        Raises:
            StateError: it is nothing of the kind; the watcher is as it was.
        """
        try:
            version, agents = value["version"], value["agents"]
            if version == 1:
                agents = {name: _since_version_1(one) for name, one in agents.items()}
            elif version != VERSION:
                raise StateError(f"state: expected version {VERSION}, got {version!r}")
            baselines = {str(n): Baseline.from_json(one) for n, one in agents.items()}
            accused = {
                str(name): tuple(_accusation(one) for one in said)
                for name, said in value["accused"].items()
            }
            counts = Counts(**value["counts"])
            if not all(type(one) is int and one >= 0 for one in asdict(counts).values()):
                raise StateError("state: expected counts of calls")
            seen = [str(one) for one in value["seen"]]
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, StateError):
                raise
            raise StateError(f"state: expected what was saved: {type(error).__name__}") from error
        self._baselines = OrderedDict(baselines)
        self.accused = accused
        self.counts = counts
        self._seen = OrderedDict.fromkeys(seen)


def _since_version_1(agent: dict[str, Any]) -> dict[str, Any]:
    return {**agent, "rates": dict(zip(_FIRST_WINDOWS, agent["rates"], strict=True))}


def _accusation(value: dict[str, Any]) -> Accusation:
    return Accusation(
        agent=str(value["agent"]),
        time=number(value["time"]),
        rule=Rule(value["rule"]),
        seen=str(value["seen"]),
        expected=str(value["expected"]),
        evidence=tuple(map(str, value["evidence"])),
        contains=bool(value["contains"]),
    )
