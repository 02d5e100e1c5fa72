"""A world's decision records on disk: one JSON line each, in files that do not grow without bound.

- A file that is full is left as it is and another one begun, named by where it begins; of those
  that are full the oldest go.
- A place in the records is the number of bytes written before it, whichever files are still there.
- Who asks for records that are gone is told so: what nobody can read is not passed over.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from iamrange.core.decision import record_from_json, record_to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.core.decision import DecisionRecord
    from iamrange.credentials.redaction.redactor import Redactor

FILE_BYTES = 16 << 20
KEPT_FILES = 8
"""With the one that is written: 128 MiB, some 150,000 decisions."""

_UNRECORDED = 74
_FIRST = "records.jsonl"


class RecordsGoneError(OSError):
    """Records were asked for that are no longer kept."""


class RecordFile:
    """The sink of a world: one write a record.

    A record that cannot be kept stops the world: the process ends.
    """

    def __init__(
        self,
        folder: Path,
        redactor: Redactor,
        *,
        file_bytes: int = FILE_BYTES,
        kept_files: int = KEPT_FILES,
    ) -> None:
        """Begin the records in this folder; what a client sends in a name's place is redacted."""
        self._redactor = redactor
        self._file_bytes = file_bytes
        self._kept_files = kept_files
        self.move_to(folder)

    def move_to(self, folder: Path) -> None:
        """Begin again in this folder; the descriptor before is not closed (it was a fork's)."""
        self._folder = folder
        self._begin(0)

    def __call__(self, record: DecisionRecord) -> None:
        """Keep one record."""
        told = self._redactor.value(record_to_json(record))
        line = json.dumps(told).encode() + b"\n"
        try:
            if self._at - self._start >= self._file_bytes:
                self._next()
            written = os.write(self._descriptor, line)
        except OSError as error:
            written = -1
            sys.stderr.write(f"world: record not kept: {error.strerror}\n")
        if written != len(line):
            os._exit(_UNRECORDED)
        self._at += len(line)

    def _begin(self, start: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(_path(self._folder, start), flags, 0o600)
        self._start = self._at = start

    def _next(self) -> None:
        full = self._descriptor
        self._begin(self._at)
        os.close(full)
        for _, path in list(_files(self._folder))[: -self._kept_files]:
            path.unlink()


def read_records(folder: Path, offset: int = 0) -> tuple[list[DecisionRecord], int]:
    """Return the whole records of a world's folder after the offset, and the offset after them.

    Raises:
        RecordsGoneError: what comes after the offset is no longer kept.
        OSError: the records cannot be read.
    """
    records: list[DecisionRecord] = []
    starts = [start for start, _ in _files(folder) if start <= offset]
    if not starts:
        raise RecordsGoneError(f"{folder.name}: the records from byte {offset} on are not kept")
    path, start = _path(folder, starts[-1]), starts[-1]
    # A listing may miss what is begun meanwhile. The next file needs none: it begins where this
    # one ends, and is named by that.
    while True:
        with path.open("rb") as file:
            file.seek(offset - start)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        records += (record_from_json(json.loads(line)) for line in whole.splitlines())
        offset += len(whole)
        path, start = _path(folder, offset), offset
        if not whole or not path.exists():
            return records, offset


def kept_records(folder: Path) -> tuple[list[DecisionRecord], bool]:
    """Return all records of a world's folder that are kept, and whether older ones are gone.

    Raises:
        OSError: the folder has none, or cannot be read.
    """
    for start, _ in _files(folder):
        return read_records(folder, start)[0], start > 0
    raise FileNotFoundError(f"{folder.name}: no records")


def _path(folder: Path, start: int) -> Path:
    # Almost all worlds end with their first file: it has the plain name.
    return folder / (_FIRST if start == 0 else f"records-{start:020}.jsonl")


def _files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield where each file begins, and its path, in order."""
    first = folder / _FIRST
    if first.exists():
        yield 0, first
    for path in sorted(folder.glob("records-*.jsonl")):
        yield int(path.stem.removeprefix("records-")), path
