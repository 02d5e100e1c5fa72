"""Running a command: its signals, its end, and what is said when it fails."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from iamrange.engine.command import run_command
from iamrange.engine.errors import PrepareError
from iamrange.engine.process import CommandRun, Ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Says `ready`, then waits; a SIGINT is answered in order, as the engine does.
PATIENT = """
import signal, sys, time
def stop(*_):
    print("stopped"); sys.exit(1)
signal.signal(signal.SIGINT, stop)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
DEAF = PATIENT.replace("stop)", "signal.SIG_IGN)")


def run(  # noqa: PLR0913 - keyword-only after the third
    code: str,
    folder: Path,
    on_line: Callable[[str], None],
    *,
    runner: CommandRun | None = None,
    timeout: float = 60,
    given: str | None = None,
) -> Ended:
    return (runner or CommandRun()).run(
        [sys.executable, "-c", code],
        directory=folder,
        environment=dict(os.environ),
        on_line=on_line,
        timeout=timeout,
        given=given,
    )


def test_lines_errors_and_code_are_returned(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('a'); print('b', end=''); sys.stderr.write('why'); sys.exit(7)"
    ended = run(code, tmp_path, lines.append)
    assert lines == ["a", "b"]
    assert ended == Ended(7, "why", interrupted=False, timed_out=False)


def test_what_is_given_arrives_on_standard_input(tmp_path: Path) -> None:
    lines: list[str] = []
    run("print(input())", tmp_path, lines.append, given="value")
    assert lines == ["value"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_us_is_passed_on_and_raises_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        if line == "ready":
            os.kill(os.getpid(), number)

    ended = run(PATIENT, tmp_path, note)
    assert lines == ["ready", "stopped"]
    assert ended.interrupted
    assert ended.code == 1
    assert signal.getsignal(number) is before


def test_another_thread_can_interrupt(tmp_path: Path) -> None:
    runner = CommandRun()
    ended: list[Ended] = []
    ready = threading.Event()

    def work() -> None:
        ended.append(run(PATIENT, tmp_path, lambda _line: ready.set(), runner=runner))

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(30)
    runner.interrupt()
    thread.join()
    assert ended[0].interrupted


def test_a_command_that_was_killed_ends_with_its_signal(tmp_path: Path) -> None:
    ended = run("import os; os.kill(os.getpid(), 9)", tmp_path, lambda _line: None)
    assert ended.code == -signal.SIGKILL
    assert not ended.interrupted


def test_a_command_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iamrange.engine.process._END_SECONDS", 0.1)
    monkeypatch.setattr("iamrange.engine.process._GRACE_SECONDS", 0.1)
    ended = run(DEAF, tmp_path, lambda _line: None, timeout=0.5)
    assert ended.timed_out
    assert ended.code == -signal.SIGKILL


def test_a_command_is_not_left_behind_when_the_reader_fails(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise ValueError(line)

    code = "import os; print(os.getpid(), flush=True); import time; time.sleep(60)"
    with pytest.raises(ValueError, match=r"\d+"):
        run(code, tmp_path, fail)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_preparation_command_that_cannot_start_is_told() -> None:
    with pytest.raises(PrepareError) as caught:
        run_command(["/nowhere/go", "build"], step="build it", way_out="install it")
    assert str(caught.value).startswith("build it: [Errno 2]")
    assert "command: /nowhere/go build" in str(caught.value)
    assert "way out: install it" in str(caught.value)
