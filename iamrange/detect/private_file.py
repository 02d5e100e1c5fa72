"""Files that are their owner's alone: replaced as a whole, written to the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE: Final = 0o600


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file as a whole, for its owner only; it is on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f"{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.replace(path)


def write_all(descriptor: int, data: bytes) -> None:
    """Write to the end, however many writes that takes.

    Raises:
        OSError: it cannot be written.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
