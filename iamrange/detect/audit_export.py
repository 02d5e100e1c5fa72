"""The audit log on its way to a SIEM: in order, without a gap, from where the last one stopped.

- The reader goes by the records' numbers. What is not the next record ends the export with that
  number; nothing is left out in silence. Who wants to know more lets `verify` look at the log.
- Where a sink has taken everything up to is kept with the sink (a file) or beside it (a cursor):
  an export that was ended at any moment goes on from there. A record may come twice to a sink
  that did not say that it has it, and never not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from iamrange.detect.audit_seal import MAX_LINE, read_line
from iamrange.detect.private_file import PRIVATE, replace_private, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 1 << 20
_LONGEST_ASKED: Final = 300.0
"""Seconds: a sink cannot put an export off for longer than this at once."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where a sink has the log: the number of the next record, and where its line begins.

    `seal` is that of the record before, by which another log in the same place is told apart.
    """

    sequence: int = 0
    offset: int = 0
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that follow each other, and where the log goes on behind them."""

    lines: tuple[bytes, ...]
    then: Cursor


class GapError(Exception):
    """The next record is not there: the log is not what was written, or is another one."""


class SinkError(Exception):
    """The sink did not take a batch; `again` tells whether it may take it later."""

    def __init__(self, message: str, *, again: bool, after: float | None = None) -> None:
        """Describe it. `after` is how many seconds the sink asked to be left alone."""
        super().__init__(message)
        self.again = again
        self.after = after


class Sink(Protocol):
    """Where events go."""

    def send(self, batch: Batch) -> None:
        """Take a batch as a whole.

        Raises:
            SinkError: it was not taken.
        """


def resumed(log: BinaryIO, start: Cursor, begins: Cursor) -> Cursor:
    """Return where in a log an export goes on whose first record kept is at `begins`.

    A cursor that counts from another beginning (a copy's own) is found by its number.

    Raises:
        GapError: what comes next was retired before it was sent.
    """
    if start.sequence in {0, begins.sequence}:
        return begins
    if start.sequence < begins.sequence:
        last = begins.sequence - 1
        raise GapError(f"records {start.sequence} to {last} were retired before they were sent")
    if start.offset > begins.offset:
        with contextlib.suppress(GapError):
            _check_start(log, start, begins.offset)
            return start
    at = log.seek(begins.offset)
    for line in log:
        read = read_line(line)
        at += len(line)
        if read is not None and read.sequence + 1 == start.sequence:
            return replace(start, offset=at)
    raise GapError(f"record {start.sequence - 1} is not there: see what `verify` says of the log")


def batches(log: BinaryIO, start: Cursor, begins: int = 0) -> Iterator[Batch]:
    """Yield what follows, up to the last whole line that is there now.

    `begins` is the offset of the first record that is kept.

    Raises:
        GapError: the record that follows is another one, or none.
    """
    _check_start(log, start, begins)
    log.seek(start.offset)
    lines: list[bytes] = []
    at, size = start, 0
    while True:
        line = log.readline(MAX_LINE + 1)
        if not line.endswith(b"\n"):
            if len(line) > MAX_LINE:
                raise GapError(f"record {at.sequence}: its line has no end")
            break
        read = read_line(line)
        if read is None or read.sequence != at.sequence:
            raise GapError(f"record {at.sequence} is not there: see what `verify` says of the log")
        lines.append(line)
        size += len(line)
        at = Cursor(at.sequence + 1, at.offset + len(line), read.seal.hex())
        if len(lines) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield Batch(tuple(lines), at)
            lines, size = [], 0
    if lines:
        yield Batch(tuple(lines), at)


