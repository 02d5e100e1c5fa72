"""The collector of a running range: each record once, and never silently none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.clock import SystemClock
from iamrange.core.decision import DecisionRecord, Outcome
from iamrange.detect.audit_log import AuditLog, LogDownError
from iamrange.range import central_log
from iamrange.range.central_log import CentralLog
from iamrange.range.changes import FindingsTaken, OrdersTaken
from iamrange.range.processes import ProcessError
from iamrange.range.records import RecordsGoneError
from iamrange.range.world_directory import WorldDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


def record(number: int) -> DecisionRecord:
    return DecisionRecord(
        request_id=f"request-{number}",
        time=1.0,
        point="aws.authorize",
        action="s3:GetObject",
        resource="arn:aws:s3:::a/b",
        principal="arn:aws:iam::111111111111:role/a",
        outcome=Outcome.DENY,
        reason="no-statement-allows",
        layers=(),
    )


class World:
    """Holds a list of records: a place in them is an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sockets = folder / "sockets"
        self.sockets.mkdir()
        WorldDirectory(folder, SystemClock())
        self.records: list[DecisionRecord] = []
        self.error: Exception | None = None

    def records_since(self, offset: int) -> tuple[list[DecisionRecord], int]:
        if self.error is not None:
            raise self.error
        return self.records[offset:], len(self.records)


@pytest.fixture
def world(tmp_path: Path) -> World:
    folder = tmp_path / "w"
    folder.mkdir()
    return World(folder)


@pytest.fixture
def log(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CentralLog]:
    monkeypatch.setattr(central_log, "COLLECT_SECONDS", 0.01)
    made: Any = CentralLog
    collector = made(world, tmp_path, OrdersTaken(), FindingsTaken())
    yield collector
    collector.stop()


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never was")


def failure(log: CentralLog) -> str:
    try:
        log.check()
    except ProcessError as error:
        return str(error)
    return ""


def test_a_batch_that_the_disk_refuses_is_given_again_and_none_twice(
    world: World, log: CentralLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(central_log, "_BATCH", 3)
    append, calls = AuditLog.append, [0]

    def sometimes(self: AuditLog, events: Iterable[Mapping[str, Any]]) -> int:
        calls[0] += 1
        if calls[0] in {2, 3}:
            raise LogDownError("audit log: no room")
        return append(self, events)

    monkeypatch.setattr(AuditLog, "append", sometimes)
    world.records += (record(number) for number in range(8))
    log.start()
    until(lambda: calls[0] >= 5)
    log.stop()
    lines = "".join(path.read_text() for path in sorted(log.folder.glob("*.jsonl")))
    assert [lines.count(f'"request-{number}"') for number in range(8)] == [1] * 8


@pytest.mark.parametrize("error", [RecordsGoneError("gone"), KeyError("nobody thought of this")])
def test_a_range_whose_records_nobody_can_collect_says_so(
    world: World, log: CentralLog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(central_log, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    log.start()
    log.check()
    world.error = error
    until(lambda: failure(log) != "")
    assert "the range cannot log what it decides" in failure(log)
    world.error = None
