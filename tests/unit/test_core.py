"""The shared values: what they refuse, and that nothing is lost on the way through JSON."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core import aws_controls
from iamrange.core.clock import Clock, FixedClock, OffsetClock, SystemClock
from iamrange.core.controls import (
    CONTROLS,
    INVARIANTS,
    Control,
    Refusal,
    UnknownNameError,
    control_named,
)
from iamrange.core.decision import (
    DecisionRecord,
    Effect,
    LayerAnswer,
    Outcome,
    Statement,
    honest,
    record_from_json,
    record_to_json,
)
from iamrange.core.result import RunResult, ScenarioResult
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    AwsSession,
    History,
    Loot,
    Part,
    Scenario,
    Taken,
    Work,
)
from iamrange.core.verdict import Failure, Judgement, Legitimate, Proof, Trial, Verdict
from iamrange.range.catalogue import catalogue

TEXT = st.text(max_size=12)
STATEMENTS = st.builds(Statement, TEXT, TEXT, st.lists(TEXT, max_size=3).map(tuple))
LAYERS = st.builds(
    LayerAnswer,
    layer=TEXT,
    effect=st.sampled_from(Effect),
    reason=TEXT,
    decided_by=st.none() | STATEMENTS,
    near_misses=st.lists(STATEMENTS, max_size=2).map(tuple),
    detail=TEXT,
)
RECORDS = st.builds(
    DecisionRecord,
    request_id=TEXT,
    time=st.floats(allow_nan=False),
    point=TEXT,
    action=TEXT,
    resource=TEXT,
    principal=TEXT,
    outcome=st.sampled_from(Outcome),
    reason=TEXT,
    layers=st.lists(LAYERS, max_size=3).map(tuple),
    source_ip=TEXT,
    user_agent=TEXT,
    account=TEXT,
    unevaluated=st.lists(TEXT, max_size=2).map(tuple),
    facts=st.dictionaries(TEXT, TEXT, max_size=2),
)
SCENARIO = next(iter(catalogue().values())).scenario


@given(RECORDS)
def test_a_record_comes_back_from_json_as_it_was(record: DecisionRecord) -> None:
    assert record_from_json(record_to_json(record)) == record


@given(st.lists(LAYERS).map(tuple))
def test_the_honest_cloud_changes_no_answer(layers: tuple[LayerAnswer, ...]) -> None:
    assert honest("any", layers) == layers


@pytest.mark.parametrize(
    ("effect", "refuses"),
    [
        (Effect.ALLOW, False),
        (Effect.NOT_APPLICABLE, False),
        (Effect.DENY, True),
        (Effect.IMPLICIT_DENY, True),
    ],
)
def test_silence_refuses_where_a_permission_was_needed(effect: Effect, *, refuses: bool) -> None:
    assert LayerAnswer("layer", effect, "reason").refuses is refuses


def test_clocks_tell_the_time_that_they_were_set_to() -> None:
    clock: Clock = FixedClock(5.0)
    assert clock.now() == 5.0
    moved = OffsetClock(3600.0)
    assert moved.now() - SystemClock().now() == pytest.approx(3600.0, abs=60)
    assert SystemClock().now() <= time.time()


def test_a_control_that_touches_nothing_could_never_be_switched() -> None:
    with pytest.raises(ValueError, match="touches expected at least one resource type"):
        replace(aws_controls.LEAST_PRIVILEGE, touches=frozenset())


@pytest.mark.parametrize("field", ["claim", "blocked_by", "knows", "maps_to", "lesson"])
def test_a_scenario_that_could_prove_nothing_is_refused(field: str) -> None:
    empty: Any = "" if isinstance(getattr(SCENARIO, field), str) else ()
    with pytest.raises(ValueError, match=f"{field} expected at least one entry"):
        replace(SCENARIO, **{field: empty})


def test_a_history_that_grows_does_so_day_by_day_until_it_is_so_many_times_as_much() -> None:
    assert [History(days=4).times(day) for day in range(1, 5)] == [1, 1, 1, 1]
    assert [History(days=4, grows_to=16).times(day) for day in range(1, 5)] == [2, 4, 8, 16]


def test_a_bystander_is_somebody_else_than_the_victim() -> None:
    with pytest.raises(ValueError, match="another agent than the victim"):
        replace(SCENARIO, bystander=SCENARIO.foothold.victim)


def test_controls_and_invariants_are_not_mixed_in_one_scenario() -> None:
    both = (next(iter(CONTROLS.values())), next(iter(INVARIANTS.values())))
    with pytest.raises(ValueError, match="controls or invariants, got both"):
        replace(SCENARIO, blocked_by=both)


def test_an_unknown_control_is_answered_with_the_nearest() -> None:
    assert control_named("aws.least-privilege") is aws_controls.LEAST_PRIVILEGE
    with pytest.raises(UnknownNameError, match=r"nearest: aws\.least-privilege") as caught:
        control_named("aws.least-priviledge")
    assert caught.value.nearest[0] == "aws.least-privilege"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"outcome": Outcome.ALLOW}, False),
        ({"action": "s3:GetObject"}, False),
        ({"point": "aws.limits"}, False),
        ({"layers": (LayerAnswer("scp", Effect.DENY, "other-reason"),)}, False),
        ({"layers": (LayerAnswer("scp", Effect.IMPLICIT_DENY, "statement-denies"),)}, False),
    ],
)
def test_a_refusal_is_recognised_by_all_that_it_declares(
    change: dict[str, Any], *, found: bool
) -> None:
    record = DecisionRecord(
        request_id="r",
        time=0.0,
        point="aws.authorize",
        action="iam:CreateAccessKey",
        resource="*",
        principal="p",
        outcome=Outcome.DENY,
        reason="r",
        layers=(LayerAnswer("scp", Effect.DENY, "statement-denies"),),
    )
    refusal = aws_controls.ORG_NO_LONG_LIVED_KEYS.refusal
    assert (refusal.answer_in(replace(record, **change)) is not None) is found


def test_no_two_controls_are_recognised_by_one_refusal() -> None:
    guards: list[Control] = list(CONTROLS.values())
    refusals: list[Refusal] = [guard.refusal for guard in guards]
    assert len(set(refusals)) == len(refusals)


def test_what_is_secret_has_no_repr() -> None:
    session = AwsSession("AKIDSECRET", "KEYSECRET", "TOKENSECRET")
    taken = Taken(knows={"a": "b"}, token="TOKENSECRET", aws_session=session)
    shown = repr((session, taken, Loot(("TOKENSECRET",)), Work("TOKENSECRET", {"k": "KEYSECRET"})))
    assert "SECRET" not in shown


def test_an_asset_names_itself_for_people() -> None:
    assert str(Asset(AssetKind.AWS_SECRET, Part.HR_ASSISTANT)) == "aws-secret:hr-assistant"
    assert str(Asset(AssetKind.AWS_PLATFORM_SECRET)) == "aws-platform-secret"


def trial(verdict: Verdict, *off: str, rogue: str | None = None) -> Trial:
    return Trial(
        scenario="f/x",
        off=frozenset(off),
        rogue=rogue,
        judgement=Judgement(verdict=verdict),
        records=(),
        legitimate=(Legitimate(part="p", when="after", ok=True),),
        seconds=0.0,
    )


def proof(guard: str, *context: str, rogue: str | None = None) -> Proof:
    off = context if rogue else (*context, guard)
    return Proof(
        guard=guard,
        scenario="f/x",
        context=frozenset(context),
        with_it=trial(Verdict.BLOCKED, *context),
        without_it=trial(Verdict.SUCCEEDED, *off, rogue=rogue),
    )


def scenario_result(
    *proofs: Proof, asset: str = "asset", failures: tuple[Failure, ...] = ()
) -> ScenarioResult:
    return ScenarioResult(
        id="f/x",
        claim="c",
        lesson="l",
        guards=tuple(p.guard for p in proofs) or ("g",),
        asset=asset,
        trial=trial(Verdict.BLOCKED),
        proofs=proofs,
        failures=failures,
    )


def result(*scenarios: ScenarioResult, off: tuple[str, ...] = ()) -> RunResult:
    return RunResult(
        run_id="r",
        target="t",
        started=0.0,
        seconds=1.0,
        versions={},
        scenarios=scenarios,
        off_in_stack=off,
    )


BROKEN = Failure(scenario="f/x", guard="g", message="it broke", range_broke=True)


@pytest.mark.parametrize(
    ("run", "proved", "broke"),
    [
        (result(), False, False),
        (result(scenario_result(proof("a"))), True, False),
        (result(scenario_result(proof("a")), off=("b",)), False, False),
        (result(scenario_result(proof("a"), failures=(BROKEN,))), False, True),
        (result(scenario_result()), False, False),
    ],
    ids=["nothing", "all", "a control is off", "the range broke", "a guard without proof"],
)
def test_a_run_is_good_only_if_something_was_proved_and_nothing_failed(
    run: RunResult, *, proved: bool, broke: bool
) -> None:
    assert run.proved is proved
    assert run.range_broke is broke
    assert len(run.proofs) == sum(len(s.proofs) for s in run.scenarios)


def test_cut_sets_are_the_smallest_sets_that_were_seen_to_open_an_asset() -> None:
    run = result(
        scenario_result(proof("a", "b"), proof("b", "a"), asset="secret"),
        scenario_result(proof("c"), proof("d", "c"), asset="secret"),
        scenario_result(proof("invariant", rogue="Unsafe"), asset="other"),
    )
    assert run.cut_sets() == {"secret": (frozenset({"c"}), frozenset({"a", "b"}))}


def test_a_scenario_is_a_value() -> None:
    assert isinstance(SCENARIO, Scenario)
    assert replace(SCENARIO) == SCENARIO
