"""An audit log of many files is one log: whole, resumable, and its first bad record is named."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.core.clock import FixedClock
from iamrange.detect.audit_boundary import (
    BOUNDARY,
    RETIRED,
    Boundary,
    read_boundary,
    sign_boundary,
)
from iamrange.detect.audit_events import LogUntrustedError, kept_from, verified_events
from iamrange.detect.audit_export import Cursor, FileSink, GapError, batches, resumed
from iamrange.detect.audit_log import HEADS_FILE, AuditLog, LogDownError
from iamrange.detect.audit_rotation import (
    BOUNDARIES_FILE,
    NEXT_FILE,
    RETIRED_FILE,
    Rotation,
    retirement,
)
from iamrange.detect.audit_seal import EPOCH
from iamrange.detect.audit_segments import LOG_FILE, open_log, segment_name, segments
from iamrange.detect.audit_state import SEAL_FILE, LogTamperedError
from iamrange.detect.audit_verify import Broken, Flaw, Verified, verify
from iamrange.jose import Refusal, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iamrange.detect.audit_head import Anchor

CLOCK = FixedClock(1_800_000_000.0)
SMALL = Rotation(size=1000)
"""Some ten events a file."""


def events(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"number": first + n, "padding": "x" * 20} for n in range(count)]


def written(folder: Path, count: int = 95, rotation: Rotation = SMALL) -> Anchor:
    """Write a log five events at a time."""
    log, anchor = AuditLog.create(folder, CLOCK, rotation)
    with log:
        for first in range(0, count, 5):
            log.append(events(min(5, count - first), first))
    return anchor


def checked(folder: Path, anchor: Anchor, kept: tuple[str, ...] = ()) -> Verified | Broken:
    beside = (folder / HEADS_FILE).read_text().splitlines()
    begins = kept_from(folder, anchor)
    place = (0, 0) if begins is None else (begins.size, begins.offset)
    with open_log(folder, *place) as log:
        return verify(log, anchor, beside, kept=kept, retired=retirement(folder))


def numbers(folder: Path) -> list[int]:
    with open_log(folder) as log:
        return [json.loads(line)["number"] for line in log]


def test_files_one_after_another_are_the_log(tmp_path: Path) -> None:
    anchor = written(tmp_path / "log")
    assert len(segments(tmp_path / "log")) > 5
    assert numbers(tmp_path / "log") == list(range(95))
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Verified)
    assert (found.size, found.begins) == (95, 0)
    assert [one["number"] for one in verified_events(tmp_path / "log", anchor)] == list(range(95))


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    size=st.integers(200, 3000),
    reopen=st.sets(st.integers(0, 7)),
)
@settings(max_examples=25, deadline=None)
def test_wherever_it_is_put_aside_or_opened_again_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], size: int, reopen: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("audit") / "log"
    log, anchor = AuditLog.create(folder, CLOCK, Rotation(size=size))
    done = 0
    for step, count in enumerate(sizes):
        done = log.append(events(count, done))
        if step in reopen:
            log.close()
            log = AuditLog(folder, CLOCK, Rotation(size=size))
    log.close()
    assert numbers(folder) == list(range(sum(sizes)))
    found = checked(folder, anchor)
    assert isinstance(found, Verified)
    assert found.size == sum(sizes)


def test_a_file_is_put_aside_when_it_is_old_and_an_empty_one_never(tmp_path: Path) -> None:
    now = [1_800_000_000.0]

    class Clock:
        def now(self) -> float:
            return now[0]

    log, _ = AuditLog.create(tmp_path / "log", Clock(), Rotation(seconds=60.0))
    with log:
        now[0] += 300
        log.append(events(1))
        assert segments(tmp_path / "log") == []
        now[0] += 61
        log.append(events(1, 1))
        log.append(events(1, 2))
    assert [one.first for one in segments(tmp_path / "log")] == [0]
    assert numbers(tmp_path / "log") == [0, 1, 2]


def test_keys_of_many_epochs_go_on_over_files_and_retirements(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log, anchor = AuditLog.create(folder, CLOCK, Rotation(size=200_000))
    with log:
        for first in range(0, 3 * EPOCH, 512):
            log.append(events(512, first))
    with AuditLog(folder, CLOCK) as log:
        begins = log.retire(1)
    assert begins > EPOCH
    found = checked(folder, anchor)
    assert isinstance(found, Verified), found
    assert (found.size, found.begins) == (3 * EPOCH, begins)


def middle(folder: Path) -> tuple[int, Path]:
    """Return a file in the middle: its first record, and where it is."""
    found = segments(folder)[3]
    return found.first, found.path


def _remove(folder: Path) -> int:
    first, path = middle(folder)
    path.unlink()
    return first


def _swap(folder: Path) -> int:
    first, path = middle(folder)
    other = segments(folder)[4].path
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)
    return first


def _cut_a_record(folder: Path) -> int:
    _, path = middle(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    return segments(folder)[4].first - 1


def _cut_half_a_record(folder: Path) -> int:
    _, path = middle(folder)
    path.write_bytes(path.read_bytes()[:-30])
    return segments(folder)[4].first - 1


def _empty(folder: Path) -> int:
    first, path = middle(folder)
    path.write_bytes(b"")
    return first


def _change(folder: Path) -> int:
    first, path = middle(folder)
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"yyyy", 1))
    return first


def _put_one_in(folder: Path) -> int:
    first, path = middle(folder)
    shutil.copy(path, folder / segment_name(first + 1))
    return segments(folder)[5].first


def _recreate(folder: Path) -> int:
    """Make a file anew with the key of today, as another log's would be."""
    first, path = middle(folder)
    other = folder.with_name("other")
    written(other)
    path.write_bytes(segments(other)[3].path.read_bytes())
    return first


