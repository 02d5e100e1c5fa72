"""Cutting an accused agent off, by every means there is, until each has worked.

- The means come in order, the directory first: it is what all our own services ask. One that fails
  holds up no other, and is tried again, ever more slowly, without end: nothing is given up.
- Each agent is contained once, however often it is accused. All agents' first means are tried
  before anybody's second: a flood of accusations does not keep the directory waiting for a cloud.
- Every attempt is a value for the log, a failed one too.
- Threads may share one: a means is used by one of them at a time.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0


class MeansError(Exception):
    """A means did not work this time; the message says why, and holds no secret."""


class Means(Protocol):
    """One way to cut an agent off. Both do no harm when they are done again."""

    name: str

    def cut(self, agent: str) -> str:
        """Cut the agent off; return what was done, in words.

        Raises:
            MeansError: it could not be done now.
        """
        ...

    def restore(self, agent: str) -> str:
        """Undo what must be undone before the agent can work again; return it in words.

        Raises:
            MeansError: it could not be done now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One means against one agent: how often it was tried, and what came of it last."""

    agent: str
    means: str
    attempts: int = 0
    done: bool = False
    detail: str = ""
    due: float = 0.0


class Containment:
    """Who is to be cut off, and how far that is. `now` is always monotonic time."""

    def __init__(self, means: Sequence[Means]) -> None:
        """Take the means, the first to be tried first.

        Raises:
            ValueError: there is none, which would contain nobody.
        """
        if not means:
            raise ValueError("containment: expected at least one means, got none")
        self._means = {one.name: one for one in means}
        self._rank = {name: rank for rank, name in enumerate(self._means)}
        self._steps: dict[tuple[str, str], Step] = {}
        self._lock = threading.Lock()
        self._acting = threading.Lock()

    def step(self, agent: str, means: str) -> Step | None:
        """Return how far this means against this agent is; None: it is not to be used."""
        with self._lock:
            return self._steps.get((agent, means))

    def contain(self, agent: str) -> bool:
        """Have the agent cut off; False if that is done or under way already."""
        new = False
        with self._lock:
            for name in self._means:
                if (agent, name) not in self._steps:
                    self._steps[agent, name] = Step(agent=agent, means=name)
                    new = True
        return new

    def tick(self, now: float) -> tuple[Step, ...]:
        """Try each step that is due, once; return them as they are now."""
        with self._acting:
            with self._lock:
                due = [one for one in self._steps.values() if not one.done and one.due <= now]
            due.sort(key=lambda step: self._rank[step.means])
            return tuple(self._try(step, now) for step in due)

    def _try(self, step: Step, now: float) -> Step:
        attempts = step.attempts + 1
        try:
            said = self._means[step.means].cut(step.agent)
        except MeansError as error:
            pause = min(FIRST_PAUSE * 2 ** min(step.attempts, 16), LONGEST_PAUSE)
            tried = replace(step, attempts=attempts, detail=str(error), due=now + pause)
        else:
            tried = replace(step, attempts=attempts, detail=said, done=True)
        with self._lock:
            self._steps[step.agent, step.means] = tried
        return tried

    def contained(self, agent: str) -> bool:
        """Tell whether every means against this agent has worked."""
        with self._lock:
            steps = [step for step in self._steps.values() if step.agent == agent]
        return bool(steps) and all(step.done for step in steps)

    def restore(self, agent: str) -> tuple[Step, ...]:
        """Undo every means, the last first, and forget the agent's containment.

        A means that cannot be undone now is said so, `done` False; the others are undone.
        """
        undone = []
        with self._acting:
            for name in reversed(self._means):
                with self._lock:
                    step = self._steps.pop((agent, name), None)
                if step is None:
                    continue
                try:
                    said, done = self._means[name].restore(agent), True
                except MeansError as error:
                    said, done = str(error), False
                undone.append(Step(agent=agent, means=name, attempts=1, done=done, detail=said))
        return tuple(undone)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the steps as JSON-ready values."""
        with self._lock:
            return [asdict(step) for step in self._steps.values()]

    def take(self, value: list[dict[str, Any]]) -> None:
        """Go on with what `to_json` made; what was not done is due at once.

        Raises:
            TypeError: it is nothing of the kind.
        """
        steps = steps_of(value)
        with self._lock:
            self._steps = {(s.agent, s.means): s for s in steps if s.means in self._means}


def steps_of(value: list[dict[str, Any]]) -> list[Step]:
    """Return the steps that `to_json` made plain values of; they are due at once.

    Raises:
        TypeError: it is nothing of the kind.
    """
    steps = [Step(**{**one, "due": 0.0}) for one in value]
    for step in steps:
        texts = all(isinstance(text, str) for text in (step.agent, step.means, step.detail))
        if not texts or type(step.attempts) is not int or type(step.done) is not bool:
            raise TypeError("containment: expected an agent, a means, attempts and what was done")
    return steps
