"""Files that are their owner's alone: replaced as a whole, written to the end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE: Final = 0o600


class NoFileError(OSError):
    """What is there is a folder, a pipe, a device, or a link to itself."""


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file as a whole, for its owner only; it is on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f"{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # a full disk has no room for half of it
            aside.unlink()
        raise


def open_regular(path: Path) -> int:
    """Open a file for reading and return its descriptor; a pipe in its place keeps nobody waiting.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # links in a circle, a socket
            raise NoFileError(errno.EINVAL, "expected a file", str(path)) from None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NoFileError(errno.EINVAL, "expected a file", str(path))


def read_regular(path: Path) -> bytes:
    """Read a file.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def write_all(descriptor: int, data: bytes) -> None:
    """Write to the end, however many writes that takes.

    Raises:
        OSError: it cannot be written.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