def _remove_the_first(folder: Path) -> int:
    segments(folder)[0].path.unlink()
    return 0


TAMPERINGS: dict[str, Callable[[Path], int]] = {
    "removed in the middle": _remove,
    "swapped": _swap,
    "a record cut off its end": _cut_a_record,
    "half a record cut off its end": _cut_half_a_record,
    "emptied": _empty,
    "changed": _change,
    "put in twice": _put_one_in,
    "made anew": _recreate,
    "the first removed without a word": _remove_the_first,
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS)
def test_what_is_done_to_a_file_is_found_at_its_first_bad_record(
    tmp_path: Path, tamper: Callable[[Path], int]
) -> None:
    folder = tmp_path / "log"
    anchor = written(folder)
    expected = tamper(folder)
    found = checked(folder, anchor)
    assert isinstance(found, Broken)
    assert found.record == expected
    with pytest.raises(LogUntrustedError, match=f"record {expected}"):
        next(verified_events(folder, anchor))


def test_the_last_files_removed_are_found_by_the_heads(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    anchor = written(folder)
    *_, before, last = segments(folder)
    last.path.unlink()
    before.path.rename(folder / LOG_FILE)
    found = checked(folder, anchor)
    assert isinstance(found, Broken)
    assert found.flaw is Flaw.TRUNCATED
    with pytest.raises(LogTamperedError):
        AuditLog(folder, CLOCK)


def retired(folder: Path, keep: int = 2) -> tuple[Anchor, int]:
    anchor = written(folder)
    with AuditLog(folder, CLOCK, SMALL) as log:
        begins = log.retire(keep)
    return anchor, begins


def test_what_was_retired_is_said_and_the_rest_verifies(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    anchor, begins = retired(folder)
    assert begins > 50
    assert len(segments(folder)) == 2
    found = checked(folder, anchor)
    assert isinstance(found, Verified), found
    assert (found.begins, found.size, found.retired_at) == (begins, 95, int(CLOCK.now()))
    assert found.heads > 0
    assert [one["number"] for one in verified_events(folder, anchor)] == list(range(begins, 95))


def test_the_log_goes_on_after_a_retirement_and_over_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    anchor, begins = retired(folder)
    with AuditLog(folder, CLOCK, Rotation(size=1000, keep=1)) as log:
        for first in range(95, 200, 5):
            log.append(events(5, first))
    found = checked(folder, anchor)
    assert isinstance(found, Verified), found
    assert found.size == 200
    assert found.begins > begins
    assert len(segments(folder)) == 1
    for name in (HEADS_FILE, BOUNDARIES_FILE):
        # what is beside the log does not grow with it either
        assert len([line for line in (folder / name).read_text().split("\n") if line]) < 8


@pytest.mark.parametrize("beside", ["", "nothing.signed.here\n"])
def test_a_retirement_without_a_boundary_deletes_nothing_and_is_told(
    tmp_path: Path, beside: str
) -> None:
    folder = tmp_path / "log"
    anchor = written(folder)
    (folder / BOUNDARIES_FILE).write_text(beside)
    with AuditLog(folder, CLOCK, SMALL) as log:
        with pytest.raises(OSError, match="nothing was deleted"):
            log.retire(2)
        assert log.append(events(5, log.size)) == log.size
    assert isinstance(checked(folder, anchor), Verified)
    assert segments(folder)[0].first == 0


def test_heads_kept_elsewhere_hold_over_files_and_what_is_older_is_not_compared(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "log"
    log, anchor = AuditLog.create(folder, CLOCK, SMALL)
    with log:
        log.append(events(5))
        early = log.head()
        for first in range(5, 95, 5):
            log.append(events(5, first))
        late = log.head()
        log.retire(2)
    found = checked(folder, anchor, kept=(early, late))
    assert isinstance(found, Verified), found


def _without(folder: Path, _anchor: Anchor) -> int:
    (folder / RETIRED_FILE).unlink()
    return 0


def _of_another_log(folder: Path, _anchor: Anchor) -> int:
    other = folder.with_name("other")
    retired(other)
    shutil.copy(other / RETIRED_FILE, folder / RETIRED_FILE)
    return 0


def _a_boundary(folder: Path, _anchor: Anchor) -> int:
    line = (folder / BOUNDARIES_FILE).read_text().split()[0]
    (folder / RETIRED_FILE).write_text(line)
    return 0


def _more_than_was_stated(folder: Path, anchor: Anchor) -> int:
    begins = kept_from(folder, anchor)
    assert begins is not None
    segments(folder)[0].path.unlink()
    return begins.size


def _by_another_key(folder: Path, anchor: Anchor) -> int:
    begins = kept_from(folder, anchor)
    assert begins is not None
    signed = sign_boundary(SigningKey.generate("ES256"), begins, RETIRED)
    (folder / RETIRED_FILE).write_text(signed)
    return 0


UNSIGNED: dict[str, Callable[[Path, Anchor], int]] = {
    "no statement": _without,
    "another log's": _of_another_log,
    "a boundary that retires nothing": _a_boundary,
    "more is gone than it says": _more_than_was_stated,
    "signed by somebody else": _by_another_key,
}


@pytest.mark.parametrize("change", UNSIGNED.values(), ids=UNSIGNED)
def test_a_deletion_that_is_not_stated_is_found(
    tmp_path: Path, change: Callable[[Path, Anchor], int]
) -> None:
    folder = tmp_path / "log"
    anchor, _ = retired(folder)
    expected = change(folder, anchor)
    found = checked(folder, anchor)
    assert isinstance(found, Broken)
    assert found.record == expected


def test_an_older_statement_put_back_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    anchor, begins = retired(folder, keep=5)
    older = (folder / RETIRED_FILE).read_text()
    with AuditLog(folder, CLOCK, SMALL) as log:
        assert log.retire(1) > begins
    (folder / RETIRED_FILE).write_text(older)
    found = checked(folder, anchor)
    assert isinstance(found, Broken)
    assert found.record == begins


def test_files_that_were_retired_and_are_still_there_do_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    anchor = written(folder)
    first = segments(folder)[0].path
    kept = first.read_bytes()
    with AuditLog(folder, CLOCK, SMALL) as log:
        log.retire(2)
    first.write_bytes(kept)  # a crash came between the statement and the deletion
    assert isinstance(checked(folder, anchor), Verified)
    with AuditLog(folder, CLOCK, SMALL) as log:
        log.append(events(1, 95))
        log.retire(1)
    assert not first.exists()


class Cut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(8))
def test_a_crash_at_any_step_of_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each system call of a rotation is the last one in turn."""
    folder = tmp_path / "log"
    log, anchor = AuditLog.create(folder, CLOCK, SMALL)
    for first in range(0, 15, 5):
        log.append(events(5, first))
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the real ones
            nonlocal left
            if left == 0:
                raise Cut
            left -= 1
            return real(*args, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "rename"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            for first in range(15, 30, 5):
                log.append(events(5, first))
        except Cut:
            pass
    assert left == 0
    acknowledged = log.size
    os.close(log._descriptor)  # noqa: SLF001 - as the end of the process would
    os.close(log._lock_descriptor)  # noqa: SLF001 - same
    with AuditLog(folder, CLOCK, SMALL) as again:
        assert again.size >= acknowledged
        again.append(events(5, again.size))
    found = checked(folder, anchor)
    assert isinstance(found, Verified), found
    assert numbers(folder) == list(range(found.size))
    assert not (folder / NEXT_FILE).exists()


@pytest.mark.parametrize("fails", ["fsync", "open", "rename"])
def test_a_disk_that_does_not_take_the_next_file_refuses_what_was_to_be_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    folder = tmp_path / "log"
    log, anchor = AuditLog.create(folder, CLOCK, SMALL)
    with log:
        for first in range(0, 15, 5):
            log.append(events(5, first))
        real = getattr(os, fails)

        def full(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the real ones
            if fails == "open" and not str(args[0]).endswith(NEXT_FILE):
                return real(*args, **named)
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, fails, full)
            for _ in range(2):
                with pytest.raises(LogDownError, match="No space left on device"):
                    log.append(events(5, 15))
        assert log.append(events(5, 15)) == 20
        assert len(segments(folder)) == 1
    assert numbers(folder) == list(range(20))
    assert isinstance(checked(folder, anchor), Verified)


@pytest.mark.parametrize("step", range(10))
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fails", ["fsync", "open", "rename"])
def test_whichever_call_of_it_fails_and_however_often_nothing_acknowledged_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, times: int, step: int
) -> None:
    """Too many open files, or a disk that is full for a moment, in the middle of it."""
    folder = tmp_path / "log"
    log, anchor = AuditLog.create(folder, CLOCK, SMALL)
    acknowledged: list[int] = []

    def append(first: int) -> None:
        log.append(events(5, first))
        acknowledged.extend(range(first, first + 5))

    with log:
        for first in range(0, 15, 5):
            append(first)
        real, calls = getattr(os, fails), iter(range(1000))

        def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the real ones
            if step <= next(calls) < step + times:
                raise OSError(errno.EMFILE, "Too many open files")
            return real(*args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, fails, call)
            for first in range(15, 60, 5):
                with contextlib.suppress(LogDownError):
                    append(first)
        append(60)
        assert len(segments(folder)) > 1
    assert numbers(folder) == acknowledged
    assert isinstance(checked(folder, anchor), Verified)


def test_a_file_that_somebody_has_put_in_is_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log, _ = AuditLog.create(folder, CLOCK, SMALL)
    with log:
        log.append(events(15))
        (folder / segment_name(0)).write_text("evidence")
        with pytest.raises(LogDownError, match="File exists"):
            log.append(events(5, 15))
        (folder / segment_name(0)).unlink()
        assert log.append(events(5, 15)) == 20
    assert numbers(folder) == list(range(20))


def test_a_clock_that_was_stepped_back_does_not_keep_a_file_for_ever(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    clock = FixedClock(1_800_000_000.0)
    log, _ = AuditLog.create(folder, clock, Rotation(seconds=60.0))
    with log:
        for step in (0.0, -1e6, 59.0):
            clock.moment += step
            log.append(events(1))
        assert not segments(folder)
        clock.moment += 1.0
        log.append(events(1))
        assert len(segments(folder)) == 1


def test_a_reader_goes_on_over_files_that_are_put_aside_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log, _ = AuditLog.create(folder, CLOCK, Rotation(size=1000, keep=3))
    seen = []
    with log, open_log(folder) as reader:
        for first in range(0, 400, 5):
            log.append(events(5, first))
            if first % 15 == 0:
                seen += [json.loads(line)["number"] for line in reader]
        seen += [json.loads(line)["number"] for line in reader]
    assert seen == list(range(400))


def test_a_reader_that_was_left_behind_by_retirements_sees_a_gap_and_no_other_records(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "log"
    log, _ = AuditLog.create(folder, CLOCK, Rotation(size=1000, keep=1))
    with log, open_log(folder) as reader:
        log.append(events(5))
        assert len(list(reader)) == 5
        for first in range(5, 200, 5):
            log.append(events(5, first))
        with pytest.raises(GapError):
            list(batches(reader, Cursor(5, 10_000, "0" * 32)))


def sent(folder: Path, copy: Path, begins: Cursor) -> int:
    """Export what follows to a copy; return how many records that were."""
    sink = FileSink(copy)
    try:
        count = 0
        with open_log(folder, begins.sequence, begins.offset) as log:
            at = resumed(log, sink.cursor, begins) if begins.sequence else sink.cursor
            for batch in batches(log, at, begins.offset):
                sink.send(batch)
                count += len(batch.lines)
        return count
    finally:
        sink.close()


def beginning(folder: Path, anchor: Anchor) -> Cursor:
    begins = kept_from(folder, anchor)
    return Cursor() if begins is None else Cursor(begins.size, begins.offset, begins.before.hex())


def test_an_export_goes_on_over_files_and_retirements_without_a_gap(tmp_path: Path) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy.jsonl"
    log, anchor = AuditLog.create(folder, CLOCK, SMALL)
    with log:
        for first in range(0, 60, 5):
            log.append(events(5, first))
        assert sent(folder, copy, Cursor()) == 60
        log.retire(2)
        for first in range(60, 100, 5):
            log.append(events(5, first))
    assert sent(folder, copy, beginning(folder, anchor)) == 40
    assert sent(folder, copy, beginning(folder, anchor)) == 0
    with copy.open("rb") as whole:
        found = verify(whole, anchor, (folder / HEADS_FILE).read_text().splitlines())
    assert isinstance(found, Verified), found


def test_a_new_export_begins_where_the_log_does_and_goes_on(tmp_path: Path) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy.jsonl"
    anchor, begins = retired(folder)
    assert sent(folder, copy, beginning(folder, anchor)) == 95 - begins
    with AuditLog(folder, CLOCK, SMALL) as log:
        log.append(events(5, 95))
    assert sent(folder, copy, beginning(folder, anchor)) == 5
    lines = [json.loads(line)["seq"] for line in copy.read_bytes().splitlines()]
    assert lines == list(range(begins, 100))


def test_records_that_were_retired_before_they_were_sent_end_the_export(tmp_path: Path) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy.jsonl"
    log, anchor = AuditLog.create(folder, CLOCK, SMALL)
    with log:
        log.append(events(5))
        assert sent(folder, copy, Cursor()) == 5
        for first in range(5, 95, 5):
            log.append(events(5, first))
        log.retire(1)
    with pytest.raises(GapError, match=r"records 5 to \d+ were retired before"):
        sent(folder, copy, beginning(folder, anchor))


def test_a_statement_that_was_tampered_with_keeps_the_log_from_opening(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    retired(folder)
    (folder / RETIRED_FILE).unlink()
    with pytest.raises(LogTamperedError):
        AuditLog(folder, CLOCK, SMALL)


KEY = SigningKey.generate("ES256")
SOME = Boundary(log="a", size=3, offset=90, before=bytes(16), edge=(bytes(32),) * 2, time=5)


def test_a_boundary_comes_back_as_it_was_signed() -> None:
    text = sign_boundary(KEY, SOME, BOUNDARY)
    assert read_boundary(text, "a", KEY.public_jwk(), BOUNDARY) == SOME


@pytest.mark.parametrize(
    ("boundary", "log", "typ", "reason"),
    [
        (SOME, "b", BOUNDARY, "another-log"),
        (SOME, "a", RETIRED, "typ"),
        (Boundary(log="a", size=3, offset=1, before=b"1", edge=(b"", b""), time=1), "a", BOUNDARY,
         "malformed"),
        (Boundary(log="a", size=4, offset=1, before=bytes(16), edge=(b"", b""), time=1), "a",
         BOUNDARY, "malformed"),
        (Boundary(log="a", size=-1, offset=1, before=bytes(16), edge=(), time=1), "a", BOUNDARY,
         "malformed"),
    ],
    ids=["of another log", "as something else", "no seal", "another edge", "no count"],
)  # fmt: skip
def test_a_boundary_that_is_none_is_refused(
    boundary: Boundary, log: str, typ: str, reason: str
) -> None:
    found = read_boundary(sign_boundary(KEY, boundary, BOUNDARY), log, KEY.public_jwk(), typ)
    assert isinstance(found, Refusal)
    assert reason in found.code


@pytest.mark.parametrize("bad", [{"size": 0}, {"seconds": 0.0}, {"keep": -1}])
def test_a_rotation_without_bounds_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Rotation(**bad)


def test_what_is_kept_beside_the_log_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    retired(folder)
    names = [LOG_FILE, HEADS_FILE, SEAL_FILE, BOUNDARIES_FILE, RETIRED_FILE]
    for path in [*(folder / name for name in names), *(one.path for one in segments(folder))]:
        assert path.stat().st_mode & 0o077 == 0
