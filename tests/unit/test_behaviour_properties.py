"""What holds of baselines whatever an agent does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from iamrange.detect.baseline import MAX_NAMES, MAX_OPERATIONS, Baseline
from iamrange.detect.behaviour_rate import DAY
from iamrange.detect.watcher import Watcher
from tests.unit.behaviour_days import AGENT, DECLARED, MONDAY, ORDINARY, days, seen

if TYPE_CHECKING:
    from iamrange.detect.behaviour import Call

DAYS_OF_CALLS = st.lists(st.integers(0, 400), min_size=1, max_size=60)
ODD_CALLS = st.lists(
    st.builds(
        replace,
        st.just(ORDINARY),
        id=st.text(max_size=3),
        time=st.floats(0, 4e9),
        service=st.sampled_from(["customers", "hr", "payments", "aws:s3", "gcp:iam"]),
        operation=st.text(max_size=4),
        level=st.integers(-1, 3),
        place=st.text(max_size=3),
        allowed=st.booleans(),
        authenticated=st.booleans(),
    ),
    max_size=80,
)


@given(DAYS_OF_CALLS)
def test_no_sequence_teaches_a_limit_above_the_declared_ceiling(counts: list[int]) -> None:
    baseline = Baseline()
    for day, count in enumerate(counts):
        for number in range(count):
            moment = MONDAY + day * DAY + 36_000 + number * 0.1
            seen(baseline, replace(ORDINARY, id=f"{day}-{number}", time=moment))
            assert baseline.ceiling(DECLARED, moment) <= DECLARED.rate
            # and what was learned itself stays below: accused windows teach nothing
            assert baseline.minute.overall.mean <= DECLARED.rate


@given(ODD_CALLS)
def test_state_is_bounded_and_survives_a_round_trip_as_json(calls: list[Call]) -> None:
    watcher = Watcher(lambda _: DECLARED, agents=3)
    for number, call in enumerate(calls):
        watcher.see(replace(call, agent=f"{AGENT}-{number % 5}"))
    assert len(watcher.agents) <= 3
    for agent in watcher.agents:
        baseline = watcher.baseline(agent)
        assert len(baseline.operations) <= MAX_OPERATIONS
        assert max(len(baseline.services), len(baseline.places)) <= MAX_NAMES
        assert all(len(rate.slots) <= 48 for rate in baseline.rates)
    again = Watcher(lambda _: DECLARED, agents=3)
    again.take(json.loads(json.dumps(watcher.to_json())))
    assert again.to_json() == watcher.to_json()


@given(ODD_CALLS, st.integers(0, 80))
def test_a_restart_in_the_middle_changes_no_judgement(calls: list[Call], cut: int) -> None:
    whole, first = Watcher(lambda _: DECLARED), Watcher(lambda _: DECLARED)
    ordinary = list(days(6))
    said = [whole.see(call) for call in (*ordinary, *calls)]
    told = [first.see(call) for call in (*ordinary, *calls[:cut])]
    second = Watcher(lambda _: DECLARED)
    second.take(json.loads(json.dumps(first.to_json())))
    assert told + [second.see(call) for call in calls[cut:]] == said


@given(ODD_CALLS)
def test_a_call_that_is_delivered_twice_counts_once(calls: list[Call]) -> None:
    once, twice = Watcher(lambda _: DECLARED), Watcher(lambda _: DECLARED)
    for call in calls:
        assert once.see(call) == twice.see(call)
        assert twice.see(call) == ()
    assert {a: once.baseline(a).to_json() for a in once.agents} == {
        a: twice.baseline(a).to_json() for a in twice.agents
    }


@given(st.permutations(list(days(1, a_minute=4))))
def test_calls_of_one_minute_are_judged_alike_in_any_order(calls: list[Call]) -> None:
    at_nine = [call for call in calls if "-9-" in call.id]
    baseline = Baseline()
    for call in at_nine:
        assert seen(baseline, call) == []
    late = replace(ORDINARY, id="late", time=MONDAY + 40_000)
    seen(baseline, late)
    assert baseline.minute.overall.mean == len(at_nine)


@given(ODD_CALLS)
def test_junk_that_names_an_agent_changes_nothing_of_its(calls: list[Call]) -> None:
    watcher = Watcher(lambda _: DECLARED)
    for call in days(6):
        watcher.see(call)
    before = watcher.baseline(AGENT).to_json()
    for call in calls:
        assert watcher.see(replace(call, authenticated=False)) == ()
    assert watcher.baseline(AGENT).to_json() == before
    assert watcher.accused == {}
    assert watcher.counts.unverified == len(calls)
