"""The records of a world: none is lost between files, and what is gone is said."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from iamrange.core.decision import DecisionRecord, Outcome
from iamrange.credentials.redaction.redactor import new_redactor
from iamrange.range.records import RecordFile, RecordsGoneError, kept_records, read_records

if TYPE_CHECKING:
    from pathlib import Path


def record(number: int) -> DecisionRecord:
    return DecisionRecord(
        time=float(number),
        request_id=f"request-{number}",
        point="aws.authorize",
        principal="arn:aws:iam::1:role/a",
        action="s3:GetObject",
        resource="arn:aws:s3:::a/b",
        source_ip="127.0.0.1",
        layers=(),
        outcome=Outcome.DENY,
        reason="no-statement-allows",
    )


def numbers(records: list[DecisionRecord]) -> list[int]:
    return [int(one.time) for one in records]


def begun(folder: Path, *, kept: int = 3) -> RecordFile:
    return RecordFile(folder, new_redactor(), file_bytes=1000, kept_files=kept)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_every_record_is_read_once_whichever_file_it_went_to(tmp_path: Path) -> None:
    sink, seen, mark = begun(tmp_path), [], 0
    for number in range(100):
        sink(record(number))
        records, mark = read_records(tmp_path, mark)
        seen += numbers(records)
    assert seen == list(range(100))
    assert read_records(tmp_path, mark) == ([], mark)


def test_a_reader_that_comes_seldom_reads_over_several_files(tmp_path: Path) -> None:
    sink = begun(tmp_path, kept=1000)
    for number in range(50):
        sink(record(number))
    assert len(list(tmp_path.iterdir())) > 10
    assert numbers(read_records(tmp_path)[0]) == list(range(50))


def test_the_records_take_a_bounded_room_however_long_the_range_runs(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    for number in range(500):
        sink(record(number))
    assert size(tmp_path) < 6000
    records, cut = kept_records(tmp_path)
    assert cut
    # the youngest, without a gap
    assert numbers(records) == list(range(500 - len(records), 500))
    assert len(records) >= 3


def test_all_are_kept_until_there_are_too_many(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    sink(record(0))
    records, cut = kept_records(tmp_path)
    assert (numbers(records), cut) == ([0], False)


def test_who_asks_for_records_that_are_gone_is_told_so(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    sink(record(0))
    _, mark = read_records(tmp_path)
    for number in range(1, 100):
        sink(record(number))
    with pytest.raises(RecordsGoneError, match=f"from byte {mark} on are not kept"):
        read_records(tmp_path, mark)


def test_a_folder_without_records_is_an_error_not_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no records"):
        kept_records(tmp_path)


def test_a_fork_begins_its_own_records_at_nought(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    for number in range(10):
        sink(record(number))
    (tmp_path / "fork").mkdir()
    sink.move_to(tmp_path / "fork")
    sink(record(77))
    assert numbers(read_records(tmp_path / "fork")[0]) == [77]


def test_a_reader_beside_the_writer_misses_none(tmp_path: Path) -> None:
    sink, ended = begun(tmp_path, kept=10_000), threading.Event()

    def write() -> None:
        for number in range(3000):
            sink(record(number))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen, mark, last = [], 0, False
    while not last:
        last = ended.is_set()
        records, mark = read_records(tmp_path, mark)
        seen += numbers(records)
    writer.join()
    assert seen == list(range(3000))
