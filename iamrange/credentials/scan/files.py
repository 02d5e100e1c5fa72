"""Walk a working tree: what is a file is read, what is not is counted or listed.

- Symbolic links are not followed, neither while walking nor at the open. Nothing but regular files
  is opened, so that no pipe or device can hold a scan up.
- `.git` is passed by: its commits are what `--history` reads.
"""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.credentials.scan.document import Origin, scan_bytes
from iamrange.credentials.scan.finding import NotRead, Scan, Skipped, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.credentials.scan.finding import Hasher

_GIT = ".git"


def walk(root: str, exclude: Sequence[str], scan: Scan) -> Iterator[tuple[str, int]]:
    """Yield path and size of each regular file under a path; note in `scan` what is passed by."""
    if not os.path.isdir(root):  # noqa: PTH112 - bytes kept
        yield root, 0
        return
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            scan.not_read.append(_unread(folder, error))
            continue
        for entry in entries:
            path = os.path.normpath(entry.path)
            try:
                passed = _passed_by(entry, path, exclude)
                if passed is not None:
                    scan.skipped[passed] += 1
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield path, entry.stat(follow_symlinks=False).st_size
                else:
                    scan.not_read.append(NotRead(path=path, reason=Unread.NOT_A_FILE))
            except OSError as error:
                scan.not_read.append(_unread(path, error))


def _passed_by(entry: os.DirEntry[str], path: str, exclude: Sequence[str]) -> Skipped | None:
    if any(fnmatch(path, glob) or fnmatch(entry.name, glob) for glob in exclude):
        return Skipped.EXCLUDED
    if entry.is_symlink():
        return Skipped.SYMLINK
    return Skipped.GIT_FOLDER if entry.name == _GIT else None


def scan_file(path: str, most: int, hasher: Hasher, *, keep: bool) -> Scan:
    """Read one file and return what it holds."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Scan(not_read=[NotRead(path=path, reason=Unread.NOT_A_FILE)])
            content = file.read(most + 1)
    except OSError as error:
        return Scan(not_read=[_unread(path, error)])
    if len(content) > most:
        return Scan(not_read=[too_large(path, most)])
    scan = scan_bytes(content, Origin(path=path), hasher, keep=keep)
    scan.files = 1
    return scan


def too_large(path: str, most: int) -> NotRead:
    """Say that something is longer than is read."""
    detail = f"more than {most} bytes; --max-size raises the limit"
    return NotRead(path=path, reason=Unread.TOO_LARGE, detail=detail)


def _unread(path: str, error: OSError) -> NotRead:
    if isinstance(error, PermissionError):
        return NotRead(path=path, reason=Unread.NOT_PERMITTED)
    reason = Unread.GONE if isinstance(error, FileNotFoundError) else Unread.NOT_A_FILE
    return NotRead(path=path, reason=reason, detail=error.strerror or "")


def exists(path: str) -> bool:
    """Tell whether there is something to scan; a link that is named outright is not followed."""
    return bool(path) and Path(path).exists() and not Path(path).is_symlink()
