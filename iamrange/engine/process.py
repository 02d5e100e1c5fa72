"""One run of the Pulumi CLI as a child process, its signals and its end.

- The child has a process group of its own: a Ctrl-C at the terminal reaches us alone, and we pass
  it on once. The engine then finishes what is in flight, releases its lock and ends.
- While it runs, our own handlers only note the signal: providers in this process must stay up
  until the engine is done with them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

_CHUNK = 65536
_END_SECONDS = 2.0
_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    stderr: str
    interrupted: bool
    timed_out: bool


class CommandRun:
    """A child process that is fed nothing, read line by line, and never left behind."""

    def __init__(self) -> None:
        """Start with nothing running."""
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Ask the running command to cancel; a second call makes it end at once."""
        self._interrupted = True
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)

    def run(  # noqa: PLR0913 - keyword-only: what a child process needs
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        timeout: float,
        given: str | None = None,
    ) -> Ended:
        """Run a command to its end, giving each line of its standard output to `on_line`."""
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as stdin:
            if given is not None:
                stdin.write(given.encode())
                stdin.seek(0)
            with self._signals_passed_on():
                self._process = process = subprocess.Popen(  # noqa: S603 - our own command line
                    command,
                    cwd=directory,
                    env=dict(environment),
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    process_group=0,
                )
                if self._interrupted:
                    self.interrupt()
                try:
                    timed_out = _read_lines(process, on_line, time.monotonic() + timeout)
                finally:
                    _end(process)
            errors.seek(0)
            text = errors.read().decode(errors="replace")
        return Ended(process.returncode, text, self._interrupted, timed_out)

    @contextlib.contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM and pass them on; only the main thread may set handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: FrameType | None) -> None:
            self.interrupt()

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                # None stands for a handler that was not set from Python: it cannot be given back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _read_lines(
    process: subprocess.Popen[bytes], on_line: Callable[[str], None], deadline: float
) -> bool:
    """Read until the end of output, or until the deadline; say whether that passed."""
    stdout = process.stdout
    if stdout is None:  # pragma: no cover - it is always a pipe here
        return False
    buffer = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return True
        if not select.select([stdout], [], [], left)[0]:
            continue
        chunk = os.read(stdout.fileno(), _CHUNK)
        if not chunk:
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace"))
    if buffer:
        on_line(buffer.decode(errors="replace"))
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process whose output has ended; cancel, then kill, one that goes on."""
    for number in (None, signal.SIGINT, signal.SIGKILL):
        if number is not None:
            process.send_signal(number)
        try:
            process.wait(_GRACE_SECONDS if number is not None else _END_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()
