"""The events of a log that was verified first: what is read is what was sealed.

- A log that goes on being written is read as far as it was when the reading began.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from iamrange.detect.audit_boundary import RETIRED, Boundary, read_boundary
from iamrange.detect.audit_log import HEADS_FILE
from iamrange.detect.audit_rotation import retirement
from iamrange.detect.audit_segments import open_log
from iamrange.detect.audit_verify import Broken, verify
from iamrange.jose import Refusal

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
    with opened(folder, anchor) as log:
        end = _end_of_last_line(log)
        log.seek(0)
        lines = _UpTo(log, end)
        found = verify(cast("BinaryIO", lines), anchor, heads, retired=retirement(folder))
        if isinstance(found, Broken):
            raise LogUntrustedError(f"audit log '{folder}': {found}; see `iamrange audit verify`")
        log.seek(0)
        lines = _UpTo(log, end)
        while line := lines.readline():
            yield json.loads(line)


def opened(folder: Path, anchor: Anchor) -> BinaryIO:
    """Open a log at the first record that is kept, as far as the anchor's key vouches for that.

    Raises:
        OSError: it cannot be read.
    """
    begins = kept_from(folder, anchor)
    return open_log(folder) if begins is None else open_log(folder, begins.size, begins.offset)


def kept_from(folder: Path, anchor: Anchor) -> Boundary | None:
    """Return what is before the first record that is kept; None: it is the first of all.

    Raises:
        OSError: the statement of a retirement cannot be read.
    """
    text = retirement(folder)
    if text is None:
        return None
    found = read_boundary(text, anchor.log, anchor.public_jwk, RETIRED)
    return None if isinstance(found, Refusal) else found


def _end_of_last_line(log: BinaryIO) -> int:
    """Return where the last whole line ends: what comes after it is still being written."""
    begins = log.seek(0)
    end = log.seek(0, 2)
    while end > begins:
        start = log.seek(max(begins, end - _BLOCK))
        newline = log.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return begins


class _UpTo:
    """The lines of a file from where it is to an offset in it."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file, self._left = file, end - file.tell()

    def readline(self, limit: int = -1) -> bytes:
        most = self._left if limit < 0 else min(limit, self._left)
        line = self._file.readline(most) if most > 0 else b""
        self._left -= len(line)
        return line
