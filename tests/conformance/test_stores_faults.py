"""A store that is away refuses, and serves again by itself; a killed one has lost nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import redis

from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.limits import SharedLimiter
from iamrange.identity.stores.ports import Rate, Wait
from iamrange.identity.stores.redis_stores import RedisReplay, RedisRevocation
from iamrange.identity.stores.sql import SqlReplay, SqlRevocation
from tests.conformance.store_adapters import Ticks, empty_database
from tests.conformance.store_servers import RedisServer, postgres_server, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.identity.stores.ports import ReplayStore, RevocationStore

NOW = 1_800_000_000.0
UNTIL = NOW + 66
WRITER = """
import itertools, sys
from iamrange.identity.stores.redis_stores import RedisReplay, RedisRevocation
from iamrange.identity.stores.sql import SqlReplay, SqlRevocation
kind, url = sys.argv[1:]
sql = kind != "redis"
replay = SqlReplay(url) if sql else RedisReplay(url)
revocation = SqlRevocation(url) if sql else RedisRevocation(url)
for number in itertools.count():
    assert replay.insert("key", f"jti {number}", expires=1_800_000_066.0, now=1_800_000_000.0)
    revocation.revoke(f"jti {number}", expires=1_800_000_300.0)
    revocation.raise_epoch("agent", number)
    print(number, flush=True)
