"""The result of one run, from which every report is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iamrange.core.verdict import Failure, Proof, Trial, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """What a run found out about one scenario.

    `trial` is the attack on the world as the stack declares it. `proofs` has one entry for each
    guard that was proved; `failures` says what was not.
    """

    id: str
    claim: str
    lesson: str
    guards: tuple[str, ...]
    asset: str
    trial: Trial
    proofs: tuple[Proof, ...] = ()
    failures: tuple[Failure, ...] = ()
    excused: bool = False
    """Not evaluated: the target, or this machine, lacks an ability that the scenario declares."""

    @property
    def proved(self) -> bool:
        """Tell whether every guard of this scenario was proved, and nothing failed."""
        return not self.failures and {p.guard for p in self.proofs} == set(self.guards)

    @property
    def evaluated(self) -> bool:
        """Tell whether the target was able to run this scenario at all."""
        return self.trial.judgement.verdict is not Verdict.NOT_EVALUATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the matrix: a scenario against a single control that is off."""

    scenario: str
    control: str
    trial: Trial

    @property
    def failure(self) -> Failure | None:
        """Return why nothing was seen here, if so."""
        if self.trial.judgement.verdict is not Verdict.ERROR:
            return None
        return Failure(
            scenario=self.scenario,
            guard=None,
            message=f"range broke: {self.scenario} without {self.control}: "
            + self.trial.judgement.detail,
            range_broke=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Everything that one run found out.

    `off_in_stack` are controls that the stack's own config switches off: such a run cannot be
    good. `unevaluated` are policy elements that a cloud could not evaluate, and so refused.
    """

    run_id: str
    target: str
    started: float
    seconds: float
    versions: Mapping[str, str]
    scenarios: tuple[ScenarioResult, ...]
    off_in_stack: tuple[str, ...] = ()
    matrix: tuple[Cell, ...] = ()
    unevaluated: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Return every failure, in the scenarios' order; then each cell that nobody could see."""
        told = [f for scenario in self.scenarios for f in scenario.failures]
        return (*told, *(cell.failure for cell in self.matrix if cell.failure is not None))

    @property
    def proved(self) -> bool:
        """Tell whether all is proved. A run of nothing proves nothing.

        What a target or this machine cannot run, by what a scenario declares, is listed, and no
        failure; whatever else was not evaluated is one.
        """
        evaluated = [s for s in self.scenarios if not s.excused]
        return (
            bool(evaluated)
            and not self.off_in_stack
            and not any(cell.failure for cell in self.matrix)
            and all(scenario.proved for scenario in evaluated)
        )

    @property
    def range_broke(self) -> bool:
        """Tell whether something failed that says nothing about any control."""
        return any(failure.range_broke for failure in self.failures)

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """Return every proof, in the scenarios' order."""
        return tuple(p for scenario in self.scenarios for p in scenario.proofs)

    def cut_sets(self) -> dict[str, tuple[frozenset[str], ...]]:
        """Return, for each asset, the smallest sets of controls whose loss was seen to open it.

        Each set was attacked for real: it is the `off` of a trial that succeeded.
        """
        opened: dict[str, set[frozenset[str]]] = {}
        for scenario in self.scenarios:
            for proof in scenario.proofs:
                trial = proof.without_it
                if trial.rogue is None and trial.judgement.verdict is Verdict.SUCCEEDED:
                    opened.setdefault(scenario.asset, set()).add(trial.off)
        return {
            asset: tuple(
                sorted(
                    (s for s in sets if not any(other < s for other in sets)),
                    key=lambda s: (len(s), sorted(s)),
                )
            )
            for asset, sets in sorted(opened.items())
        }
