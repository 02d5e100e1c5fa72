"""Where a program is that a world runs: in a wheel, or on PATH.

- Linux only: elsewhere a server could outlive the world that started it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def expect_linux(product: str, missing: type[Exception]) -> None:
    """Raise `missing` where this machine could not run the product for a world."""
    if not sys.platform.startswith("linux"):
        raise missing(
            f"{product}: expected Linux, got {sys.platform}: run the range in a Linux container"
        )


def find_program(
    command: str,
    in_wheel: Callable[[], Path | None],
    *,
    product: str,
    missing: type[Exception],
    way_out: str,
) -> Path:
    """Return the program of a wheel, or else the command's on PATH.

    `missing` is raised where there is none that this machine can run.
    """
    expect_linux(product, missing)
    program = in_wheel()
    if program is not None and program.is_file() and os.access(program, os.X_OK):
        return program
    found = shutil.which(command)
    if found is None:
        raise missing(f"{product}: not found: {way_out}")
    return Path(found)
