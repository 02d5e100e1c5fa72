"""Processes that work as an agent of the range left running, and how they are stopped.

- `iamrange exec` writes each down before it starts, and looks at the agent's state after that:
  whoever cuts the agent off either finds the process or has kept it from starting.
- A whole tree of processes is stopped, daemons of it too: on Linux who starts them adopts those
  whose parents ended. Elsewhere a daemon gets away from that.
- What a command leaves behind ends with it: nothing works as an agent that nobody knows of.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import psutil

from iamrange.detect.containment import MeansError
from iamrange.identity.agent import write_private
from iamrange.range.sweep import ProcessMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from iamrange.range.deployment import Deployment

FOLDER: Final = "processes"
NOTE: Final = ".json"
STOPPED: Final = ".stopped"
_PR_SET_CHILD_SUBREAPER: Final = 36
_PATIENCE: Final = 5.0
_POLL: Final = 0.02
_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP)


class NotStartedError(Exception):
    """The agent may not work now; the message says why, and the way out."""


class Started:
    """The register of one world: a file for each command that works as an agent."""

    def __init__(self, world: Path) -> None:
        """Use the register in this world's folder."""
        self._folder = world / FOLDER

    @contextlib.contextmanager
    def noted(self, agent: str) -> Iterator[Note]:
        """Have this process noted as one that works as the agent (a name, as paths are made of)."""
        folder = self._folder / agent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = Note(folder / f"{os.getpid()}{NOTE}")
        note.write()
        try:
            yield note
        finally:
            note.remove()

    def stop(self, agent: str) -> int:
        """Stop all that works as the agent; return how many processes that were.

        Raises:
            MeansError: one is still there.
        """
        found = 0
        for path in (self._folder / agent).glob(f"*{NOTE}"):
            working = _working(path)
            if working:
                path.with_suffix(STOPPED).touch(mode=0o600)
                found += _stop(working)
        return found


class Note:
    """One command's file in the register: this process, which keeps it, and the command's own."""

    def __init__(self, path: Path) -> None:
        """Use this file."""
        self._path = path

    def write(self, command: int | None = None) -> None:
        """Note this process, and the command's once there is one."""
        marks = {"keeper": ProcessMark.of("keeper", os.getpid())}
        if command is not None:
            marks["command"] = ProcessMark.of("command", command)
        fresh = self._path.with_suffix(".new")
        write_private(fresh, json.dumps({n: asdict(m) for n, m in marks.items() if m is not None}))
        fresh.replace(self._path)

    @property
    def stopped(self) -> bool:
        """Tell whether the range has stopped it."""
        return self._path.with_suffix(STOPPED).exists()

    def remove(self) -> None:
        """Take it out of the register."""
        for path in (self._path, self._path.with_suffix(STOPPED)):
            path.unlink(missing_ok=True)


class ProcessMeans:
    """Stopping what works as an agent."""

    name = "processes"

    def __init__(self, started: Started, names: Mapping[str, str]) -> None:
        """Take the register, and each agent's name by its SPIFFE id."""
        self._started = started
        self._names = names

    @classmethod
    def of(cls, deployment: Deployment) -> ProcessMeans:
        """Stop what works as this deployment's agents."""
        names = {one["spiffe_id"]: one["name"] for one in deployment.stage.agents.values()}
        return cls(Started(deployment.world.folder), names)

    def cut(self, agent: str) -> str:
        """Stop the agent's processes.

        Raises:
            MeansError: one is still there.
        """
        name = self._names.get(agent)
        count = 0 if name is None else self._started.stop(name)
        return f"{count} stopped" if count else "none to stop"

    def restore(self, agent: str) -> str:
        """Do nothing: who started them starts them again."""
        del agent
        return ""


def work_as(
    started: Started,
    agent: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    may_not: Callable[[], str | None],
) -> tuple[int, bool]:
    """Run a command as the agent to its end; return its exit status, and whether it was stopped.

    A signal's status is 128 and its number. `may_not` says why the agent may not work, if so.

    Raises:
        NotStartedError: it may not, or there is no such command.
    """
    _adopt_orphans()
    with started.noted(agent) as note:
        if (why := may_not()) is not None:
            raise NotStartedError(why)
        try:
            child = subprocess.Popen(list(command), env=dict(environment))  # noqa: S603 - the user's own
        except FileNotFoundError as error:
            raise NotStartedError(f"command '{command[0]}': not found") from error
        except OSError as error:
            raise NotStartedError(f"command '{command[0]}': {error.strerror}") from error
        try:
            with _signals_passed_to(child):
                note.write(child.pid)
                status = child.wait()
        finally:
            _stop(lambda: _descendants(os.getpid()))
            _bury()
        return (128 - status if status < 0 else status), note.stopped


@contextlib.contextmanager
def _signals_passed_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave the terminal's interrupt to the command, which has it too, and pass on what we get."""

    def passed(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)

    before = {number: signal.signal(number, passed) for number in _FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _adopt_orphans() -> None:
    if sys.platform.startswith("linux"):
        # prctl(2): what descends from this process and loses its parent is this one's child then
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _bury() -> None:
    """Take the exit status of whoever was adopted: not every machine's init does."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _working(note: Path) -> Callable[[], set[psutil.Process]] | None:
    """Return what tells which processes a note's command has now; None if it has ended."""
    try:
        marks = {name: ProcessMark(**mark) for name, mark in json.loads(note.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # it has just ended
    alive = {name: mark.pid for name, mark in marks.items() if mark.alive}
    if not alive:
        return None

    def found() -> set[psutil.Process]:
        processes = set[psutil.Process]()
        for name, pid in alive.items():
            processes |= _descendants(pid, itself=name == "command")
        return processes

    return found


def _descendants(pid: int, *, itself: bool = False) -> set[psutil.Process]:
    try:
        process = psutil.Process(pid)
        found = set(process.children(recursive=True)) | ({process} if itself else set())
        return {one for one in found if one.status() != psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return set()


def _stop(found: Callable[[], set[psutil.Process]]) -> int:
    """Freeze all that are found until there is none more, and kill them; return how many.

    Raises:
        MeansError: one is still there.
    """
    frozen = set[psutil.Process]()
    while new := found() - frozen:
        frozen |= new
        _send(new, signal.SIGSTOP)  # what is frozen starts no other
    _send(frozen, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while left := [one.pid for one in found()]:
        if time.monotonic() > deadline:
            raise MeansError(f"processes {left}: killed, and still there")
        time.sleep(_POLL)
    return len(frozen)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
