"""The view that services ask: fresh within its bound, led by the tree, closed when in doubt."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from iamrange.identity.directory import (
    Agent,
    Directory,
    DirectoryView,
    TamperedError,
    agent_id,
    view,
)
from iamrange.identity.directory.reader import Reader
from iamrange.identity.stores.errors import StoreDownError
from tests.conformance.directory.lab import NOW, agent_of, spec, start_postgres

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from iamrange.core.clock import FixedClock


class Ticks:
    """A clock for staleness that moves only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each reading of the database was for."""
    counts: list[int] = []
    read = Reader.entries

    def counting(
        self: Reader, connection: object, tree: object, slots: Collection[bytes]
    ) -> object:
        counts.append(len(slots))
        return read(self, connection, tree, slots)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(Reader, "entries", counting)
    return counts


def register(directory: Directory, *names: str) -> None:
    for name in names:
        agent_of(directory.register(spec(name), actor="tester", activate=True))


def test_a_change_shows_when_the_bound_is_over_and_not_before(
    directory: Directory, ticks: Ticks
) -> None:
    register(directory, "one")
    seen = DirectoryView(directory, ticks=ticks)
    assert agent_of(seen.by_id(agent_id("one"))).epoch == 0
    agent_of(directory.revoke("one", actor="tester"))
    ticks.now += view.STALENESS - 0.001
    assert agent_of(seen.by_id(agent_id("one"))).epoch == 0
    ticks.now += 0.002
    assert agent_of(seen.by_id(agent_id("one"))).epoch == 1
    assert seen.version == directory.head().version


def test_only_what_changed_is_read_again(
    directory: Directory, ticks: Ticks, asked: list[int]
) -> None:
    names = [f"agent-{number}" for number in range(30)]
    register(directory, *names)
    seen = DirectoryView(directory, ticks=ticks)
    asked.clear()
    for name in names:
        seen.by_id(agent_id(name))
    assert asked == [1] * 30
    agent_of(directory.revoke("agent-7", actor="tester"))
    asked.clear()
    ticks.now += 1
    epochs = [agent_of(seen.by_id(agent_id(name))).epoch for name in names]
    assert epochs == [int(name == "agent-7") for name in names]
    assert asked == [1]


def test_who_is_absent_is_remembered_and_noticed_when_registered(
    directory: Directory, ticks: Ticks, asked: list[int]
) -> None:
    seen = DirectoryView(directory, ticks=ticks)
    for _ in range(3):
        assert seen.by_id(agent_id("late")) is None
    assert asked == [1]
    register(directory, "late")
    ticks.now += 1
    assert agent_of(seen.by_id(agent_id("late"))).name == "late"


@pytest.mark.parametrize(
    "identifier", ["", "late", "spiffe://x", "\ud800", "a" * 10**6, agent_id("late") + "\n"]
)
def test_what_is_no_agents_id_is_nobody(directory: Directory, identifier: str) -> None:
    register(directory, "late")
    assert DirectoryView(directory).by_id(identifier) is None


def test_memory_is_bounded_and_strangers_evict_nobody(
    directory: Directory, ticks: Ticks, asked: list[int]
) -> None:
    register(directory, "a", "b", "c")
    seen = DirectoryView(directory, ticks=ticks, limit=2)
    for name in ("a", "b"):
        seen.by_id(agent_id(name))
    for number in range(20):
        assert seen.by_id(agent_id(f"stranger-{number}")) is None
    asked.clear()
    for name in ("a", "b"):
        assert agent_of(seen.by_id(agent_id(name))).name == name
    assert asked == []
    seen.by_id(agent_id("c"))
    seen.by_id(agent_id("a"))
    assert len(asked) == 2


def test_active_is_who_may_be_given_something_now(
    directory: Directory, clock: FixedClock, ticks: Ticks
) -> None:
    agent_of(directory.register(spec("short", expires=NOW + 10), actor="t", activate=True))
    agent_of(directory.register(spec("waiting"), actor="t"))
    seen = DirectoryView(directory, clock=clock, ticks=ticks)
    assert seen.active(agent_id("short")) is not None
    assert seen.active(agent_id("waiting")) is None
    assert seen.active(agent_id("nobody")) is None
    clock.moment += 10
    assert seen.by_id(agent_id("short")) is not None
    assert seen.active(agent_id("short")) is None


@pytest.mark.parametrize("step", [-86400.0, 86400.0])
def test_a_clock_that_is_set_neither_freezes_the_view_nor_revives_anybody(
    directory: Directory, clock: FixedClock, ticks: Ticks, step: float
) -> None:
    register(directory, "one")
    seen = DirectoryView(directory, clock=clock, ticks=ticks)
    seen.by_id(agent_id("one"))
    clock.moment += step
    retired = agent_of(directory.retire("one", actor="tester"))
    ticks.now += 1
    assert seen.by_id(agent_id("one")) == retired
    assert seen.active(agent_id("one")) is None
    assert directory.head().time == clock.moment


def test_the_database_file_away_is_store_down_and_back_is_back(
    tmp_path: Path, clock: FixedClock, ticks: Ticks
) -> None:
    file = tmp_path / "d.db"
    with closing(Directory.open(f"sqlite:///{file}", tmp_path / "home", clock=clock)) as directory:
        register(directory, "one")
        seen = DirectoryView(directory, ticks=ticks)
        assert seen.by_id(agent_id("one")) is not None
        names = [path for path in tmp_path.iterdir() if path.name.startswith("d.db")]
        for path in names:
            path.rename(path.with_name(f"away-{path.name}"))
        ticks.now += 1
        for _ in range(3):
            with pytest.raises(StoreDownError):
                seen.by_id(agent_id("one"))
        with pytest.raises(StoreDownError):
            directory.revoke("one", actor="tester")
        assert not file.exists()
        for path in names:
            path.with_name(f"away-{path.name}").rename(path)
        ticks.now += view.STALENESS
        assert agent_of(seen.by_id(agent_id("one"))).epoch == 0
        assert agent_of(directory.revoke("one", actor="tester")).epoch == 1


def test_postgresql_killed_is_store_down_and_back_is_back(
    tmp_path: Path, clock: FixedClock, ticks: Ticks
) -> None:
    server = start_postgres()
    try:
        opened = Directory.open(server.new_database(), tmp_path / "home", clock=clock)
        with closing(opened) as directory:
            register(directory, "one")
            seen = DirectoryView(directory, ticks=ticks)
            assert seen.by_id(agent_id("one")) is not None
            server.kill()
            ticks.now += 1
            for _ in range(3):
                with pytest.raises(StoreDownError):
                    seen.by_id(agent_id("one"))
                with pytest.raises(StoreDownError):
                    directory.revoke("one", actor="tester")
            server.start()
            revoked = None
            for _ in range(3):  # a connection of before may still be found dead once
                try:
                    revoked = directory.revoke("one", actor="tester")
                    break
                except StoreDownError:
                    continue
            assert agent_of(revoked).epoch == 1
            ticks.now += 1
            assert agent_of(seen.by_id(agent_id("one"))).epoch == 1
    finally:
        server.remove()


def test_those_who_wait_for_a_database_that_is_away_do_not_queue(
    directory: Directory, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(directory, "one")
    seen = DirectoryView(directory, ticks=ticks)
    attempts: list[float] = []

    def away() -> None:
        attempts.append(ticks.now)
        raise StoreDownError("directory", "away")

    with monkeypatch.context() as patched:
        patched.setattr(directory.reader, "floor", away)
        for _ in range(5):
            with pytest.raises(StoreDownError, match="away"):
                seen.by_id(agent_id("one"))
        ticks.now += view.STALENESS
        with pytest.raises(StoreDownError, match="away"):
            seen.by_id(agent_id("one"))
    assert attempts == [0.0, view.STALENESS]
    ticks.now += view.STALENESS
    assert seen.by_id(agent_id("one")) is not None


def test_a_database_file_replaced_by_an_older_copy_is_seen(tmp_path: Path, ticks: Ticks) -> None:
    file, copy = tmp_path / "d.db", tmp_path / "copy.db"
    with closing(Directory.open(f"sqlite:///{file}", tmp_path / "home")) as directory:
        register(directory, "one")
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        seen = DirectoryView(directory, ticks=ticks)
        agent_of(directory.revoke("one", actor="tester"))
        assert agent_of(seen.by_id(agent_id("one"))).epoch == 1
        for old in tmp_path.glob("d.db-*"):
            old.unlink()
        copy.replace(file)
        ticks.now += 1
        with pytest.raises(TamperedError, match="rolled back"):
            seen.by_id(agent_id("one"))
        with pytest.raises(TamperedError, match="rolled back"):
            directory.get("one")
        with pytest.raises(TamperedError, match="rolled back"):
            directory.revoke("one", actor="tester")


def test_a_locked_database_is_store_down_for_writers_and_no_matter_for_readers(
    tmp_path: Path,
) -> None:
    with closing(Directory.open(f"sqlite:///{tmp_path}/d.db", tmp_path / "home")) as opened:
        register(opened, "one")
        key, anchor = opened.writer.key, opened.reader.anchor
    impatient = Directory(f"sqlite:///{tmp_path}/d.db", signer=key, anchor=anchor, busy=0.05)
    with closing(impatient), closing(sqlite3.connect(tmp_path / "d.db")) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDownError, match="BUSY"):
            impatient.revoke("one", actor="tester")
        assert agent_of(impatient.get("one")).epoch == 0
        assert DirectoryView(impatient).by_id(agent_id("one")) is not None
        other.execute("ROLLBACK")
        assert agent_of(impatient.revoke("one", actor="tester")).epoch == 1


def test_many_threads_and_a_writer_see_epochs_only_rise(directory: Directory) -> None:
    register(directory, "one", "two")
    seen = DirectoryView(directory, staleness=0.0)
    stop = threading.Event()

    def watch(name: str) -> list[int]:
        epochs = []
        while not stop.is_set():
            epochs.append(agent_of(seen.by_id(agent_id(name))).epoch)
        return epochs

    with ThreadPoolExecutor(4) as pool:
        watchers = [pool.submit(watch, name) for name in ("one", "two") * 2]
        last: Agent | None = None
        for _ in range(20):
            last = agent_of(directory.revoke("one", actor="tester"))
        stop.set()
        for watcher in watchers:
            epochs = watcher.result()
            assert epochs == sorted(epochs)
            assert epochs
    assert seen.by_id(agent_id("one")) == last
