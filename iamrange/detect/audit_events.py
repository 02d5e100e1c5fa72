"""The events of a log that was verified first: what is read is what was sealed.

- A log that goes on being written is read as far as it was when the reading began.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from iamrange.detect.audit_log import HEADS_FILE, LOG_FILE
from iamrange.detect.audit_verify import Broken, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from iamrange.detect.audit_head import Anchor

_BLOCK = 1 << 16


class LogUntrustedError(Exception):
    """The log is not what was written; the message names the first bad record."""


def verified_events(folder: Path, anchor: Anchor) -> Iterator[dict[str, Any]]:
    """Verify a log, then yield its events in their order.

    Raises:
        LogUntrustedError: it is not what was written.
        OSError: it cannot be read.
    """
    heads = (folder / HEADS_FILE).read_text(errors="replace").splitlines()
    with (folder / LOG_FILE).open("rb") as file:
        end = _end_of_last_line(file)
        found = verify(cast("BinaryIO", _UpTo(file, end)), anchor, heads)
        if isinstance(found, Broken):
            raise LogUntrustedError(f"audit log '{folder}': {found}; see `iamrange audit verify`")
        lines = _UpTo(file, end)
        while line := lines.readline():
            yield json.loads(line)


def _end_of_last_line(file: BinaryIO) -> int:
    """Return where the last whole line ends: what comes after it is still being written."""
    end = file.seek(0, 2)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


class _UpTo:
    """The lines of a file from its first to a place in it."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file, self._left = file, end
        file.seek(0)

    def readline(self, limit: int = -1) -> bytes:
        most = self._left if limit < 0 else min(limit, self._left)
        line = self._file.readline(most) if most else b""
        self._left -= len(line)
        return line