"""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def assert_down(replay: ReplayStore, revocation: RevocationStore) -> None:
    with pytest.raises(StoreDownError, match="'replay' cannot answer"):
        replay.insert("key", "while away", expires=UNTIL, now=NOW)
    with pytest.raises(StoreDownError):
        replay.seen("key", "one", expires=UNTIL)
    with pytest.raises(StoreDownError, match="'revocation' cannot answer"):
        revocation.state(["agent"], ["one"])
    with pytest.raises(StoreDownError):
        revocation.revoke("while away", expires=UNTIL)
    with pytest.raises(StoreDownError):
        revocation.raise_epoch("agent", 9)


def test_redis_that_is_away_refuses_and_serves_again(server: RedisServer) -> None:
    replay, revocation = RedisReplay(server.url), RedisRevocation(server.url, now=lambda: NOW)
    assert replay.insert("key", "one", expires=UNTIL, now=NOW)
    revocation.state(["agent"], [])
    server.kill()
    assert_down(replay, revocation)
    server.start()
    # it came back empty: what could have been used before is refused, what is made now is not
    assert not replay.insert("key", "one", expires=UNTIL, now=NOW + 1)
    assert replay.insert("key", "later", expires=UNTIL + 2, now=NOW + 2)
    revocation.revoke("later", expires=NOW + 300)
    assert revocation.state([], ["later"]).revoked == {"later"}
    replay.close()
    revocation.close()


def test_redis_that_lost_its_memory_reopens_nothing(server: RedisServer) -> None:
    replay, revocation = RedisReplay(server.url), RedisRevocation(server.url, now=lambda: NOW)
    assert replay.insert("key", "one", expires=UNTIL, now=NOW)
    revocation.revoke("dead", expires=NOW + 200)
    server.kill()
    server.start()
    assert not replay.insert("key", "one", expires=UNTIL, now=NOW + 3)
    # whatever was issued before is refused: nobody knows any more which of it was revoked
    assert revocation.state([], ["dead"]).forgotten_until >= NOW + 200
    fresh = RedisReplay(server.url)
    assert not fresh.insert("key", "one", expires=UNTIL, now=NOW + 3)
    assert fresh.insert("key", "made later", expires=UNTIL + 4, now=NOW + 4)
    for store in (replay, revocation, fresh):
        store.close()


def test_redis_that_would_evict_keys_is_refused(server: RedisServer) -> None:
    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    store = RedisReplay(server.url)
    with pytest.raises(StoreDownError, match="evicts keys"):
        store.insert("key", "one", expires=UNTIL, now=NOW)
    client.config_set("maxmemory-policy", "noeviction")
    assert store.insert("key", "one", expires=UNTIL, now=NOW)
    store.close()
    client.close()


def test_redis_that_is_full_refuses(server: RedisServer) -> None:
    client = redis.Redis.from_url(server.url)
    store = RedisReplay(server.url)
    assert store.insert("key", "one", expires=UNTIL, now=NOW)
    client.config_set("maxmemory", "1")
    with pytest.raises(StoreDownError):
        store.insert("key", "two", expires=UNTIL, now=NOW)
    client.config_set("maxmemory", "0")
    assert store.insert("key", "two", expires=UNTIL, now=NOW)
    store.close()
    client.close()


def test_postgresql_that_is_away_refuses_and_serves_again() -> None:
    with postgres_server() as server:
        url = empty_database(server)
        replay, revocation = SqlReplay(url), SqlRevocation(url, now=lambda: NOW)
        assert replay.insert("key", "one", expires=UNTIL, now=NOW)
        revocation.revoke("dead", expires=NOW + 300)
        server.stop()
        assert_down(replay, revocation)
        server.start()
        assert not replay.insert("key", "one", expires=UNTIL, now=NOW)
        assert replay.insert("key", "two", expires=UNTIL, now=NOW)
        assert revocation.state([], ["dead", "while away"]).revoked == {"dead"}
        replay.close()
        revocation.close()


def test_a_locked_sqlite_refuses_and_serves_again(tmp_path: Path) -> None:
    file = tmp_path / "stores.db"
    store = SqlReplay(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreDownError, match="OperationalError"):
        store.insert("key", "one", expires=UNTIL, now=NOW)
    other.execute("ROLLBACK")
    other.close()
    assert store.insert("key", "one", expires=UNTIL, now=NOW)
    store.close()


def fill(store: ReplayStore) -> None:
    for number in range(1000):
        store.insert("key", f"filler {number}", expires=UNTIL, now=NOW)


def test_a_full_disk_refuses(tmp_path: Path) -> None:
    file = tmp_path / "stores.db"
    store = SqlReplay(f"sqlite:///{file}")
    assert store.insert("key", "one", expires=UNTIL, now=NOW)
    # the one idle connection of the pool is the one that is used next
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    with pytest.raises(StoreDownError):
        fill(store)
    assert not store.insert("key", "one", expires=UNTIL, now=NOW)
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_a_killed_process_has_lost_nothing_that_it_was_told(kind: str, tmp_path: Path) -> None:
    match kind:
        case "sqlite":
            lost_nothing(kind, f"sqlite:///{tmp_path / 'stores.db'}")
        case "postgresql":
            with postgres_server() as database:
                lost_nothing(kind, empty_database(database))
        case _:
            with redis_server(append_only=True) as found:
                lost_nothing(kind, found.url, found)


def lost_nothing(kind: str, url: str, server: RedisServer | None = None) -> None:
    writer = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", WRITER, kind, url], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout as lines:
        for line in lines:
            if int(line) >= 40:
                break
        if server is not None:
            server.kill()
        writer.kill()
        told = 40 + len(lines.readlines())
    writer.wait(10)
    if server is not None:
        server.start()
    replay = SqlReplay(url) if kind != "redis" else RedisReplay(url)
    revocation = SqlRevocation(url) if kind != "redis" else RedisRevocation(url)
    names = [f"jti {number}" for number in range(told + 1)]
    again = [replay.insert("key", name, expires=UNTIL, now=NOW) for name in names]
    assert not any(again)
    state = revocation.state(["agent"], names)
    assert state.revoked >= set(names)
    assert state.epochs["agent"] >= told
    replay.close()
    revocation.close()


def test_limits_are_shared_and_degrade_while_the_server_is_away(server: RedisServer) -> None:
    ticks, rate = Ticks(), Rate(3, 3600)
    first, second = (SharedLimiter(server.url, monotonic=ticks) for _ in range(2))
    assert [first.hit("agent", rate) for _ in range(2)] == [None, None]
    assert second.hit("agent", rate) is None
    assert isinstance(second.hit("agent", rate), Wait)
    assert second.hit("other", rate) is None
    server.kill()
    # alone now: it counts for itself
    assert [first.hit("agent", rate) for _ in range(3)] == [None] * 3
    assert first.degraded
    assert isinstance(first.hit("agent", rate), Wait)
    server.start()
    ticks.moment += 2
    assert first.hit("agent", rate) is None
    assert not first.degraded


def test_a_server_that_hangs_is_away_within_its_patience(server: RedisServer) -> None:
    store = RedisReplay(server.url)
    assert store.insert("key", "one", expires=UNTIL, now=NOW)
    client = redis.Redis.from_url(server.url)
    # whoever waited for the server would be answered in the end, and see no error
    client.client_pause(30_000)
    with pytest.raises(StoreDownError):
        store.insert("key", "two", expires=UNTIL, now=NOW)
    store.close()
    client.close()


REVOKER = """
import sys, time
from iamrange.identity.stores.redis_stores import RedisRevocation
from iamrange.identity.stores.sql import SqlRevocation
url = sys.argv[1]
store = RedisRevocation(url) if url.startswith("unix") else SqlRevocation(url)
store.revoke("dead", expires=time.time() + 300)
store.raise_epoch("agent", 2)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_the_first_look_after_a_revocation_elsewhere_sees_it(kind: str, tmp_path: Path) -> None:
    """No adapter remembers an answer: what another process wrote is there at the next question."""
    match kind:
        case "sqlite":
            sees_it(f"sqlite:///{tmp_path / 'stores.db'}")
        case "postgresql":
            with postgres_server() as database:
                sees_it(empty_database(database))
        case _:
            with redis_server() as found:
                sees_it(found.url)


def sees_it(url: str) -> None:
    reader = RedisRevocation(url) if url.startswith("unix") else SqlRevocation(url)
    before = reader.state(["agent"], ["dead"])
    assert before.epochs == {}
    assert before.revoked == frozenset()
    subprocess.run([sys.executable, "-c", REVOKER, url], check=True, timeout=60)  # noqa: S603 - our own script
    after = reader.state(["agent"], ["dead"])
    assert after.epochs == {"agent": 2}
    assert after.revoked == {"dead"}
    reader.close()
