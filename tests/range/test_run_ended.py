"""However a run ends, it says so clearly, exits with 3, and leaves no process and no folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from iamrange.range.sweep import sweep, worlds_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCENARIOS = ("token-theft/gcp-token-at-aws", "token-theft/aws-token-at-gcp")
UP = "pulumi up of the stack"
ATTACKS = "attack: 2 scenarios"
PATIENCE = 120.0
"""Seconds until a test gives up; nothing is measured with it."""


def until(found: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(0.02)


class Run:
    """A run of the command line that goes on, and all the processes it is seen to have."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "said"
        self.state = worlds_folder().parent.parent
        with self.said.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "iamrange.cli",
                    "run",
                    *SCENARIOS,
                    "--out",
                    str(folder / "out"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.seen: dict[int, psutil.Process] = {}

    def look(self) -> list[psutil.Process]:
        """Note every process below the run, and every one that works in its folders."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        for process in psutil.process_iter(["cwd", "cmdline"]):
            inside = f"{process.info['cwd']} {process.info['cmdline']}"
            if str(self.state) in inside and process.pid != self.process.pid:
                found.append(process)
        self.seen.update({process.pid: process for process in found})
        return found

    def until_said(self, text: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None, self.said.read_text()
            return text in self.said.read_text()

        until(said, f"the run says {text!r}")

    def until_running(self, find: Callable[[psutil.Process], bool]) -> psutil.Process:
        hit: list[psutil.Process] = []

        def running() -> bool:
            assert self.process.poll() is None, self.said.read_text()
            for process in self.look():
                try:
                    if find(process):
                        hit.append(process)
                except psutil.Error:
                    continue
            return bool(hit)

        until(running, "the process runs")
        return hit[0]

    def kill_until_it_ends(self, find: Callable[[psutil.Process], bool]) -> None:
        """Kill every process that is found: the first may have answered just before."""

        def ended() -> bool:
            if self.process.poll() is not None:
                return True
            for process in self.look():
                with suppress(psutil.Error):
                    if find(process):
                        process.kill()
            return False

        until(ended, "the run ends")

    def registered(self, name: str) -> int:
        """Return the process that worlds' entries in the register name so."""
        for path in worlds_folder().glob("*/world.json"):
            for process in json.loads(path.read_text())["processes"]:
                if process["name"] == name:
                    return int(process["pid"])
        raise AssertionError(f"no {name} in the register")

    def end(self) -> str:
        """Wait for the end; nothing must be left running. Return what the run said."""
        self.process.wait(PATIENCE)
        _, alive = psutil.wait_procs(list(self.seen.values()), timeout=PATIENCE)
        assert alive == []
        assert self.look() == []
        return self.said.read_text()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with running(tmp_path) as made:
        yield made


@contextmanager
def running(folder: Path) -> Iterator[Run]:
    made = Run(folder)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        sweep()


def is_engine(process: psutil.Process) -> bool:
    return process.name() == "pulumi" and "up" in process.cmdline()


def is_actor(process: psutil.Process) -> bool:
    return Path(process.cwd()).parent.name == "actors"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", [UP, ATTACKS])
def test_a_signal_ends_a_run_and_leaves_nothing(run: Run, phase: str, number: int) -> None:
    run.until_said(phase)
    run.until_running(is_engine if phase is UP else is_actor)
    run.process.send_signal(number)
    said = run.end()
    assert run.process.returncode == 3
    assert said.splitlines()[-1] == "interrupted; nothing is left running"
    assert "Traceback" not in said
    assert list(worlds_folder().glob("*-*")) == []


def test_signals_that_follow_do_not_disturb_the_taking_down(run: Run) -> None:
    run.until_said(ATTACKS)
    run.until_running(is_actor)
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    said = run.end()
    assert run.process.returncode == 3
    assert said.splitlines()[-1] == "interrupted; nothing is left running"
    assert list(worlds_folder().glob("*-*")) == []


@pytest.mark.parametrize(
    ("phase", "victim", "named"),
    [
        (UP, "engine", "pulumi up: the engine was ended by signal 9"),
        (ATTACKS, "engine", "pulumi up: the engine was ended by signal 9"),
        (ATTACKS, "actor", "ended with status -9 before it answered"),
        (ATTACKS, "world world", "world 'world': its process ("),
        (ATTACKS, "zygote", "zygote"),
    ],
)
def test_a_killed_process_is_named_and_nothing_is_left(
    run: Run, phase: str, victim: str, named: str
) -> None:
    run.until_said(phase)
    if victim == "actor":
        run.kill_until_it_ends(is_actor)
    elif victim == "engine":
        os.kill(run.until_running(is_engine).pid, signal.SIGKILL)
    else:
        run.look()
        os.kill(run.registered(victim), signal.SIGKILL)
    said = run.end()
    assert run.process.returncode == 3, said
    assert named in " ".join(said.split()), said
    assert "Traceback" not in said
    assert list(worlds_folder().glob("*-*")) == []


def test_a_killed_run_leaves_no_process_and_the_next_start_sweeps(run: Run) -> None:
    run.until_said(ATTACKS)
    run.until_running(is_actor)
    run.process.kill()
    run.end()
    assert list(worlds_folder().glob("*-*"))
    assert sweep()
    assert list(worlds_folder().glob("*-*")) == []
