"""Live progress of a run, as lines: they read as well in a CI log as at a terminal."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rich.text import Text

from iamrange.core.verdict import Trial, Verdict

if TYPE_CHECKING:
    from rich.console import Console

    from iamrange.core.result import ScenarioResult
    from iamrange.engine.events import Step

EVERY = 25
STYLES = {Verdict.SUCCEEDED: "red", Verdict.BLOCKED: "green", Verdict.ERROR: "bold magenta"}


class NoProgress:
    """Says nothing."""

    def step(self, message: str) -> None:
        """Ignore a step."""

    def resource(self, step: Step) -> None:
        """Ignore a resource."""

    def attacked(self, trial: Trial) -> None:
        """Ignore an attack."""

    def scenario(self, result: ScenarioResult) -> None:
        """Ignore a scenario."""


class ConsoleProgress:
    """Prints each step and each attack with the time since the start."""

    def __init__(self, console: Console) -> None:
        """Print to this console."""
        self._console = console
        self._started = time.monotonic()
        self._resources = 0
        self._lock = threading.Lock()

    def step(self, message: str) -> None:
        """Print a step."""
        self._print(Text(message, style="bold"))

    def resource(self, step: Step) -> None:
        """Count resources, and print every so many of them."""
        if not step.done:
            return
        with self._lock:
            self._resources += 1
            count = self._resources
        if count % EVERY == 0:
            self._print(Text(f"  {count} resources"))

    def attacked(self, trial: Trial) -> None:
        """Print one attack: what was off, and what became of it."""
        if trial.rogue:
            world = f"on {trial.rogue}"
        elif trial.off:
            world = f"without {', '.join(sorted(trial.off))}"
        else:
            world = "all on"
        verdict = trial.judgement.verdict
        who = f" by {', '.join(trial.judgement.guards)}" if trial.judgement.guards else ""
        detail = f" ({trial.judgement.detail})" if trial.judgement.detail else ""
        self._print(
            Text.assemble(
                f"  {trial.scenario}, {world}: ",
                (f"{verdict}{who}{detail}", STYLES.get(verdict, "")),
            )
        )

    def scenario(self, result: ScenarioResult) -> None:
        """Print whether a scenario is proved."""
        if not result.evaluated:
            self._print(Text(f"not evaluated: {result.id}: {result.trial.judgement.detail}"))
            return
        style = "green" if result.proved else "bold red"
        self._print(
            Text(f"{'proved' if result.proved else 'NOT PROVED'}: {result.id}", style=style)
        )

    def _print(self, text: Text) -> None:
        seconds = time.monotonic() - self._started
        with self._lock:
            self._console.print(Text(f"{seconds:6.1f}s ", style="dim"), text, highlight=False)
