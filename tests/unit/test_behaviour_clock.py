"""A clock that is stepped, and calls that come late: nothing is learned or accused of it."""

from __future__ import annotations

from dataclasses import replace

from iamrange.detect.baseline import MATURE_DAYS
from iamrange.detect.behaviour import Rule
from iamrange.detect.behaviour_rate import DAY, slot_of
from tests.unit.behaviour_days import after, seen, taught


def test_a_clock_stepped_forward_makes_one_day_of_history_and_no_more() -> None:
    baseline = taught(3)
    days = baseline.days
    seen(baseline, after(400))
    assert baseline.days == days + 1


def test_a_clock_stepped_back_makes_no_day_of_history() -> None:
    baseline = taught(10)
    days = baseline.days
    assert seen(baseline, after(2)) == []
    assert baseline.days == days


def test_a_clock_stepped_forward_and_back_keeps_nobody_from_having_a_history() -> None:
    baseline = taught(2)
    for _ in range(MATURE_DAYS):
        seen(baseline, after(400))
        seen(baseline, after(1))
        assert baseline.days == 2
    for day in range(2, MATURE_DAYS):
        assert not baseline.mature
        seen(baseline, after(day))
    assert baseline.mature


def test_a_flood_is_found_across_a_step_of_the_clock() -> None:
    for step in (-7 * DAY, 7 * DAY):
        baseline = taught(10)
        rules = set()
        for number in range(40):
            moved = step if number >= 10 else 0.0
            call = replace(after(), id=f"f{number}", time=after().time + moved + number * 0.1)
            rules |= {one.rule for one in seen(baseline, call)}
        assert Rule.RATE_UP in rules, step


def test_calls_that_come_a_little_late_are_counted_with_the_rest() -> None:
    baseline = taught(10)
    rules = set()
    for number in range(40):
        late = -60.0 if number % 2 else 0.0
        call = replace(after(), id=f"f{number}", time=after().time + late + number * 0.1)
        rules |= {one.rule for one in seen(baseline, call)}
    assert rules == {Rule.RATE_UP}


def test_an_hour_has_a_slot_for_working_days_and_one_for_weekends() -> None:
    thursday = 0.0  # 1970-01-01
    assert [slot_of(thursday + day * DAY) for day in range(7)] == [0, 0, 24, 24, 0, 0, 0]
    assert slot_of(thursday + 2 * DAY + 23.5 * 3600) == 47
    assert slot_of(-3600.0) == 23
