"""Processes that work as an agent: started, noted, ended, and stopped with all their kin."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from iamrange.range.agent_processes import FOLDER, ProcessMeans, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 20.0
KEEPER = """
import os, sys
from pathlib import Path
from iamrange.range.agent_processes import NotStartedError, Started, work_as
world, refused, *command = sys.argv[1:]
try:
    status, stopped = work_as(
        Started(Path(world)), "analyst", command, dict(os.environ), lambda: refused or None
    )
except NotStartedError as error:
    sys.exit(f"not started: {error}")
print("stopped" if stopped else "ended", flush=True)
sys.exit(status)
"""
SLEEPS = "import time; time.sleep(600)"
DAEMON = f"""
import os, subprocess, sys, time
from pathlib import Path
gone = subprocess.Popen(
    [sys.executable, "-c", "import os, subprocess, sys;"
     "print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}],"
     "start_new_session=True, stdout=-3, stderr=-3).pid)"],
    stdout=subprocess.PIPE, text=True,
)
Path(sys.argv[1]).write_text(gone.communicate()[0])
if sys.argv[2:]:
    time.sleep(600)
"""
FORKS = f"""
import os, subprocess, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
for _ in range(100):
    subprocess.Popen([sys.executable, "-S", "-c", {SLEEPS!r}])
    time.sleep(0.01)
time.sleep(600)
"""


class World:
    """A register, and commands that are started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = Started(folder)
        self.noted = folder / "pid"
        self._keepers: list[subprocess.Popen[str]] = []

    def begin(self, *command: str, refused: str = "") -> subprocess.Popen[str]:
        keeper = subprocess.Popen(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", KEEPER, str(self.folder), refused, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._keepers.append(keeper)
        return keeper

    def python(self, source: str, *arguments: str) -> subprocess.Popen[str]:
        return self.begin(sys.executable, "-c", source, *arguments)

    def pid(self) -> int:
        until(lambda: self.noted.exists() and self.noted.read_text().strip() != "")
        return int(self.noted.read_text())

    @property
    def register(self) -> list[str]:
        return sorted(path.name for path in (self.folder / FOLDER).glob("*/*"))

    def note(self) -> str:
        return next((self.folder / FOLDER).glob("*/*.json")).read_text()

    def close(self) -> None:
        for keeper in self._keepers:
            if keeper.poll() is None:
                for child in psutil.Process(keeper.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile
                        child.kill()
                keeper.kill()
            keeper.communicate()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 15)", 128 + 15),
    ],
)
def test_the_status_is_the_commands_own(world: World, source: str, status: int) -> None:
    keeper = world.python(source)
    assert keeper.communicate(timeout=PATIENCE)[0] == "ended\n"
    assert keeper.returncode == status
    assert world.register == []


@pytest.mark.parametrize(
    ("command", "refused", "said"),
    [
        (("no-such-command-here",), "", "command 'no-such-command-here': not found"),
        (("/",), "", "command '/': Permission denied"),
        ((sys.executable, "-c", "print('it worked')"), "it is quarantined", "it is quarantined"),
    ],
)
def test_what_cannot_or_may_not_start_is_said_and_not_noted(
    world: World, command: tuple[str, ...], refused: str, said: str
) -> None:
    keeper = world.begin(*command, refused=refused)
    printed, error = keeper.communicate(timeout=PATIENCE)
    assert (printed, error) == ("", f"not started: {said}\n")
    assert world.register == []


def test_what_a_command_leaves_behind_ends_with_it(world: World) -> None:
    keeper = world.python(DAEMON, str(world.noted))
    assert keeper.communicate(timeout=PATIENCE)[0] == "ended\n"
    assert gone(world.pid())


def test_a_signal_to_who_keeps_it_reaches_the_command(world: World) -> None:
    keeper = world.python(DAEMON, str(world.noted), "stay")
    daemon = world.pid()
    until(lambda: bool(psutil.Process(keeper.pid).children()))
    keeper.send_signal(signal.SIGTERM)
    assert keeper.communicate(timeout=PATIENCE)[0] == "ended\n"
    assert keeper.returncode == 128 + signal.SIGTERM
    assert gone(daemon)


def test_a_whole_tree_is_stopped_with_the_daemons_that_left_it(world: World) -> None:
    keeper = world.python(DAEMON, str(world.noted), "stay")
    daemon = world.pid()
    means = ProcessMeans(world.started, {"spiffe://iamrange.example/agent/analyst": "analyst"})
    assert means.cut("spiffe://iamrange.example/agent/analyst") == "2 stopped"
    assert keeper.communicate(timeout=PATIENCE)[0] == "stopped\n"
    assert keeper.returncode == 128 + signal.SIGKILL
    assert gone(daemon)
    assert means.cut("spiffe://iamrange.example/agent/analyst") == "none to stop"


def test_a_command_that_starts_ever_more_of_itself_is_stopped(world: World) -> None:
    world.python(FORKS, str(world.noted))
    parent = psutil.Process(world.pid())
    until(lambda: len(parent.children()) > 3)
    children = parent.children()
    assert world.started.stop("analyst") > 3
    assert gone(parent.pid)
    assert all(gone(child.pid) for child in children)


def test_a_command_whose_keeper_was_killed_is_still_stopped(world: World) -> None:
    keeper = world.python(SLEEPS)
    until(lambda: len(world.register) == 1 and "command" in world.note())
    (command,) = psutil.Process(keeper.pid).children()
    keeper.kill()
    keeper.wait()
    assert world.started.stop("analyst") == 1
    assert gone(command.pid)


def test_who_works_as_somebody_else_goes_on(world: World) -> None:
    keeper = world.python(DAEMON, str(world.noted), "stay")
    world.pid()
    assert world.started.stop("analys") == 0
    assert world.started.stop("*") == 0
    means = ProcessMeans(world.started, {"spiffe://iamrange.example/agent/other": "other"})
    assert means.cut("spiffe://iamrange.example/agent/other") == "none to stop"
    assert means.cut("spiffe://iamrange.example/agent/analyst") == "none to stop"
    assert keeper.poll() is None