def read_cursor(path: Path) -> Cursor:
    """Read where an export stopped; the start, where none was yet.

    Raises:
        ValueError: it is no cursor.
        OSError: it cannot be read.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Cursor()
    try:
        read: Any = json.loads(text)
    except RecursionError:
        read = None
    if not isinstance(read, dict) or read.keys() != {"sequence", "offset", "seal"}:
        raise ValueError("expected the members sequence, offset and seal")
    sequence, offset, seal = read["sequence"], read["offset"], read["seal"]
    numbers = all(type(one) is int and one >= 0 for one in (sequence, offset))
    if not numbers or not isinstance(seal, str) or (sequence == 0) != (offset == 0):
        raise ValueError("expected where a record begins, and the seal of the one before")
    return Cursor(sequence, offset, seal)


def write_cursor(path: Path, cursor: Cursor) -> None:
    """Keep where an export is; the file changes as a whole.

    Raises:
        OSError: it cannot be written.
    """
    kept = {"sequence": cursor.sequence, "offset": cursor.offset, "seal": cursor.seal}
    replace_private(path, json.dumps(kept).encode())


class FileSink:
    """A file that becomes the same log again, and can be verified as one; it is its own cursor."""

    def __init__(self, path: Path) -> None:
        """Open it, and cut off a line that has no end.

        Raises:
            OSError: it cannot be written.
            ValueError: it holds something else, or another export writes it.
        """
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, PRIVATE
        )
        try:
            self._have_alone()
            self.cursor = self._end()
        except BaseException:
            self.close()
            raise
        self._size = self.cursor.offset

    def send(self, batch: Batch) -> None:
        """Append the lines; they are on the disk when this returns."""
        try:
            os.ftruncate(self._descriptor, self._size)  # what a batch that failed has left
            data = b"".join(batch.lines)
            write_all(self._descriptor, data)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise SinkError(f"file: {error.strerror}", again=True) from error
        self._size += len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _have_alone(self) -> None:
        """Keep others out: whoever has a place of its own in the file cuts off what they write."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise ValueError("expected a file")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError("another export writes it") from None

    def _end(self) -> Cursor:
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - 2 * MAX_LINE)
        end = os.pread(self._descriptor, size - start, start)
        whole = end.rfind(b"\n") + 1
        if not size:
            return Cursor()
        # A first line without an end may be anybody's: it is not taken for ours and cut off.
        read = read_line(end[end.rfind(b"\n", 0, max(0, whole - 1)) + 1 : whole])
        if read is None:
            raise ValueError("expected the lines of an audit log, or no such file")
        # It begins with record 0 and leaves none out: it is as long as the log was there.
        return Cursor(read.sequence + 1, start + whole, read.seal.hex())


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a sink is waited for: the waits double, up to the longest, with jitter.

    The sink's own word (Retry-After) goes before. `tries` None: for ever. `jitter` gives numbers
    from 0 to 1.
    """

    tries: int | None = 6
    first: float = 0.5
    longest: float = 30.0
    jitter: Callable[[], float] = random.random

    def waits(self) -> Iterator[float]:
        """Yield the seconds of each wait."""
        wait, left = self.first, self.tries
        while left is None or left > 1:
            yield wait * (0.5 + self.jitter() / 2)
            wait = min(self.longest, wait * 2)
            left = None if left is None else left - 1


def send(
    sink: Sink, batch: Batch, patience: Patience, wait: Callable[[SinkError, float], object]
) -> None:
    """Send a batch, again where the sink may take it later. `wait` waits that many seconds.

    Raises:
        SinkError: it was not taken, and will not be or was waited for long enough.
    """
    for seconds in patience.waits():
        try:
            return sink.send(batch)
        except SinkError as error:
            if not error.again:
                raise
            asked = min(error.after or 0.0, _LONGEST_ASKED)
            wait(error, max(seconds, asked))
    return sink.send(batch)


def _check_start(log: BinaryIO, start: Cursor, begins: int) -> None:
    """Refuse a log of which the record before the cursor is not the one that was sent last.

    Raises:
        GapError: it is another.
    """
    if start.offset == begins:
        return
    behind = min(start.offset - begins, MAX_LINE)
    log.seek(start.offset - behind)
    before = log.read(behind)
    line = before[before.rfind(b"\n", 0, len(before) - 1) + 1 :]
    read = read_line(line) if line.endswith(b"\n") else None
    if read is None or (read.sequence, read.seal.hex()) != (start.sequence - 1, start.seal):
        raise GapError(f"record {start.sequence - 1} is not the one that was sent: another log?")
