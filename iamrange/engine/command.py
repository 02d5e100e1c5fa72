"""Run one command of the preparation, so that a failure names step, command and way out."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections import deque
from typing import TYPE_CHECKING

from iamrange.engine.errors import PrepareError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_KEPT_LINES = 15
_NO_SPACE = "no space left on device"
NO_SPACE_WAY_OUT = "free some disk space (about 4 GB are needed once), then run the same again"


def run_command(  # noqa: PLR0913 - keyword-only: what the error must be able to name
    command: Sequence[str],
    *,
    step: str,
    way_out: str,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _line: None,
) -> list[str]:
    """Run a command to its end and return its last lines, errors among them.

    Raises:
        PrepareError: it could not be started, or it failed.
    """
    shown = shlex.join(command)
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        with subprocess.Popen(  # noqa: S603 - our own command lines
            command,
            cwd=directory,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process:
            try:
                for line in process.stdout or ():
                    lines.append(line.rstrip())
                    on_line(line.rstrip())
            except BaseException:
                # The command's own children (compilers, pip's builds) must not go on without it.
                os.killpg(process.pid, signal.SIGTERM)
                raise
    except OSError as error:
        raise PrepareError(step, str(error), way_out, shown) from error
    if process.returncode != 0:
        said = "\n    ".join(lines) or "(it said nothing)"
        if any(_NO_SPACE in line.lower() for line in lines):
            raise PrepareError(step, "the disk is full", NO_SPACE_WAY_OUT, shown)
        ended = (
            f"ended by signal {-process.returncode}"
            if process.returncode < 0
            else f"failed (exit {process.returncode})"
        )
        raise PrepareError(step, f"{ended}\n    {said}", way_out, shown)
    return list(lines)
