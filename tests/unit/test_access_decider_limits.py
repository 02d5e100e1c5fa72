"""The gateway's own counters: as the range's other counters count, and bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.access.gateway_counters import GatewayCounters
from iamrange.identity.stores.limits import LocalLimiter
from iamrange.identity.stores.ports import Rate, Wait


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.moment = 1000.0

    def __call__(self) -> float:
        return self.moment


STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0.0, 0.125, 0.5, 3.0, 10.0, 25.0])),
    max_size=60,
)


@given(steps=STEPS, amount=st.integers(1, 5), seconds=st.sampled_from([1, 10]))
@settings(max_examples=400)
def test_they_count_as_the_other_counters_do(
    steps: list[tuple[str, float]], amount: int, seconds: int
) -> None:
    clock = Clock()
    ours = GatewayCounters(monotonic=clock)
    theirs = LocalLimiter(monotonic=clock)
    rate = Rate(amount, seconds)
    for key, passes in steps:
        clock.moment += passes
        assert (ours.hit(key, rate) is None) == (theirs.hit(key, rate) is None)


@given(steps=STEPS, amount=st.integers(1, 5), seconds=st.sampled_from([1, 10]))
@settings(max_examples=400)
def test_no_window_holds_more_than_the_weighted_amount_and_waiting_helps(
    steps: list[tuple[str, float]], amount: int, seconds: int
) -> None:
    clock = Clock()
    counters = GatewayCounters(monotonic=clock)
    rate = Rate(amount, seconds)
    for _, passes in steps:
        clock.moment += passes
        refused = counters.hit("a", rate)
        if refused is None:
            continue
        assert 1 <= refused.seconds <= 2 * seconds
        clock.moment += refused.seconds
        assert counters.hit("a", rate) is None


def test_a_burst_of_exactly_the_amount_is_let_through() -> None:
    counters = GatewayCounters(monotonic=Clock())
    answers = [counters.hit("a", Rate(3, 10)) for _ in range(5)]
    assert answers[:3] == [None, None, None]
    assert all(isinstance(one, Wait) for one in answers[3:])


def test_one_key_under_two_rates_is_counted_for_each() -> None:
    counters = GatewayCounters(monotonic=Clock())
    assert counters.hit("a", Rate(1, 10)) is None
    assert counters.hit("a", Rate(1, 60)) is None
    assert counters.hit("a", Rate(1, 10)) is not None


def test_keys_beyond_the_bound_share_one_window_until_old_ones_are_past() -> None:
    clock = Clock()
    counters = GatewayCounters(monotonic=clock, capacity=3)
    rate = Rate(2, 10)
    assert all(counters.hit(key, rate) is None for key in "abc")
    assert [counters.hit(key, rate) is None for key in "defg"] == [True, True, False, False]
    assert counters.hit("a", rate) is None
    clock.moment += 30
    assert all(counters.hit(key, rate) is None for key in "xy")


def test_a_crowd_of_strangers_does_not_have_all_windows_looked_through_each_time() -> None:
    clock = Clock()
    counters = GatewayCounters(monotonic=clock, capacity=3)
    rate = Rate(100, 1)
    for number in range(50):
        counters.hit(f"stranger-{number}", rate)
    kept = counters._windows  # noqa: SLF001 - which dictionary it is
    for number in range(50, 90):
        counters.hit(f"stranger-{number}", rate)
    assert counters._windows is kept  # noqa: SLF001 - same
    clock.moment += 5
    assert counters.hit("late", rate) is None
    assert counters._windows is not kept  # noqa: SLF001 - same
