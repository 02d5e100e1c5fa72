"""Every adapter of the stores keeps the same promises: one table, run against each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from iamrange.identity.stores.memory import MemoryReplay
from tests.conformance.store_adapters import (
    InMemory,
    InRedis,
    InSql,
    Stores,
    Ticks,
    empty_database,
)
from tests.conformance.store_servers import postgres_server, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.identity.stores.ports import ReplayStore

NOW = 1_800_000_000.0
KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
ADAPTERS = ["memory", "sqlite", "postgresql", "redis"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@contextmanager
def opened(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Stores]:
    match name:
        case "memory":
            yield InMemory()
            return
        case "sqlite":
            found: InSql | InRedis = InSql(f"sqlite:///{folder / 'stores.db'}")
        case "postgresql":
            found = InSql(empty_database(request.getfixturevalue("postgres")))
        case _:
            found = InRedis(request.getfixturevalue("redis_url"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=ADAPTERS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    with opened(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture(params=ADAPTERS[1:])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Those that several processes share."""
    with opened(request.param, request, tmp_path) as found:
        yield found


def spend(store: ReplayStore, jti: str, *, at: float = NOW, life: float = 66.0) -> bool:
    return store.insert(KEY, jti, expires=at + life, now=at)


def test_a_jti_is_spent_once(stores: Stores) -> None:
    store = stores.replay()
    assert not store.seen(KEY, "one", expires=NOW + 66)
    assert spend(store, "one")
    assert store.seen(KEY, "one", expires=NOW + 66)
    assert not spend(store, "one")
    assert spend(store, "two")


def test_looking_spends_nothing(stores: Stores) -> None:
    store = stores.replay()
    assert not store.seen(KEY, "one", expires=NOW + 66)
    assert spend(store, "one")


def test_a_jti_is_spent_under_its_key_alone(stores: Stores) -> None:
    store = stores.replay()
    assert store.insert("key-1", "jti", expires=NOW + 66, now=NOW)
    assert store.insert("key-2", "jti", expires=NOW + 66, now=NOW)
    assert store.insert("key-1j", "ti", expires=NOW + 66, now=NOW)


@pytest.mark.parametrize("later", [-30.0, 0.5, 59.0, 200.0])
def test_another_date_makes_no_other_jti(stores: Stores, later: float) -> None:
    store = stores.replay()
    assert spend(store, "one")
    assert not store.insert(KEY, "one", expires=NOW + 66 + later, now=NOW)


@pytest.mark.parametrize(
    "jti", ["a\x00b", "'; DROP TABLE replay_used; --", "é\U0001f600", "x" * 10_000, " ", "\ud800"]
)
def test_any_text_is_a_jti(stores: Stores, jti: str) -> None:
    store = stores.replay()
    assert spend(store, jti)
    assert not spend(store, jti)


def test_of_64_at_once_exactly_one_is_first(stores: Stores) -> None:
    opened = [stores.replay()]
    if not isinstance(stores, InMemory):
        opened += [stores.replay() for _ in range(3)]
    gate = threading.Barrier(64)

    def use(number: int) -> bool:
        store = opened[number % len(opened)]
        gate.wait()
        return spend(store, "raced")

    with ThreadPoolExecutor(64) as pool:
        won = list(pool.map(use, range(64)))
    assert won.count(True) == 1


def test_another_process_sees_what_was_spent(shared: Stores) -> None:
    assert spend(shared.replay(), "one")
    other = shared.replay()
    assert other.seen(KEY, "one", expires=NOW + 66)
    assert not spend(other, "one")


def test_a_jti_is_kept_to_the_far_end_of_its_window(stores: Stores) -> None:
    ticks = Ticks()
    store = stores.replay(monotonic=ticks)
    assert spend(store, "one")
    for second in range(0, 66, 3):
        ticks.moment = 1000.0 + second
        spend(store, f"filler {second}", at=NOW + second)
        assert not store.insert(KEY, "one", expires=NOW + 66, now=NOW + second)


def forget(store: ReplayStore, ticks: Ticks, *, start: float = NOW) -> None:
    """Let ten minutes pass under so much use that everything past is pruned."""
    for number in range(20):
        ticks.moment += 30
        for filler in range(60):
            spend(store, f"{start} {number} {filler}", at=start + 30 * number)


def test_what_was_forgotten_is_not_reopened_by_a_clock_that_steps_back(stores: Stores) -> None:
    ticks = Ticks()
    store = stores.replay(monotonic=ticks)
    assert spend(store, "one")
    forget(store, ticks)
    # the proof would be in time again
    assert store.seen(KEY, "one", expires=NOW + 66)
    assert not store.insert(KEY, "one", expires=NOW + 66, now=NOW + 5)
    # and what is in time by the true clock is served
    assert spend(store, "fresh", at=NOW + 600)


