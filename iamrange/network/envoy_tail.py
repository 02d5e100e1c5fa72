"""Reading an access log while Envoy writes it: from where the last look ended, and no more at once.

- A line that has no end yet is left for the next time; one without end is dropped and counted.
- A log that was put aside is read to its end before the next one: the file is held open, so that
  neither its new name nor its removal takes lines away. Envoy writes to it until it opens the next.
- What was put aside twice between two looks is lost from the middle: `gaps` says so.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from iamrange.network.envoy_log import ACCESS_LOG_FILE, OLD_ACCESS_LOG_FILE

if TYPE_CHECKING:
    from pathlib import Path

READ_BYTES: Final = 1 << 20
"""How much of a log is read at once."""

LONGEST_LINE: Final = 64 << 10
"""Bytes: Envoy bounds each value, so that no line of its is longer."""


class AccessLogTail:
    """The lines of one Envoy's access log, each once."""

    def __init__(self, folder: Path) -> None:
        """Begin with the oldest line that is there."""
        self._folder = folder
        self._descriptor = -1
        self._file: tuple[int, int] | None = None
        self._rest = b""
        self._too_long = False
        self.dropped = 0
        """Lines without end, of which nothing was kept."""
        self.gaps = 0
        """How often a file went before it was read."""

    def read(self, limit: int = READ_BYTES) -> list[bytes]:
        """Return the whole lines of the next `limit` bytes, without their ends.

        Raises:
            OSError: the log cannot be read.
        """
        found: list[bytes] = []
        while limit > 0:
            # looked up before the reading: what is read after it is the old file's very end
            successor = self._successor()
            data = b"" if self._descriptor < 0 else os.read(self._descriptor, limit)
            if data:
                limit -= len(data)
                found += self._lines(data)
            elif successor is None:
                break
            else:
                self._open(successor)
        return found

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def gone(self) -> bool:
        """Tell whether the log was removed, so that nothing more can come."""
        return _identity(self._folder / ACCESS_LOG_FILE) is None

    def _successor(self) -> str | None:
        """Return the name of the file that comes after the one that is read, if there is one."""
        current = _identity(self._folder / ACCESS_LOG_FILE)
        old = _identity(self._folder / OLD_ACCESS_LOG_FILE)
        if self._file is None:
            return OLD_ACCESS_LOG_FILE if old else ACCESS_LOG_FILE if current else None
        if current in {None, self._file}:
            return None
        return ACCESS_LOG_FILE if old in {None, self._file} else OLD_ACCESS_LOG_FILE

    def _open(self, name: str) -> None:
        if self._file is not None and name == OLD_ACCESS_LOG_FILE:
            # a whole file went by between two looks: there may have been more of them
            self.gaps += 1
        self.close()
        if self._rest or self._too_long:
            self.dropped += 1  # Envoy ends its lines: this one was cut off
        self._rest, self._too_long = b"", False
        with contextlib.suppress(FileNotFoundError):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._folder / name, flags)
            status = os.fstat(self._descriptor)
            self._file = (status.st_dev, status.st_ino)

    def _lines(self, data: bytes) -> list[bytes]:
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = self._rest + whole[0]
            if self._too_long:
                self.dropped += 1
                whole = whole[1:]
            self._rest, self._too_long = rest, False
        elif not self._too_long:
            self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            self._rest, self._too_long = b"", True
        kept = [line for line in whole if len(line) <= LONGEST_LINE]
        self.dropped += len(whole) - len(kept)
        return kept


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
