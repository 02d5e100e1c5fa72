"""What counts as blocked, and what never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iamrange.core import aws_controls, detect_controls, secrets_controls
from iamrange.core.controls import CONTROLS, INVARIANTS, Control, Invariant, Refusal
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement
from iamrange.core.verdict import (
    Attempt,
    Failure,
    Judgement,
    Legitimate,
    Proof,
    Trial,
    Verdict,
    judge,
    prove,
)

KNOWN: dict[str, Control | Invariant] = {**CONTROLS, **INVARIANTS}
CANARY = "canary-of-this-run"
GUARD = aws_controls.LEAST_PRIVILEGE.id


def layer(
    name: str = "identity",
    effect: Effect = Effect.IMPLICIT_DENY,
    reason: str = "no-statement-allows",
    **more: object,
) -> LayerAnswer:
    return LayerAnswer(layer=name, effect=effect, reason=reason, **more)  # type: ignore[arg-type]  # test table


def record(
    *layers: LayerAnswer,
    point: str = "aws.authorize",
    action: str = "secretsmanager:GetSecretValue",
    outcome: Outcome = Outcome.DENY,
    request_id: str = "r1",
) -> DecisionRecord:
    return DecisionRecord(
        request_id=request_id,
        time=0.0,
        point=point,
        action=action,
        resource="arn:x",
        principal="p",
        outcome=outcome,
        reason="r",
        layers=layers or (layer(),),
    )


def judged(
    attempt: Attempt,
    *records: DecisionRecord,
    under_test: str = GUARD,
    decoy: str | None = None,
) -> Judgement:
    return judge(
        attempt,
        canary=CANARY,
        records=records,
        known=KNOWN,
        under_test=[under_test],
        decoy=decoy,
    )


REFUSED = Attempt(refused="AccessDenied", request_id="r1")


@pytest.mark.parametrize(
    ("attempt", "records", "expected"),
    [
        pytest.param(Attempt(loot=(CANARY,)), (), Verdict.SUCCEEDED, id="canary brought home"),
        pytest.param(REFUSED, (record(),), Verdict.BLOCKED, id="refused by the control"),
        pytest.param(
            Attempt(refused="PERMISSION_DENIED"), (record(),), Verdict.BLOCKED, id="no id was told"
        ),
        pytest.param(
            REFUSED,
            (record(layer("scp", Effect.DENY, "statement-denies")),),
            Verdict.BLOCKED_ELSEWHERE,
            id="refused by another layer",
        ),
        pytest.param(
            REFUSED,
            (record(layer(near_misses=(Statement("p", "#0", ("aws:x",)),))),),
            Verdict.BLOCKED_ELSEWHERE,
            id="an absence is not a near miss",
        ),
        pytest.param(
            REFUSED,
            (record(action="s3:GetObject"),),
            Verdict.BLOCKED_ELSEWHERE,
            id="another action refused",
        ),
        pytest.param(REFUSED, (), Verdict.ERROR, id="no decision point knows of a refusal"),
        pytest.param(
            REFUSED, (record(outcome=Outcome.ALLOW),), Verdict.ERROR, id="only allows on record"
        ),
        pytest.param(Attempt(), (record(),), Verdict.ERROR, id="neither loot nor refusal"),
        pytest.param(Attempt(loot=("junk",)), (), Verdict.ERROR, id="loot that nobody planted"),
        pytest.param(
            Attempt(broke="TypeError at x.py:1"), (record(),), Verdict.ERROR, id="attack crashed"
        ),
        pytest.param(
            REFUSED,
            (record(layer("keys", Effect.DENY, "unreachable"), point="aws.web-identity"),),
            Verdict.ERROR,
            id="a key set that does not answer is not a block",
        ),
    ],
)
def test_a_verdict_follows_from_the_evidence(
    attempt: Attempt, records: tuple[DecisionRecord, ...], expected: Verdict
) -> None:
    assert judged(attempt, *records).verdict is expected


CHAIN = detect_controls.AUDIT_CHAIN.id
BROKEN_CHAIN = record(
    layer("chain", Effect.DENY, "changed"), point=detect_controls.AUDIT, action="audit:Verify"
)


def test_what_came_home_and_was_found_out_is_detected() -> None:
    home = Attempt(loot=(CANARY,))
    found = judged(home, BROKEN_CHAIN, under_test=CHAIN)
    assert found.verdict is Verdict.DETECTED
    assert found.guards == (CHAIN,)
    assert judged(home, under_test=CHAIN).verdict is Verdict.SUCCEEDED
    assert judged(home, BROKEN_CHAIN, under_test=GUARD).verdict is Verdict.SUCCEEDED
    assert judged(home, record(), under_test=GUARD).verdict is Verdict.SUCCEEDED


EMPTY = secrets_controls.NO_HARD_CODED_CREDENTIALS.id
SEARCHED = record(
    layer("search", Effect.DENY, "nothing-but-the-decoy"),
    point=secrets_controls.SEARCHED,
    action="repository:Search",
)


def test_a_search_that_finds_the_decoy_alone_had_nothing_to_steal() -> None:
    decoy = Attempt(loot=("decoy",))
    found = judged(decoy, record(), SEARCHED, under_test=EMPTY, decoy="decoy")
    assert found.verdict is Verdict.NOTHING_TO_STEAL
    assert found.guards == (EMPTY,)


@pytest.mark.parametrize(
    ("loot", "records", "decoy", "expected"),
    [
        pytest.param(("decoy",), (), "decoy", Verdict.ERROR, id="nobody else has searched"),
        pytest.param(("decoy",), (SEARCHED,), None, Verdict.ERROR, id="there was no decoy"),
        pytest.param((), (SEARCHED,), "decoy", Verdict.ERROR, id="the search found nothing"),
        pytest.param(("decoy", "x"), (SEARCHED,), "decoy", Verdict.ERROR, id="and something else"),
        pytest.param((CANARY,), (SEARCHED,), "decoy", Verdict.SUCCEEDED, id="a key was there"),
    ],
)
def test_nothing_to_steal_takes_a_decoy_that_both_searches_find(
    loot: tuple[str, ...],
    records: tuple[DecisionRecord, ...],
    decoy: str | None,
    expected: Verdict,
) -> None:
    found = judged(Attempt(loot=loot), *records, under_test=EMPTY, decoy=decoy)
    assert found.verdict is expected


def test_detection_is_proved_by_a_world_where_nobody_finds_out() -> None:
    home = Attempt(loot=(CANARY,))
    worked = (Legitimate(part="log-writer", when="during", ok=True),)
    with_it = Trial(
        scenario="s",
        off=frozenset(),
        rogue=None,
        judgement=judged(home, BROKEN_CHAIN, under_test=CHAIN),
        records=(),
        legitimate=worked,
        seconds=1.0,
    )
    without_it = replace(
        with_it, off=frozenset({CHAIN}), judgement=judged(home, under_test=CHAIN), legitimate=()
    )
    assert isinstance(prove(CHAIN, with_it, without_it), Proof)
    assert isinstance(prove(CHAIN, without_it, with_it), Failure)
    assert isinstance(prove(CHAIN, with_it, with_it), Failure)


LIMITS = detect_controls.HARD_LIMITS.id
REVOCATION = detect_controls.AUTOMATIC_REVOCATION.id
ACCUSED = record(
    layer("limits", Effect.DENY, "above-declared-rate"),
    point=detect_controls.WATCH,
    request_id="w",
)


def test_who_accused_an_agent_that_was_cut_off_is_part_of_why_it_was_refused() -> None:
    cut_off = record(layer("agent", Effect.DENY, "agent-quarantined"), point="gateway.call")
    for guard in (LIMITS, REVOCATION):
        found = judged(REFUSED, ACCUSED, cut_off, under_test=guard)
        assert found.verdict is Verdict.BLOCKED
        assert set(found.guards) == {LIMITS, REVOCATION}


def test_an_accusation_is_no_part_of_a_refusal_for_another_reason() -> None:
    found = judged(REFUSED, ACCUSED, record(), under_test=LIMITS)
    assert found.verdict is Verdict.BLOCKED_ELSEWHERE
    assert LIMITS not in found.guards


def test_the_request_that_the_client_names_is_judged_not_the_last_one() -> None:
    other = record(layer("scp", Effect.DENY, "statement-denies"), request_id="r2")
    assert judged(REFUSED, record(), other).verdict is Verdict.BLOCKED
    unnamed = Attempt(refused="AccessDenied")
    assert judged(unnamed, record(), other).verdict is Verdict.BLOCKED_ELSEWHERE


def test_every_refusing_layer_of_the_request_is_reported() -> None:
    judgement = judged(REFUSED, record(layer(), layer("permissions-boundary")))
    assert [refused.layer for refused in judgement.refusals] == ["identity", "permissions-boundary"]
    assert set(judgement.guards) == {GUARD, aws_controls.PERMISSIONS_BOUNDARY.id}


def test_a_condition_key_is_recognised_in_the_statement_that_turned_on_it() -> None:
    refusal = Refusal(
        point="aws.authorize", layer="scp", effect=Effect.DENY, condition_key="aws:sourceip"
    )
    decided = Statement("policy", "#0", ("aws:sourceip",))
    answer = layer("scp", Effect.DENY, "statement-denies", decided_by=decided)
    assert refusal.is_answer("aws.authorize", answer)
    assert not refusal.is_answer("aws.authorize", layer("scp", Effect.DENY))
    assert judged(REFUSED, record(answer)).refusals[0].statement == "policy #0"


def trial(
    verdict: Verdict,
    *guards: str,
    off: frozenset[str] = frozenset(),
    rogue: str | None = None,
    ok: bool = True,
) -> Trial:
    refusing = tuple(
        layer() if name == GUARD else layer(reason="other") for name in guards or ("x",)
    )
    judgement = (
        judged(REFUSED, record(*refusing))
        if verdict is Verdict.BLOCKED
        else Judgement(verdict=verdict, detail="it broke")
    )
    return Trial(
        scenario="s/x",
        off=off,
        rogue=rogue,
        judgement=judgement,
        records=(),
        legitimate=(Legitimate(part="victim", when="after", ok=ok, detail="refused"),),
        seconds=0.0,
    )


WITHOUT = trial(Verdict.SUCCEEDED, off=frozenset({GUARD}))


def test_two_worlds_that_differ_in_the_control_alone_are_a_proof() -> None:
    proof = prove(GUARD, trial(Verdict.BLOCKED, GUARD), WITHOUT)
    assert isinstance(proof, Proof)
    assert proof.single_point_of_failure


def test_a_context_makes_it_defence_in_depth() -> None:
    depth = frozenset({"aws.other"})
    proof = prove(
        GUARD,
        trial(Verdict.BLOCKED, GUARD, off=depth),
        trial(Verdict.SUCCEEDED, off=depth | {GUARD}),
    )
    assert isinstance(proof, Proof)
    assert not proof.single_point_of_failure


@pytest.mark.parametrize(
    ("with_it", "without_it", "says", "broke"),
    [
        (trial(Verdict.ERROR), WITHOUT, "it broke", True),
        (trial(Verdict.BLOCKED, GUARD), trial(Verdict.ERROR), "it broke", True),
        (trial(Verdict.SUCCEEDED), WITHOUT, "succeeds although", False),
        (trial(Verdict.BLOCKED_ELSEWHERE), WITHOUT, "something that no control", False),
        (trial(Verdict.BLOCKED, GUARD, ok=False), WITHOUT, "legitimate work stopped", False),
        (
            trial(Verdict.BLOCKED, GUARD),
            trial(Verdict.BLOCKED, GUARD, off=frozenset({GUARD})),
            "expected the attack to succeed without",
            False,
        ),
        (trial(Verdict.BLOCKED, GUARD), trial(Verdict.SUCCEEDED), "has it on", False),
        (
            trial(Verdict.BLOCKED, GUARD),
            trial(Verdict.SUCCEEDED, off=frozenset({GUARD, "aws.another"})),
            "differ in more",
            False,
        ),
    ],
)
def test_two_worlds_that_do_not_differ_as_they_should_are_no_proof(
    with_it: Trial, without_it: Trial, says: str, *, broke: bool
) -> None:
    outcome = prove(GUARD, with_it, without_it)
    assert not isinstance(outcome, Proof)
    assert says in outcome.message
    assert outcome.range_broke is broke
