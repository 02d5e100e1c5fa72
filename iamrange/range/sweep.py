"""The register of running worlds, and what a crash left of them.

- A world is registered before its first process starts, and each process as it starts.
- A process is named by its id and the moment that it started: an id that was given away again is
  never taken for ours.
- Only the entries of creators that are gone are swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import tempfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTRY = "world.json"
_LOCK = ".lock"
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SOCKET_PATH_LIMIT = 84
"""Bytes; the kernel's own limit for a unix socket's path is 104 (macOS) or 108 (Linux).

Sockets in a folder beside this one have some 16 more.
"""


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """One process, for ever: its id, and when it started."""

    name: str
    pid: int
    started: str

    @classmethod
    def of(cls, name: str, pid: int) -> ProcessMark | None:
        """Mark the running process of this id, or return None if there is none."""
        started = _started(pid)
        return None if started is None else cls(name, pid, started)

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return _started(self.pid) == self.started

    def kill(self) -> None:
        """Kill that very process and its group, if it still runs."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, signal.SIGKILL)
                else:
                    os.kill(self.pid, signal.SIGKILL)


def _started(pid: int) -> str | None:
    try:
        # /proc/PID/stat field 22 counts from the boot; what precedes the last ")" may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{fields[19]}@{_BOOT_ID.read_text('ascii').strip()}"
    except (FileNotFoundError, ProcessLookupError, IndexError):
        pass
    if Path("/proc/self").exists():
        return None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def worlds_folder() -> Path:
    """Return the folder of the register, made if need be."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(state) / "iamrange" / "worlds"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Entry:
    """One world in the register: its own folder, other folders, its processes."""

    def __init__(self, folder: Path, creator: ProcessMark) -> None:
        """Use `create`."""
        self.folder = folder
        self._creator = creator
        self._folders: list[str] = []
        self._processes: list[ProcessMark] = []

    @classmethod
    def create(cls, *, name: str = "world") -> Entry:
        """Register a new world, made by this process.

        Raises:
            OSError: the register cannot be written.
        """
        creator = ProcessMark.of("creator", os.getpid())
        if creator is None:
            raise OSError("register: this process has no start time")
        root = worlds_folder()
        with _locked(root):
            folder = root / f"{_UNFIT.sub('-', name)[:40]}-{uuid.uuid4().hex[:10]}"
            folder.mkdir(mode=0o700)
            entry = cls(folder, creator)
            entry._write()
        return entry

    def add_process(self, name: str, pid: int) -> ProcessMark | None:
        """Note a process of this world; None if it has ended already."""
        mark = ProcessMark.of(name, pid)
        if mark is not None:
            self._processes.append(mark)
            self._write()
        return mark

    def forget(self, name: str) -> None:
        """Leave the processes of this name alone from now on."""
        self._processes = [process for process in self._processes if process.name != name]

    def add_folder(self, folder: Path) -> None:
        """Note a folder elsewhere that goes with the world."""
        self._folders.append(str(folder))
        self._write()

    def socket_path(self, name: str) -> Path:
        """Return a path for a unix socket: in the world's folder, or in a short one if need be."""
        path = self.folder / name
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            return path
        return self.short_folder() / name

    def short_folder(self) -> Path:
        """Make a folder with a short path that goes with the world."""
        short = Path(tempfile.mkdtemp(prefix="iamrange-", dir="/tmp"))
        self.add_folder(short)
        return short

    def remove(self) -> None:
        """Kill what still runs and remove every folder. May be called again."""
        for process in reversed(self._processes):
            process.kill()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self) -> None:
        value = {
            "creator": asdict(self._creator),
            "folders": self._folders,
            "processes": [asdict(process) for process in self._processes],
        }
        temporary = self.folder / f"{_ENTRY}.new"
        temporary.write_text(json.dumps(value))
        temporary.replace(self.folder / _ENTRY)

    @classmethod
    def read(cls, folder: Path) -> Entry:
        """Read an entry of the register.

        Raises:
            OSError, ValueError, KeyError, TypeError: there is no proper entry.
        """
        value: dict[str, Any] = json.loads((folder / _ENTRY).read_text())
        entry = cls(folder, ProcessMark(**value["creator"]))
        entry._folders = list(value["folders"])
        entry._processes = [ProcessMark(**process) for process in value["processes"]]
        return entry

    @property
    def abandoned(self) -> bool:
        """Whether whoever made it is gone."""
        return not self._creator.alive


def sweep() -> tuple[str, ...]:
    """Remove what crashed runs left; return the names of the worlds that were swept."""
    root = worlds_folder()
    swept: list[str] = []
    with _locked(root):
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            try:
                entry = Entry.read(folder)
            except (OSError, ValueError, KeyError, TypeError):
                # Written under the lock, whole or not at all: this one is broken, not young.
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder.name)
                continue
            if entry.abandoned:
                entry.remove()
                swept.append(folder.name)
    return tuple(swept)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
