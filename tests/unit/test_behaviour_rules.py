"""Each rule: what breaks it, what does not, and what a human is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iamrange.detect.baseline import MATURE_DAYS, MAX_NAMES, Baseline
from iamrange.detect.behaviour import HARD, NO_DATA, NOTICES, Call, Rule
from iamrange.detect.behaviour_rate import DAY
from tests.unit.behaviour_days import DECLARED, MONDAY, ORDINARY, after, days, seen, taught

ONE_CALL = (
    # what the agent with history does, and which rule that breaks: cut off, noted, or nothing
    ("what it does every day", after(), None, False),
    ("a declared service that it never used", after(service="hr"), Rule.SERVICE_NEVER_USED, True),
    ("a cloud that it never used", after(service="aws:iam"), Rule.SERVICE_NEVER_USED, True),
    ("more sensitive data than ever", after(level=1), Rule.LEVEL_NEVER_TOUCHED, True),
    ("data above its ceiling", after(level=2), Rule.ABOVE_DECLARED_LEVEL, True),
    ("an undeclared service", after(service="payments"), Rule.UNDECLARED_SERVICE, True),
    ("another place", after(place="a cafe"), Rule.PLACE_NEVER_SEEN, True),
    ("a new operation", after(operation="DELETE /records/{id}"), Rule.OPERATION_NEVER_MADE, False),
    ("another hour", after(hour=3.0), Rule.HOUR_NEVER_WORKED, False),
    ("the hour after its last", after(hour=12.5), None, False),
    ("unlabelled data", after(level=NO_DATA), None, False),
)
NEWCOMERS = (
    ("what it is declared for", after(), None, False),
    ("another declared service", after(service="hr", level=1), None, False),
    ("an undeclared service", after(service="payments"), Rule.UNDECLARED_SERVICE, True),
    (
        "an undeclared service that refused it",
        after(service="payments", allowed=False),
        Rule.UNDECLARED_SERVICE,
        False,
    ),
    ("data above its ceiling", after(level=3), Rule.ABOVE_DECLARED_LEVEL, True),
    ("another place than home", after(place="a cafe"), Rule.NOT_AT_HOME, True),
    (
        "another place than home, which refused it",
        after(place="a cafe", allowed=False),
        Rule.NOT_AT_HOME,
        False,
    ),
    ("the middle of the night", after(hour=3.0), None, False),
)


def check(baseline: Baseline, call: Call, rule: Rule | None, *, contains: bool) -> None:
    found = seen(baseline, call)
    if rule is None:
        assert found == []
        return
    (said,) = [one for one in found if one.rule is rule]
    assert said.contains is contains
    assert said.evidence[-1] == call.id
    assert said.seen != said.expected
    assert said.layer == ("limits" if rule in HARD else "baseline")
    assert str(said).startswith(rule.value)


@pytest.mark.parametrize(
    ("call", "rule", "contains"),
    [pytest.param(*case[1:], id=case[0]) for case in ONE_CALL],
)
def test_an_agent_with_history_is_judged_by_it(
    call: Call, rule: Rule | None, *, contains: bool
) -> None:
    check(taught(), call, rule, contains=contains)


@pytest.mark.parametrize(
    ("call", "rule", "contains"),
    [pytest.param(*case[1:], id=case[0]) for case in NEWCOMERS],
)
def test_an_agent_without_history_is_judged_by_what_is_declared(
    call: Call, rule: Rule | None, *, contains: bool
) -> None:
    check(Baseline(), call, rule, contains=contains)


def test_every_rule_is_broken_by_some_test() -> None:
    told = {case[2] for case in (*ONE_CALL, *NEWCOMERS)} - {None}
    assert set(Rule) - told == {Rule.RATE_UP, Rule.ABOVE_DECLARED_RATE, Rule.DRIFTED}  # below
    assert not HARD & NOTICES


ACCEPTED = (
    (Rule.SERVICE_NEVER_USED, after(service="hr")),
    (Rule.PLACE_NEVER_SEEN, after(place="a cafe")),
    (Rule.LEVEL_NEVER_TOUCHED, after(level=1)),
)


@pytest.mark.parametrize(("rule", "call"), ACCEPTED)
def test_what_a_human_accepts_is_ordinary_from_then_on(rule: Rule, call: Call) -> None:
    baseline = taught()
    for said in [one for one in seen(baseline, call) if one.contains]:
        assert said.rule is rule
        assert baseline.accept(said)
    again = seen(baseline, replace(call, id="again"))
    assert not any(one.contains for one in again)


def test_what_is_declared_is_not_a_humans_to_accept_here() -> None:
    baseline = taught()
    call = after(service="payments")
    said = [one for one in seen(baseline, call) if one.rule is Rule.UNDECLARED_SERVICE]
    assert [baseline.accept(one) for one in said] == [False]
    assert Rule.UNDECLARED_SERVICE in {one.rule for one in seen(baseline, replace(call, id="2"))}


def burst(count: int, start: Call) -> list[Call]:
    return [replace(start, id=f"b{n}", time=start.time + n * 0.1) for n in range(count)]


def test_a_rate_that_is_up_by_500_percent_is_accused_at_the_call_that_makes_it_so() -> None:
    baseline = taught(a_minute=4)
    found = [[one.rule for one in seen(baseline, call)] for call in burst(25, after())]
    assert found[:24] == [[]] * 24
    assert found[24] == [Rule.RATE_UP]


def test_a_burst_is_not_hidden_by_the_edge_of_a_minute() -> None:
    baseline = taught(a_minute=4)
    late = after(hour=10.5 + 59 / 3600)
    assert any(seen(baseline, call) for call in burst(30, late))


def test_a_raised_rate_that_hides_below_the_limit_of_a_minute_is_found_in_the_next() -> None:
    baseline = taught(a_minute=4)
    calls = [replace(after(), id=f"b{n}", time=after().time + n * 2.6) for n in range(46)]
    first = next(found for found in (seen(baseline, call) for call in calls) if found)
    assert [one.rule for one in first] == [Rule.RATE_UP]
    assert first[0].seen == "25 calls in two minutes"


def test_a_few_calls_are_never_too_many() -> None:
    baseline = taught(a_minute=1)
    assert all(seen(baseline, call) == [] for call in burst(10, after()))
    (said,) = seen(baseline, replace(after(), id="b10", time=after().time + 1.0))
    assert (said.rule, said.seen) == (Rule.RATE_UP, "11 calls in a minute")
    assert said.expected == "at most 10 at this hour, where 1.0 are usual"


def test_an_agent_without_history_may_call_at_the_declared_rate_and_no_faster() -> None:
    baseline = Baseline()
    found = [seen(baseline, call) for call in burst(DECLARED.rate + 1, after())]
    assert not any(found[:-1])
    assert [one.rule for one in found[-1]] == [Rule.ABOVE_DECLARED_RATE]


def test_a_usual_rate_that_has_outgrown_what_was_first_learned_is_accused() -> None:
    baseline, unlimited = taught(MATURE_DAYS), taught(MATURE_DAYS)
    rules = set()
    for day in range(MATURE_DAYS, 120):
        a_minute = min(2 + day // 4, 30)
        for n in range(a_minute):
            call = replace(ORDINARY, id=f"{day}-{n}", time=MONDAY + day * DAY + 36_000 + n)
            rules |= {one.rule for one in seen(baseline, call) if one.contains}
            # led astray, it sees nothing
            assert not any(one.contains for one in seen(unlimited, call, declared=None))
    assert rules == {Rule.DRIFTED}
    assert baseline.minute.overall.mean < unlimited.minute.overall.mean / 2


def spread(day: int, an_hour: int, hours: range = range(9, 13)) -> list[Call]:
    """Return the calls of a day, each in a minute of its own as far as there are enough."""
    return [
        replace(ORDINARY, id=f"{day}-{hour}-{n}", time=MONDAY + day * DAY + hour * 3600 + moment)
        for hour in hours
        for n, moment in enumerate(number * 3600 / an_hour for number in range(an_hour))
    ]


@pytest.mark.parametrize(("first", "accused_by"), [(2, 70), (10, 70), (25, 85), (40, 130)])
def test_a_drift_that_hides_in_more_minutes_of_an_hour_is_accused(
    first: int, accused_by: int
) -> None:
    """The usual minute stays as it was; there are more of them."""
    baseline, unlimited = Baseline(), Baseline()
    said = []
    for day in range(400):
        an_hour = first + max(0, day - 10) // 2
        for call in spread(day, an_hour):
            said = [one for one in seen(baseline, call) if one.contains]
            assert not any(one.contains for one in seen(unlimited, call, declared=None))
            if said:
                break
        if said:
            break
    else:
        pytest.fail("it was never accused")
    assert [(one.rule, one.layer) for one in said] == [(Rule.DRIFTED, "limits")]
    assert 3 * first < an_hour <= accused_by
    assert "calls in a usual hour" in said[0].seen
    baseline.released()
    assert not [one for one in seen(baseline, after(day + 1)) if one.contains]


def test_hours_of_up_to_sixty_calls_are_no_drift() -> None:
    baseline = Baseline()
    for day in range(200):
        for call in spread(day, min(1 + day // 3, 58)):
            assert not [one for one in seen(baseline, call) if one.contains], day


@pytest.mark.parametrize(
    ("rule", "names"),
    [(Rule.PLACE_NEVER_SEEN, "places"), (Rule.SERVICE_NEVER_USED, "services")],
)
def test_what_a_human_accepts_is_ordinary_even_where_there_is_no_room(
    rule: Rule, names: str
) -> None:
    baseline = taught()
    known: dict[str, int] = getattr(baseline, names)
    known |= {f"another {number}": 1 for number in range(MAX_NAMES - len(known))}
    call = after(place="a cafe") if names == "places" else after(service="aws:iam")
    (said,) = [one for one in seen(baseline, call) if one.contains]
    assert said.rule is rule
    assert baseline.accept(said)
    assert not [one for one in seen(baseline, replace(call, id="again")) if one.contains]
    assert not [one for one in seen(baseline, replace(after(), id="own")) if one.contains]
    assert len(known) == MAX_NAMES


def test_whoever_releases_an_agent_accepts_the_rate_that_is_usual_now() -> None:
    baseline = taught()
    assert baseline.anchor == pytest.approx(2.0)
    baseline.minute.overall.mean = 9.0
    assert [one.rule for one in seen(baseline, after())] == [Rule.DRIFTED]
    baseline.released()
    assert seen(baseline, after()) == []


def test_history_is_days_of_work_and_not_many_calls_on_one() -> None:
    baseline = Baseline()
    for call in burst(40, ORDINARY):
        seen(baseline, call)
    assert not baseline.mature
    for call in days(MATURE_DAYS):
        seen(baseline, call)
    assert baseline.mature


def test_what_was_accused_or_refused_is_not_learned() -> None:
    baseline = taught()
    before = baseline.to_json()
    accused, refused = after(service="hr"), after(service="hr", allowed=False)
    for call in (accused, replace(refused, id="r")):
        assert [one.rule for one in seen(baseline, call)] == [Rule.SERVICE_NEVER_USED]
    now = baseline.to_json()
    for part in ("services", "operations", "places", "level", "days", "calls", "anchor"):
        assert now[part] == before[part]
