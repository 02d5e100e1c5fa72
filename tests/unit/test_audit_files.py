"""Whatever is put in the place of a log's files, `verified` names the first record that is gone."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from iamrange.core.clock import FixedClock
from iamrange.detect.audit_events import verified
from iamrange.detect.audit_log import HEADS_FILE, AuditLog, heads_beside
from iamrange.detect.audit_rotation import RETIRED_FILE, Rotation
from iamrange.detect.audit_segments import LOG_FILE, segments
from iamrange.detect.audit_verify import Broken, Flaw, Verified

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iamrange.detect.audit_head import Anchor

CLOCK = FixedClock(1_800_000_000.0)
COUNT = 60


def written(folder: Path) -> tuple[Anchor, str]:
    """Write a log of several files; return its anchor and its last head."""
    log, anchor = AuditLog.create(folder, CLOCK, Rotation(size=1000))
    with log:
        for first in range(0, COUNT, 5):
            log.append({"number": first + n, "padding": "x" * 20} for n in range(5))
        head = log.head()
    assert len(segments(folder)) > 2
    return anchor, head


def _a_folder(path: Path) -> None:
    path.mkdir()


def _a_pipe(path: Path) -> None:
    os.mkfifo(path)


def _a_link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _bytes(data: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        path.write_bytes(data)

    return put


INSTEAD: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "nothing in it": _bytes(b""),
    "a folder": _a_folder,
    "a pipe": _a_pipe,
    "a link to nothing": _a_link_to("nowhere"),
    "a link to what never ends": _a_link_to("/dev/zero"),
    "a link to itself": _a_link_to(LOG_FILE),
    "zeros": _bytes(bytes(5000)),
    "a line that never ends": _bytes(b"{" * (3 << 20)),
    "another encoding": _bytes('{"number":1,"seq":0,"seal":""}\n'.encode("utf-16")),
}


@pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("instead", INSTEAD.values(), ids=INSTEAD)
def test_what_is_put_in_a_files_place_is_named_by_its_first_record(
    tmp_path: Path, which: int, instead: Callable[[Path], object]
) -> None:
    folder = tmp_path / "log"
    anchor, kept = written(folder)
    ended = segments(folder)
    end = ended[-1].first + ended[-1].path.read_bytes().count(b"\n")
    files = [(one.first, one.path) for one in ended] + [(end, folder / LOG_FILE)]
    first, path = files[which]
    path.unlink()
    instead(path)
    found = verified(folder, anchor, [kept])
    assert isinstance(found, Broken)
    assert (found.record, found.last) == (first, None)


@pytest.mark.parametrize("beside", [True, False], ids=["heads left", "heads gone"])
def test_a_log_that_is_gone_as_a_whole_is_found_by_its_heads(
    tmp_path: Path, *, beside: bool
) -> None:
    folder = tmp_path / "log"
    anchor, kept = written(folder)
    for path in folder.iterdir():
        if path.name != HEADS_FILE or not beside:
            path.unlink()
    found = verified(folder, anchor, [] if beside else [kept])
    assert isinstance(found, Broken)
    assert (found.record, found.flaw) == (0, Flaw.TRUNCATED)
    (folder / HEADS_FILE).unlink(missing_ok=True)
    for place in (folder, tmp_path / "elsewhere"):
        with pytest.raises(FileNotFoundError):
            verified(place, anchor)


@pytest.mark.parametrize("instead", INSTEAD.values(), ids=INSTEAD)
def test_heads_beside_the_log_that_cannot_be_read_do_not_keep_it_from_being_verified(
    tmp_path: Path, instead: Callable[[Path], object]
) -> None:
    folder = tmp_path / "log"
    anchor, kept = written(folder)
    if instead is INSTEAD["a link to itself"]:
        instead = _a_link_to(HEADS_FILE)
    (folder / HEADS_FILE).unlink()
    instead(folder / HEADS_FILE)
    found = verified(folder, anchor, [kept])
    assert isinstance(found, Verified)
    assert (found.size, found.heads) == (COUNT, 1)


@pytest.mark.parametrize("instead", [name for name in INSTEAD if name != "nothing"])
def test_what_is_no_statement_of_a_retirement_is_said(tmp_path: Path, instead: str) -> None:
    folder = tmp_path / "log"
    anchor, kept = written(folder)
    INSTEAD[instead](folder / RETIRED_FILE)
    found = verified(folder, anchor, [kept])
    if instead == "a link to nothing":
        assert isinstance(found, Verified)
        return
    assert isinstance(found, Broken)
    assert found.flaw is Flaw.BAD_RETIREMENT


def test_a_line_that_is_being_written_is_waited_for_and_one_that_nobody_ends_is_named(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "log"
    anchor, kept = written(folder)
    whole = (folder / LOG_FILE).read_bytes()
    (folder / LOG_FILE).write_bytes(whole[:-30])
    found = verified(folder, anchor, [kept])
    assert isinstance(found, Broken)
    assert (found.record, found.flaw) == (COUNT - 1, Flaw.HALF_WRITTEN)

    (folder / LOG_FILE).write_bytes(whole + b'{"number":')

    def end_it() -> None:
        time.sleep(0.1)
        (folder / LOG_FILE).write_bytes(whole + b'{"number":60}\n')

    with (folder / LOG_FILE).open("ab"):
        thread = threading.Thread(target=end_it)
        thread.start()
        found = verified(folder, anchor, [kept])
        thread.join()
    assert isinstance(found, Verified)
    assert found.size == COUNT


def test_a_log_that_is_written_all_the_time_is_verified_as_far_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log, anchor = AuditLog.create(folder, CLOCK, Rotation(size=50_000, keep=2))
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            log.append({"number": number + n, "padding": "x" * 200} for n in range(50))
            number += 50

    with log:
        log.append([{"number": -1}])
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(20):
                found = verified(folder, anchor)
                assert isinstance(found, Verified), found
        finally:
            ended.set()
            thread.join()
    assert heads_beside(folder)


def test_what_a_full_disk_has_half_written_beside_the_log_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "log"
    anchor, kept = written(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 40:
            return real(descriptor, bytes(data)[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left on device"):
            AuditLog(folder, CLOCK)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert isinstance(verified(folder, anchor, [kept]), Verified)