def test_a_clock_that_jumps_ahead_and_comes_back_costs_nothing(stores: Stores) -> None:
    ticks = Ticks()
    store = stores.replay(monotonic=ticks)
    assert spend(store, "one")
    ticks.moment += 1
    for number in range(600):
        spend(store, f"ahead {number}", at=NOW + 86_400)
    ticks.moment += 1
    assert not store.insert(KEY, "one", expires=NOW + 66, now=NOW + 2)
    assert spend(store, "fresh", at=NOW + 2)


def test_a_token_is_revoked_by_its_id(stores: Stores) -> None:
    store = stores.revocation(now=lambda: NOW)
    store.revoke("dead", expires=NOW + 300)
    store.revoke("dead", expires=NOW + 300)
    state = store.state(["a"], ["alive", "dead"])
    assert state.revoked == {"dead"}
    assert state.epochs == {}
    assert state.forgotten_until < NOW


@pytest.mark.parametrize(
    "name", ["a\x00b", "\ud800", "x" * 10_000, "'; DROP TABLE revoked_tokens; --", "\n", "é"]
)
def test_any_name_may_be_asked_for(stores: Stores, name: str) -> None:
    store = stores.revocation(now=lambda: NOW)
    store.raise_epoch("agent", 1)
    store.revoke("dead", expires=NOW + 300)
    state = store.state([name, "agent"], ["dead", name])
    assert state.epochs == {"agent": 1}
    assert state.revoked == {"dead"}


def test_an_epoch_only_rises(stores: Stores) -> None:
    store = stores.revocation(now=lambda: NOW)
    for epoch in (3, 2, 5, 5, 4):
        store.raise_epoch("agent", epoch)
    store.raise_epoch("other", 0)
    assert store.state(["agent", "other", "third"], []).epochs == {"agent": 5, "other": 0}


def test_nothing_is_asked_and_nothing_is_known(stores: Stores) -> None:
    store = stores.revocation(now=lambda: NOW)
    state = store.state([], [])
    assert (state.epochs, state.revoked, state.inactive) == ({}, frozenset(), frozenset())


def test_another_process_sees_a_revocation_at_once(shared: Stores) -> None:
    reader = shared.revocation(now=lambda: NOW)
    assert not reader.state(["agent"], ["dead"]).revoked
    writer = shared.revocation(now=lambda: NOW)
    writer.revoke("dead", expires=NOW + 300)
    writer.raise_epoch("agent", 2)
    state = reader.state(["agent"], ["dead"])
    assert state.revoked == {"dead"}
    assert state.epochs == {"agent": 2}


def test_a_revocation_that_was_forgotten_still_kills_its_token(stores: Stores) -> None:
    ticks, wall = Ticks(), [NOW]
    store = stores.revocation(now=lambda: wall[0], monotonic=ticks)
    store.revoke("dead", expires=NOW + 300)
    for number in range(40):
        ticks.moment += 30
        wall[0] += 30
        store.revoke(f"filler {number}", expires=wall[0] + 300)
    wall[0] = NOW + 10
    state = store.state([], ["dead"])
    assert state.forgotten_until >= NOW + 300
    assert "dead" in state.revoked or state.forgotten_until >= NOW + 300


def test_a_revocation_outlives_a_clock_that_jumps_ahead_and_comes_back(stores: Stores) -> None:
    ticks, wall = Ticks(), [NOW]
    store = stores.revocation(now=lambda: wall[0], monotonic=ticks)
    store.revoke("dead", expires=NOW + 300)
    wall[0] = NOW + 86_400
    store.revoke("other", expires=wall[0] + 300)
    ticks.moment += 1
    wall[0] = NOW + 1
    state = store.state([], ["dead"])
    assert state.revoked == {"dead"}
    assert state.forgotten_until < NOW


def test_epochs_raised_at_once_end_at_the_highest(stores: Stores) -> None:
    store = stores.revocation(now=lambda: NOW)
    gate = threading.Barrier(16)

    def bump(epoch: int) -> None:
        gate.wait()
        store.raise_epoch("agent", epoch)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(bump, range(16)))
    assert store.state(["agent"], []).epochs == {"agent": 15}


def test_old_rows_leave_the_database(tmp_path: Path) -> None:
    ticks = Ticks()
    database = InSql(f"sqlite:///{tmp_path / 'stores.db'}")
    forget(database.replay(monotonic=ticks), ticks)
    engine = sqlalchemy.create_engine(database.url)
    with engine.connect() as connection:
        left = connection.execute(sqlalchemy.text("SELECT count(*) FROM replay_used")).scalar()
    engine.dispose()
    database.close()
    assert left is not None
    assert 0 < left < 1200


def test_old_entries_leave_memory() -> None:
    ticks = Ticks()
    store = MemoryReplay(monotonic=ticks)
    forget(store, ticks)
    assert 0 < len(store) < 1200
