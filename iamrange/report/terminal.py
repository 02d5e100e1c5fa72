"""The report for people at a terminal: what blocked each attack, and that it works without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from iamrange.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from iamrange.core.result import RunResult, ScenarioResult
    from iamrange.core.verdict import Proof, Trial

HEADINGS = ("attack", "blocked by", "where and why", "without it", "alone?", "work goes on")
WIDE = 190
"""Columns of a terminal from which on names are never broken."""

STYLES = {
    Verdict.SUCCEEDED: "bold red",
    Verdict.BLOCKED: "green",
    Verdict.DETECTED: "green",
    Verdict.NOTHING_TO_STEAL: "green",
    Verdict.BLOCKED_ELSEWHERE: "yellow",
    Verdict.ERROR: "bold magenta",
}

_GROUP = 10
"""Marks of the matrix that stand together, for the eye."""


def show(result: RunResult, console: Console) -> None:
    """Print the table, what failed, and the one line that says whether all is proved."""
    console.print(_table(result, wide=console.width >= WIDE))
    if result.matrix:
        console.print(_matrix(result))
    for failure in result.failures:
        word = "range broke" if failure.range_broke else "not proved"
        console.print(Text(f"{word}: {failure.message}", style="bold red"))
    for scenario in result.scenarios:
        if not scenario.evaluated:
            words = f"not evaluated: {scenario.id}: {scenario.trial.judgement.detail}"
            console.print(Text(words, style="yellow"))
    for control in result.off_in_stack:
        console.print(Text(_what_now_works(result, control), style="bold red"))
    for element in result.unevaluated:
        console.print(Text(f"could not be evaluated, and was refused: {element}", style="yellow"))
    for note in result.notes:
        console.print(Text(note, style="dim"))
    console.print(Text(summary(result), style="bold green" if result.proved else "bold red"))


def summary(result: RunResult) -> str:
    """Return the run in one line."""
    attacks = len(result.scenarios)
    proved = sum(scenario.proved for scenario in result.scenarios)
    guards = {proof.guard for proof in result.proofs}
    alone = {proof.guard for proof in result.proofs if proof.single_point_of_failure}
    left = sum(not scenario.evaluated for scenario in result.scenarios)
    head = "all proved" if result.proved else "NOT PROVED"
    if left:
        head += f" ({left} not evaluated on {result.target})"
    return (
        f"{head}: {proved} of {attacks} attacks are refused for the expected reason and succeed "
        f"without it; {len(guards)} controls and invariants proved, {len(alone)} of them the only "
        f"thing in the way; {result.seconds:.0f} s"
    )


def _table(result: RunResult, *, wide: bool) -> Table:
    table = Table(title=f"iamrange {result.run_id} on {result.target}", title_justify="left")
    # Names are copied from the table: they stay whole where the terminal has room for them.
    names = [scenario.id for scenario in result.scenarios]
    guards = [guard for scenario in result.scenarios for guard in scenario.guards]
    whole = (_longest(names), _longest(guards))
    for number, heading in enumerate(HEADINGS):
        width = whole[number] if wide and number < len(whole) else None
        table.add_column(heading, overflow="fold", min_width=width)
    for scenario in result.scenarios:
        for index, row in enumerate(_rows(scenario)):
            table.add_row(Text(scenario.id if index == 0 else ""), *row)
    return table


def _longest(names: Iterable[str]) -> int:
    return max((len(name) for name in names), default=0)


def _rows(scenario: ScenarioResult) -> Iterable[tuple[Text, ...]]:
    proofs = {proof.guard: proof for proof in scenario.proofs}
    for guard in scenario.guards:
        proof = proofs.get(guard)
        trial = proof.with_it if proof else scenario.trial
        yield (
            Text(guard, style="green" if proof else "bold red"),
            Text(_why(trial, guard)),
            _without(proof),
            Text(_alone(proof)),
            Text(_work(trial)),
        )


def _why(trial: Trial, guard: str) -> str:
    judgement = trial.judgement
    if judgement.verdict in (Verdict.SUCCEEDED, Verdict.ERROR):
        return f"{judgement.verdict}: {judgement.detail}" if judgement.detail else "succeeded"
    refusals = judgement.refusals
    mine = next((refused for refused in refusals if guard in refused.guards), None)
    refused = mine or (refusals[0] if refusals else None)
    if refused is None:
        return str(judgement.verdict)
    keys = f" ({', '.join(refused.condition_keys)})" if refused.condition_keys else ""
    return f"{refused.point} {refused.layer}: {refused.reason}{keys}"


def _without(proof: Proof | None) -> Text:
    if proof is None:
        return Text("-")
    verdict = proof.without_it.judgement.verdict
    rogue = f" ({proof.without_it.rogue})" if proof.without_it.rogue else ""
    return Text(f"{verdict}{rogue}", style=STYLES.get(verdict, ""))


def _alone(proof: Proof | None) -> str:
    if proof is None:
        return "-"
    if proof.without_it.rogue:
        return "invariant"
    return "yes" if proof.single_point_of_failure else f"behind {', '.join(sorted(proof.context))}"


def _work(trial: Trial) -> str:
    if not trial.legitimate:
        return "-"
    idle = [work for work in trial.legitimate if not work.ok]
    if idle:
        return "; ".join(f"{work.part} {work.when}: {work.detail}" for work in idle)
    return f"{len(trial.legitimate)} of {len(trial.legitimate)}"


def _matrix(result: RunResult) -> Table:
    """Return one mark a control, in groups of ten, and by name whatever was not blocked."""
    controls = list(dict.fromkeys(cell.control for cell in result.matrix))
    table = Table(
        title="each attack against each single control off", title_justify="left", show_lines=False
    )
    table.add_column("attack", overflow="fold")
    table.add_column("a mark for each control", overflow="fold")
    table.add_column("without it", overflow="fold")
    cells = {(cell.scenario, cell.control): cell for cell in result.matrix}
    for scenario in dict.fromkeys(cell.scenario for cell in result.matrix):
        marks, named = Text(), []
        for number, control in enumerate(controls):
            trial = cells[scenario, control].trial
            if number and number % _GROUP == 0:
                marks.append(" ")
            marks.append_text(_mark(trial))
            if trial.judgement.verdict is not Verdict.BLOCKED:
                named.append(f"{control}: {trial.judgement.verdict}")
        table.add_row(Text(scenario), marks, Text("\n".join(named) or "-"))
    table.caption = (
        "S succeeds, . blocked, d detected, n nothing to steal, e elsewhere, ! range broke; the "
        "controls are in the order of `iamrange controls`"
    )
    table.caption_justify = "left"
    return table


def _mark(trial: Trial) -> Text:
    verdict = trial.judgement.verdict
    marks = {
        Verdict.SUCCEEDED: "S",
        Verdict.BLOCKED: ".",
        Verdict.DETECTED: "d",
        Verdict.NOTHING_TO_STEAL: "n",
        Verdict.BLOCKED_ELSEWHERE: "e",
    }
    return Text(marks.get(verdict, "!"), style=STYLES.get(verdict, ""))


def _what_now_works(result: RunResult, control: str) -> str:
    """Name the attack that a control switched off in the stack's own config has opened."""
    attacks = [s for s in result.scenarios if control in s.guards]
    if not attacks:
        return f"{control} is off in the stack, and none of the chosen attacks is about it"
    lines = []
    for scenario in attacks:
        verdict = scenario.trial.judgement.verdict
        if verdict is Verdict.SUCCEEDED:
            lines.append(f"{scenario.id} now works")
        else:
            behind = ", ".join(scenario.trial.judgement.guards) or str(verdict)
            lines.append(f"{scenario.id} now works as soon as {behind} is lost too")
    return f"{control} is off in the stack: {'; '.join(lines)}"
