"""The events of a log that was verified first: what is read is what was sealed.

- A log that goes on being written is read as far as it was when the reading began.
"""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any, cast

from iamrange.detect.audit_boundary import RETIRED, Boundary, read_boundary
from iamrange.detect.audit_log import heads_beside
from iamrange.detect.audit_rotation import retirement
from iamrange.detect.audit_seal import MAX_LINE
from iamrange.detect.audit_segments import open_log
from iamrange.detect.audit_verify import Broken, Flaw, Verified, verify
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from iamrange.detect.audit_head import Anchor

_BLOCK = 1 << 16
_TRIES, _PAUSE = 20, 0.05


class LogUntrustedError(Exception):
    """The log is not what was written; the message names the first bad record."""


def verified(folder: Path, anchor: Anchor, kept: Sequence[str] = ()) -> Verified | Broken:
    """Verify a log as far as it was when this began; it may go on being written.

    `kept` are heads that were kept elsewhere. A line without an end is waited for, for a second.

    Raises:
        OSError: it cannot be read, or there is none and no head says that there was one.
    """
    while True:
        heads, retired = heads_beside(folder), retirement(folder)
        try:
            found = _verified(folder, anchor, heads, kept, retired)
        except FileNotFoundError:
            if retirement(folder) == retired:
                raise
        else:
            if isinstance(found, Verified) or retirement(folder) == retired:
                return found
        # older files were retired meanwhile: it begins elsewhere now


def verified_events(folder: Path, anchor: Anchor) -> Iterator[dict[str, Any]]:
    """Verify a log, then yield its events in their order.

    Raises:
        LogUntrustedError: it is not what was written.
        OSError: it cannot be read.
    """
    heads, retired = heads_beside(folder), retirement(folder)
    with _opened(folder, anchor, retired) as log:
        end = _end_of_last_line(log)
        log.seek(0)
        lines = _UpTo(log, end)
        found = verify(cast("BinaryIO", lines), anchor, heads, retired=retired)
        if isinstance(found, Broken):
            raise LogUntrustedError(f"audit log '{folder}': {found}; see `iamrange audit verify`")
        log.seek(0)
        lines = _UpTo(log, end)
        while line := lines.readline():
            yield json.loads(line)


def kept_from(folder: Path, anchor: Anchor) -> Boundary | None:
    """Return what is before the first record that is kept; None: it is the first of all.

    Raises:
        OSError: the statement of a retirement cannot be read.
    """
    return _said(retirement(folder), anchor)


def _said(retired: str | None, anchor: Anchor) -> Boundary | None:
    if retired is None:
        return None
    found = read_boundary(retired, anchor.log, anchor.public_jwk, RETIRED)
    return None if isinstance(found, Refusal) else found


def _opened(folder: Path, anchor: Anchor, retired: str | None) -> BinaryIO:
    """Open a log at the first record that is kept, as far as the anchor's key vouches for that.

    Raises:
        OSError: it cannot be read.
    """
    begins = _said(retired, anchor)
    return open_log(folder) if begins is None else open_log(folder, begins.size, begins.offset)


def _verified(
    folder: Path, anchor: Anchor, heads: list[str], kept: Sequence[str], retired: str | None
) -> Verified | Broken:
    try:
        log = _opened(folder, anchor, retired)
    except FileNotFoundError:
        found = verify(io.BytesIO(), anchor, heads, kept=kept, retired=retired)
        if isinstance(found, Broken) and folder.is_dir():
            return found
        raise
    with log:
        end = _end_of_last_line(log)
        log.seek(0)
        lines = cast("BinaryIO", _UpTo(log, end))
        found = verify(lines, anchor, heads, kept=kept, retired=retired)
        missing = found.size if isinstance(found, Verified) else None
        if isinstance(found, Broken) and found.flaw is Flaw.TRUNCATED:
            missing = found.record
        if missing is not None and (flaw := _flaw_behind(log, end)) is not None:
            return Broken(record=missing, flaw=flaw)
        return found


def _flaw_behind(log: BinaryIO, end: int) -> Flaw | None:
    """Return what is wrong with a last line that has no end, if nobody is writing it."""
    for _ in range(_TRIES):
        log.seek(end)
        line = log.readline(MAX_LINE + 1)
        if not line or line.endswith(b"\n"):
            return None  # it was gone on with, or taken back
        if len(line) > MAX_LINE:
            return Flaw.MALFORMED
        time.sleep(_PAUSE)
    return Flaw.HALF_WRITTEN


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
