"""Takes controls away until the attack works, and makes the proof of what was in its way.

- The context S of a proof is found from the layers' own answers, then really attacked.
- Pure but for the `attack` that it is given: the same search runs against worlds and in tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from iamrange.core.controls import CONTROLS, Control, Invariant
from iamrange.core.result import ScenarioResult
from iamrange.core.verdict import Failure, Judgement, Proof, Trial, Verdict, prove

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.scenario import Ability
    from iamrange.range.catalogue import Entry

NOTHING: frozenset[str] = frozenset()


class Attack(Protocol):
    """Attacks once, in a fresh world with these controls off, on this rogue cloud or on none."""

    def __call__(self, off: frozenset[str], rogue: str | None = None) -> Trial:
        """Return what became of the attack."""
        ...


class _Memo:
    """Attacks each kind of world once for a scenario."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack
        self._trials: dict[tuple[frozenset[str], str | None], Trial] = {}

    def __call__(self, off: frozenset[str], rogue: str | None = None) -> Trial:
        key = (off, rogue)
        if key not in self._trials:
            self._trials[key] = self._attack(off, rogue)
        return self._trials[key]


def prove_scenario(
    entry: Entry, attack: Attack, *, off_in_stack: frozenset[str] = NOTHING
) -> ScenarioResult:
    """Attack the world as it is declared, then prove each guard of the scenario."""
    memo = _Memo(attack)
    first = memo(off_in_stack)
    outcomes = [_prove_guard(guard, first, memo) for guard in entry.scenario.blocked_by]
    return ScenarioResult(
        id=entry.id,
        claim=entry.scenario.claim,
        lesson=entry.scenario.lesson,
        guards=entry.guards,
        asset=str(entry.scenario.asset),
        trial=first,
        proofs=tuple(outcome for outcome in outcomes if isinstance(outcome, Proof)),
        failures=tuple(outcome for outcome in outcomes if isinstance(outcome, Failure)),
    )


def not_evaluated(entry: Entry, lacking: Mapping[Ability, str]) -> ScenarioResult:
    """Return the result of a scenario that this target cannot run: nothing was attacked."""
    detail = "; ".join(f"lacks {ability}: {why}" for ability, why in sorted(lacking.items()))
    return ScenarioResult(
        id=entry.id,
        claim=entry.scenario.claim,
        lesson=entry.scenario.lesson,
        guards=entry.guards,
        asset=str(entry.scenario.asset),
        excused=True,
        trial=Trial(
            scenario=entry.id,
            off=NOTHING,
            rogue=None,
            judgement=Judgement(verdict=Verdict.NOT_EVALUATED, detail=detail),
            records=(),
            legitimate=(),
            seconds=0.0,
        ),
    )


def _prove_guard(guard: Control | Invariant, first: Trial, attack: Attack) -> Proof | Failure:
    if isinstance(guard, Invariant):
        return prove(guard.id, first, attack(first.off, guard.rogue), off_in_stack=first.off)
    if guard.id in first.off:
        return _off_in_stack(guard, first)
    if _breaks_off(first):
        return prove(guard.id, first, first)
    context = _context_for(guard, first.off, attack)
    return prove(guard.id, attack(context), attack(context | {guard.id}), off_in_stack=first.off)


def _off_in_stack(guard: Control, first: Trial) -> Failure:
    """Name the attack that a control switched off in the stack's own config opens."""
    works = first.judgement.verdict is Verdict.SUCCEEDED
    behind = ", ".join(first.judgement.guards) or str(first.judgement.verdict)
    state = "now works" if works else f"is now held by {behind} alone"
    return Failure(
        scenario=first.scenario,
        guard=guard.id,
        message=f"{guard.id} is off: {first.scenario} {state}",
        range_broke=first.judgement.verdict is Verdict.ERROR,
    )


def _breaks_off(first: Trial) -> bool:
    return first.judgement.verdict in (Verdict.SUCCEEDED, Verdict.ERROR)


def _context_for(guard: Control, off: frozenset[str], attack: Attack) -> frozenset[str]:
    """Return the smallest set of other controls, seen so far, that hides this guard."""
    context = off
    for _ in CONTROLS:
        trial = attack(context | {guard.id})
        if _breaks_off(trial):
            break
        in_the_way = {g for g in trial.judgement.guards if g in CONTROLS and g != guard.id}
        if in_the_way <= context:
            break
        context |= in_the_way
    for name in sorted(context - off):
        fewer = context - {name}
        if attack(fewer | {guard.id}).judgement.verdict is Verdict.SUCCEEDED:
            context = fewer
    return context
