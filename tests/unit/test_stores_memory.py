"""What stores in memory and limits promise beyond the contract of all stores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.horizon import SettledPast
from iamrange.identity.stores.keys import replay_key
from iamrange.identity.stores.limits import LocalLimiter
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.ports import Rate, Wait

NOW = 1_800_000_000.0


def test_a_full_store_refuses_rather_than_forgets() -> None:
    ticks = [0.0]
    store = MemoryReplay(capacity=3, monotonic=lambda: ticks[0])
    for jti in ("1", "2", "3"):
        assert store.insert("key", jti, expires=NOW + 66, now=NOW)
    with pytest.raises(StoreDownError, match="full"):
        store.insert("key", "4", expires=NOW + 66, now=NOW)
    assert not store.insert("key", "1", expires=NOW + 66, now=NOW)
    # room comes back when what is in it has been past for a while
    ticks[0] = 70.0
    with pytest.raises(StoreDownError, match="full"):
        store.insert("key", "4", expires=NOW + 136, now=NOW + 70)
    ticks[0] = 90.0
    assert store.insert("key", "4", expires=NOW + 156, now=NOW + 90)


def test_a_full_store_of_revocations_refuses() -> None:
    store = MemoryRevocation(now=lambda: NOW, capacity=2)
    store.revoke("1", expires=NOW + 300)
    store.revoke("2", expires=NOW + 300)
    store.revoke("2", expires=NOW + 300)
    with pytest.raises(StoreDownError, match="full"):
        store.revoke("3", expires=NOW + 300)
    assert store.state([], ["1", "2", "3"]).revoked == {"1", "2"}


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(-1e5, 1e5)), min_size=1, max_size=60))
def test_nothing_is_past_that_the_wall_clock_was_not_beyond_for_a_while(
    steps: list[tuple[float, float]],
) -> None:
    moment, seen = 0.0, []
    past = SettledPast(settling=10, monotonic=lambda: moment)
    for elapsed, wall in steps:
        moment += elapsed
        seen.append((moment, NOW + wall))
        settled = past.see(NOW + wall)
        recent = [one for at, one in seen if moment - at <= 10]
        assert settled <= min(recent)


def test_what_stays_past_becomes_past() -> None:
    moment = 0.0
    past = SettledPast(settling=10, monotonic=lambda: moment)
    settled = 0.0
    for _ in range(30):
        moment += 1
        settled = past.see(NOW + moment)
    assert NOW < settled <= NOW + 20


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_two_pairs_share_a_key(a: str, b: str, c: str, d: str) -> None:
    assert (replay_key(a, b) == replay_key(c, d)) == ((a, b) == (c, d))


def test_a_rate_holds_in_every_window() -> None:
    ticks = [1000.0]
    limiter, rate = LocalLimiter(monotonic=lambda: ticks[0]), Rate(5, 60)
    admitted = []
    for second in range(240):
        ticks[0] = 1000.0 + second
        if limiter.hit("agent", rate) is None:
            admitted.append(second)
    assert len(admitted) >= 15
    # windows are weighted: no burst of twice the rate at a border, as fixed windows let through
    assert max(sum(start <= at < start + 60 for at in admitted) for start in admitted) < 10


def test_a_wait_is_bounded_and_at_least_a_second() -> None:
    limiter = LocalLimiter(monotonic=lambda: 1000.0)
    assert limiter.hit("agent", Rate(1, 60)) is None
    wait = limiter.hit("agent", Rate(1, 60))
    assert isinstance(wait, Wait)
    assert 1 <= wait.seconds <= 60


def test_keys_and_rates_do_not_mix() -> None:
    limiter = LocalLimiter(monotonic=lambda: 1000.0)
    for key in ("a", "b", "", "a/b", "x" * 10_000, "\ud800"):
        assert limiter.hit(key, Rate(1, 60)) is None
        assert isinstance(limiter.hit(key, Rate(1, 60)), Wait)
    assert limiter.hit("a", Rate(1, 3600)) is None


def test_more_keys_than_fit_share_one_and_are_refused_earlier() -> None:
    limiter = LocalLimiter(monotonic=lambda: 1000.0, capacity=4)
    rate = Rate(2, 60)
    waits = [limiter.hit(f"client {number}", rate) for number in range(12)]
    assert waits[:6] == [None] * 6
    assert all(isinstance(wait, Wait) for wait in waits[6:])
