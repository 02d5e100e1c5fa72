"""The files of an audit log, read as the one log that they are.

- The log is written to `audit.jsonl`. When that is put aside it is named by its first record's
  number, and the next one goes on with the same numbers, seals and tree: the files' contents one
  after another are the log. Offsets count from the first record that was ever written.
- A reader that has come to the end of a file which was put aside goes on with the next.
- What is no file, in the place of one, holds nothing: a verifier names what is missing.
"""

from __future__ import annotations

import io
import os
import re
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from iamrange.detect.private_file import NoFileError, open_regular

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

LOG_FILE: Final = "audit.jsonl"
_NAME: Final = re.compile(r"audit\.(\d{20})\.jsonl")
_TRIES, _PAUSE = 100, 0.01
_READ: Final = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file that was put aside: `first` is the number of its first record."""

    first: int
    path: Path


def segment_name(first: int) -> str:
    """Return the name of a file that was put aside, by its first record's number."""
    return f"audit.{first:020}.jsonl"


def segments(folder: Path, first: int = 0) -> list[Segment]:
    """Return what was put aside, in its order; without those that begin before `first`.

    Raises:
        OSError: the folder cannot be read.
    """
    named = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    found = [Segment(int(match[1]), path) for match, path in named if match is not None]
    return sorted(one for one in found if one.first >= first)


def open_log(folder: Path, first: int = 0, offset: int = 0) -> BinaryIO:
    """Open a log for reading, from its first record or (where older ones are retired) this one.

    Raises:
        OSError: it cannot be read.
    """
    return cast("BinaryIO", io.BufferedReader(SegmentedLog(folder, first, offset), _READ))


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    start: int
    end: int


class SegmentedLog(io.RawIOBase):
    """All files of a log as one."""

    def __init__(self, folder: Path, first: int = 0, offset: int = 0) -> None:
        """Begin at the record `first`, which stands at `offset`.

        Raises:
            OSError: the log cannot be read.
        """
        super().__init__()
        self._folder, self._at, self.begins = folder, offset, offset
        self._opened: tuple[Path, int] | None = None
        self._active, ended = _opened_after(folder, first)
        self._parts = _parts(ended, offset)
        self.active_start = self._parts[-1].end if self._parts else offset

    def readable(self) -> bool:
        """Tell that it is for reading."""
        return True

    def seekable(self) -> bool:
        """Tell that one can go to any place."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset; what lies before the first record is its place."""
        end = self.active_start + os.fstat(self._active).st_size
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: end}[whence]
        self._at = max(self.begins, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on, over the end of a file if need be; 0 at the end of what there is."""
        view = memoryview(buffer).cast("B")
        while True:
            part = next((one for one in self._parts if self._at < one.end), None)
            if part is not None:
                data = os.pread(self._descriptor(part.path), len(view), self._at - part.start)
                if not data:
                    self._at = part.end  # it is shorter than it was: what is missing will show
                    continue
            else:
                data = os.pread(self._active, len(view), self._at - self.active_start)
                if not data and self._put_aside():
                    continue
            view[: len(data)] = data
            self._at += len(data)
            return len(data)

    def close(self) -> None:
        """Close the files."""
        if not self.closed:
            os.close(self._active)
            if self._opened is not None:
                os.close(self._opened[1])
        super().close()

    def _descriptor(self, path: Path) -> int:
        if self._opened is None or self._opened[0] != path:
            if self._opened is not None:
                os.close(self._opened[1])
            self._opened = None
            self._opened = path, os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._opened[1]

    def _put_aside(self) -> bool:
        """Tell whether the file that was written to is not any more; then go on with the next."""
        own = os.fstat(self._active)
        try:
            now = (self._folder / LOG_FILE).stat()
        except OSError:
            return False
        if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino):
            return False
        found = segments(self._folder)
        places = [
            number for number, one in enumerate(found) if one.path.stat().st_ino == own.st_ino
        ]
        if not places:
            return False  # it is retired already, or another log lies here
        active, ended = _opened_after(self._folder, found[places[0]].first)
        os.close(self._active)
        self._active = active
        self._parts = _parts(ended, self.active_start)
        self.active_start = self._parts[-1].end
        return True


def _parts(ended: list[Segment], start: int) -> list[_Part]:
    parts = []
    for one in ended:
        end = start + _length(one.path)
        parts.append(_Part(one.path, start, end))
        start = end
    return parts


def _length(path: Path) -> int:
    """Return how long a file is; what is none, or a link to nothing, holds nothing.

    Raises:
        OSError: it is not there any more.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        try:
            found = path.stat()
        except OSError:
            return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _opened_after(folder: Path, first: int) -> tuple[int, list[Segment]]:
    """Open the file that is written to, and list those before it: both of one moment.

    Raises:
        OSError: there is none.
    """
    for tried in range(_TRIES):
        ended = segments(folder, first)
        path = folder / LOG_FILE
        try:
            descriptor = open_regular(path)
        except (FileNotFoundError, NoFileError) as error:
            missing = isinstance(error, FileNotFoundError) and not path.is_symlink()
            if not ended and missing:
                raise
            if not missing or tried == _TRIES - 1:
                return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), ended
        else:
            if segments(folder, first) == ended:
                return descriptor, ended
            os.close(descriptor)
        time.sleep(_PAUSE)  # the writer puts one aside just now
    raise OSError(f"{folder}: files are put aside faster than they can be opened")
