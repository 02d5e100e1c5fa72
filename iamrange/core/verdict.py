"""From evidence to a verdict, and from two verdicts to a proof. Pure.

- `blocked` needs a decision record that carries the refusal of the control under test.
- An attack that merely failed is never `blocked`: without a record it is an `error`.
- A control is proved by two worlds that differ in that control alone, never by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from iamrange.core.decision import DecisionRecord, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iamrange.core.controls import Control, Invariant

BROKEN_REASONS = frozenset({"unreachable", "upstream-failed", "internal-failure"})
"""Reasons that say that the range broke. A refusal for one of them is never a proof."""


class Verdict(StrEnum):
    """What became of an attack (design section 3)."""

    SUCCEEDED = "succeeded"
    BLOCKED = "blocked"
    BLOCKED_ELSEWHERE = "blocked-elsewhere"
    DETECTED = "detected"
    NOTHING_TO_STEAL = "nothing-to-steal"
    ERROR = "error"
    NOT_EVALUATED = "not-evaluated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the attack's own process reported. It cannot name a verdict.

    `refused` is the client's word for a refusal (an error code), or None; `request_id` is the
    server-made id that the client was told, where its protocol tells one. `broke` says what
    failed when the attack neither came home nor was refused.
    """

    loot: tuple[str, ...] = field(default=(), repr=False)
    refused: str | None = None
    request_id: str | None = None
    broke: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedBy:
    """One layer that refused, and the controls or invariants whose refusal that is."""

    request_id: str
    point: str
    action: str
    layer: str
    effect: str
    reason: str
    statement: str
    condition_keys: tuple[str, ...]
    guards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with what it rests on."""

    verdict: Verdict
    refusals: tuple[RefusedBy, ...] = ()
    detail: str = ""

    @property
    def guards(self) -> tuple[str, ...]:
        """Return the ids of all controls and invariants that are seen to have refused."""
        return tuple(dict.fromkeys(g for refusal in self.refusals for g in refusal.guards))


def judge(  # noqa: PLR0913 - keyword-only parts of one judgement
    attempt: Attempt,
    *,
    canary: str,
    records: Sequence[DecisionRecord],
    known: Mapping[str, Control | Invariant],
    under_test: Iterable[str],
    decoy: str | None = None,
) -> Judgement:
    """Judge one attack from its loot, the canary and the records of its own requests.

    `known` are all controls and invariants, `under_test` the ids that are expected to refuse.
    `decoy` was planted where the attack searches: to come home with it alone is to have searched.
    """
    if attempt.broke is not None:
        return Judgement(verdict=Verdict.ERROR, detail=attempt.broke)
    if canary in attempt.loot:
        return _found_out(records, known, set(under_test))
    if decoy is not None and attempt.loot == (decoy,):
        return _found_nothing(records, known, set(under_test))
    if attempt.loot:
        return Judgement(
            verdict=Verdict.ERROR, detail="the loot is not what this run has planted there"
        )
    if attempt.refused is None:
        return Judgement(
            verdict=Verdict.ERROR, detail="the attack came home with nothing and was not refused"
        )
    refusing = _refusing_records(attempt, records)
    if not refusing:
        return Judgement(
            verdict=Verdict.ERROR,
            detail=f"the client was refused ({attempt.refused}) and no decision point says so",
        )
    refusals = tuple(r for record in refusing for r in _refusals(record, known))
    broken = next((r for r in refusals if r.reason in BROKEN_REASONS), None)
    if broken is not None:
        return Judgement(
            verdict=Verdict.ERROR,
            refusals=refusals,
            detail=f"{broken.point} could not decide: {broken.layer} {broken.reason}",
        )
    guards = {guard for refusal in refusals for guard in refusal.guards}
    if any(known[guard].contains for guard in guards):
        # who was cut off was accused before: that belongs to why
        refusals += _said_afterwards(records, known)
        guards = {guard for refusal in refusals for guard in refusal.guards}
    verdict = Verdict.BLOCKED if guards & set(under_test) else Verdict.BLOCKED_ELSEWHERE
    return Judgement(verdict=verdict, refusals=refusals)


def _found_out(
    records: Sequence[DecisionRecord],
    known: Mapping[str, Control | Invariant],
    under_test: set[str],
) -> Judgement:
    """Judge an attack that came home by what those who look afterwards say of it."""
    said = _said_afterwards(records, known)
    found = any(under_test & set(refusal.guards) for refusal in said)
    return Judgement(verdict=Verdict.DETECTED if found else Verdict.SUCCEEDED, refusals=said)


def _said_afterwards(
    records: Sequence[DecisionRecord], known: Mapping[str, Control | Invariant]
) -> tuple[RefusedBy, ...]:
    """Return what those who look afterwards say of these records."""
    looking = {guard.refusal.point for guard in known.values() if guard.detects}
    return tuple(
        refusal
        for record in records
        if record.point in looking and record.outcome is Outcome.DENY
        for refusal in _refusals(record, known)
    )


def _found_nothing(
    records: Sequence[DecisionRecord],
    known: Mapping[str, Control | Invariant],
    under_test: set[str],
) -> Judgement:
    """Judge a search that found the decoy alone by whoever made the same search afterwards."""
    refusals = tuple(
        refusal
        for record in records
        for refusal in _refusals(record, known)
        if under_test & set(refusal.guards)
    )
    if not refusals:
        return Judgement(
            verdict=Verdict.ERROR,
            detail="the attack found the decoy alone, and no other search says the same",
        )
    return Judgement(verdict=Verdict.NOTHING_TO_STEAL, refusals=refusals)


def _refusing_records(
    attempt: Attempt, records: Sequence[DecisionRecord]
) -> tuple[DecisionRecord, ...]:
    """Return the refusals of the request on which the attack ended.

    By the request id where the client was told one; else the last request that was refused: an
    attack ends at the first refusal that it does not expect.
    """
    refusing = [record for record in records if record.outcome is Outcome.DENY]
    if not refusing:
        return ()
    ids = {record.request_id for record in refusing}
    last = attempt.request_id if attempt.request_id in ids else refusing[-1].request_id
    return tuple(record for record in refusing if record.request_id == last)


def _refusals(
    record: DecisionRecord, known: Mapping[str, Control | Invariant]
) -> tuple[RefusedBy, ...]:
    return tuple(
        RefusedBy(
            request_id=record.request_id,
            point=record.point,
            action=record.action,
            layer=answer.layer,
            effect=answer.effect.value,
            reason=answer.reason,
            statement=_statement_of(answer),
            condition_keys=_keys_of(answer),
            guards=tuple(
                guard.id for guard in known.values() if guard.refusal.answer_in(record) is answer
            ),
        )
        for answer in record.layers
        if answer.refuses
    )


def _statement_of(answer: LayerAnswer) -> str:
    if answer.decided_by is not None:
        return f"{answer.decided_by.policy} {answer.decided_by.statement}"
    if answer.near_misses:
        return "; ".join(f"{s.policy} {s.statement}" for s in answer.near_misses)
    return ""


def _keys_of(answer: LayerAnswer) -> tuple[str, ...]:
    statements = (answer.decided_by, *answer.near_misses)
    return tuple(
        dict.fromkeys(key for s in statements if s is not None for key in s.condition_keys)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Legitimate:
    """One piece of legitimate work: whose, when, and whether it brought the planted nonce."""

    part: str
    when: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attack in one world: which controls were off, what became of it, and on what records.

    `rogue` names the rogue cloud of an invariant's trial, None in an honest world.
    """

    scenario: str
    off: frozenset[str]
    rogue: str | None
    judgement: Judgement
    records: tuple[DecisionRecord, ...]
    legitimate: tuple[Legitimate, ...]
    seconds: float

    @property
    def work_went_on(self) -> bool:
        """Tell whether there was legitimate work in this trial, and all of it succeeded."""
        return bool(self.legitimate) and all(work.ok for work in self.legitimate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Two worlds that differ in one guard alone, and whose verdicts differ as they should.

    `context` are other controls that are off in both: empty, and the guard is a single point of
    failure; otherwise it is defence in depth behind those.
    """

    guard: str
    scenario: str
    context: frozenset[str]
    with_it: Trial
    without_it: Trial

    @property
    def single_point_of_failure(self) -> bool:
        """Tell whether losing this guard alone lets the attack through."""
        return not self.context


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that was not proved, in a sentence that names control and attack."""

    scenario: str
    guard: str | None
    message: str
    range_broke: bool = False


def prove(
    guard: str,
    with_it: Trial,
    without_it: Trial,
    *,
    off_in_stack: frozenset[str] = frozenset(),
) -> Proof | Failure:
    """Make a proof of two trials, or say why they are none.

    What the stack's own config has off is no part of the context: nobody took it away here.
    """
    scenario = with_it.scenario
    for trial in (with_it, without_it):
        if trial.judgement.verdict is Verdict.ERROR:
            return Failure(
                scenario=scenario,
                guard=guard,
                message=f"{scenario}: {trial.judgement.detail}",
                range_broke=True,
            )
    flaw = _not_held_by(guard, with_it) or _not_opened_without(guard, with_it, without_it)
    if flaw is not None:
        return Failure(scenario=scenario, guard=guard, message=flaw)
    return Proof(
        guard=guard,
        scenario=scenario,
        context=with_it.off - off_in_stack,
        with_it=with_it,
        without_it=without_it,
    )


def _not_held_by(guard: str, with_it: Trial) -> str | None:
    """Say why the world with the guard does not show that the guard holds, or None."""
    scenario = with_it.scenario
    if with_it.judgement.verdict is Verdict.SUCCEEDED:
        return f"{scenario} succeeds although {guard} is on"
    if guard not in with_it.judgement.guards:
        return f"{scenario}: expected {guard} to refuse, got a refusal by {_seen(with_it)}"
    if not with_it.work_went_on:
        idle = "; ".join(f"{w.part} {w.when}: {w.detail}" for w in with_it.legitimate if not w.ok)
        return f"{scenario}: {guard} refuses, and legitimate work stopped too ({idle})"
    return None


def _not_opened_without(guard: str, with_it: Trial, without_it: Trial) -> str | None:
    """Say why the world without the guard does not show that it was the guard, or None."""
    scenario = with_it.scenario
    if without_it.judgement.verdict is not Verdict.SUCCEEDED:
        return (
            f"{scenario}: expected the attack to succeed without {guard}, "
            f"got a refusal by {_seen(without_it)}"
        )
    if without_it.rogue is not None:
        return None
    if guard not in without_it.off:
        return f"{scenario}: the world without {guard} has it on"
    if without_it.off != with_it.off | {guard}:
        return f"{scenario}: the worlds with and without {guard} differ in more than it"
    return None


def _seen(trial: Trial) -> str:
    return ", ".join(trial.judgement.guards) or "something that no control declares"
