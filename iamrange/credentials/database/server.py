"""A running PostgreSQL of one world: started when it is needed, ended with its owner.

- It listens on a unix socket alone, in a folder that its own user alone opens; every login needs a
  password, and its superuser has none.
- A server that was killed starts again on what it held; one that is to be new gets a new folder.
- It writes what it refuses into a log of JSON lines, and no statement into any.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.credentials.database import launch
from iamrange.credentials.database.binary import find_postgres, find_user, version_of
from iamrange.credentials.database.errors import DatabaseStartError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_FOLDER = "d"
LOG_FILE = "database.log"
PORT = 5432
"""Only a part of the socket's name."""

MAX_CONNECTIONS = 200

_START_SECONDS = 30.0
_STOP_SECONDS = 3.0
_POLL = 0.01
_READY = "ready"

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": str(MAX_CONNECTIONS),
    # small, and with as few processes as will do
    "shared_buffers": "8MB",
    "dynamic_shared_memory_type": "mmap",
    "autovacuum": "off",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "32MB",
    "jit": "off",
    # a killed process loses nothing by this: only a machine that stops would
    "fsync": "off",
    # what it refuses, and nothing that anybody has asked
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_directory": "log",
    "log_filename": "server.log",
    "log_file_mode": "0600",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
}


def template_folder(programs: Path) -> Path:
    """Return where the empty cluster of this version is kept, made or not."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "iamrange" / f"postgresql-{version_of(programs)}-1"


class PostgreSql:
    """One running server."""

    def __init__(self, child: subprocess.Popen[bytes], folder: Path) -> None:
        """Use `start`."""
        self._child = child
        self._folder = folder
        self._owner = os.getpid()

    @classmethod
    async def start(cls, folder: Path, statements: bytes) -> PostgreSql:
        """Start a server in this folder, whose path is short, and return when it serves.

        What it is to hold is carried out where the folder holds no cluster yet.

        Raises:
            DatabaseMissingError: there is no PostgreSQL.
            DatabaseStartError: it did not come up.
        """
        programs, user = find_postgres(), find_user()
        try:
            server = cls(_spawn(programs, user, folder, statements), folder)
        except OSError as error:
            raise DatabaseStartError(f"postgresql: {error.strerror}") from error
        try:
            await server._serving()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs, and is this process's own: a fork's parent's is not."""
        return os.getpid() == self._owner and self._child.poll() is None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._folder / DATA_FOLDER / f".s.PGSQL.{PORT}"

    @property
    def log(self) -> Path:
        """What it refuses, as JSON lines."""
        return log_of(self._folder)

    async def stop(self) -> None:
        """End the server and wait for it. May be called again."""
        if os.getpid() != self._owner or self._child.poll() is not None:
            return
        # at once: whoever is logged in is cut off
        for number in (signal.SIGQUIT, signal.SIGKILL):
            self._child.send_signal(number)
            deadline = time.monotonic() + _STOP_SECONDS
            while self._child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no asyncio.Event tells a process's end
                await asyncio.sleep(_POLL)

    async def _serving(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        status = self._folder / DATA_FOLDER / "postmaster.pid"
        while True:
            if self._child.poll() is not None:
                raise DatabaseStartError(f"postgresql ended at once{_last_words(self._folder)}")
            # a file that a killed server left names that one
            with contextlib.suppress(OSError, UnicodeDecodeError):
                lines = status.read_text().splitlines()
                if lines[0:1] == [str(self.pid)] and lines[-1].strip() == _READY:
                    return
            if time.monotonic() > deadline:
                raise DatabaseStartError(f"postgresql: not serving within {_START_SECONDS:g} s")
            await asyncio.sleep(_POLL)


def log_of(folder: Path) -> Path:
    """Return the log of the server in this folder."""
    return folder / DATA_FOLDER / "log" / "server.json"


def forget(folder: Path) -> None:
    """Remove all that a server held that has ended."""
    shutil.rmtree(folder / DATA_FOLDER, ignore_errors=True)


def _spawn(
    programs: Path, user: str | None, folder: Path, statements: bytes
) -> subprocess.Popen[bytes]:
    data = folder / DATA_FOLDER
    if user is not None:
        folder.chmod(0o711)  # its user passes through, and lists nothing
    options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    options += [f"--unix_socket_directories={data}", f"--port={PORT}"]
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program and arguments
            [
                # -I -S: nothing of the environment or of site-packages is loaded.
                *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), user or ""),
                *(str(programs), str(template_folder(programs)), str(data), *options),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            env={},
            # the group of a world is killed as one: this ends by a signal of its own
            start_new_session=True,
        )
    finally:
        os.close(log)
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(BrokenPipeError):  # it ended: whoever waits for it says so
        child.stdin.write(statements)
        child.stdin.close()
    return child


def _last_words(folder: Path) -> str:
    """Return the end of the server's log; no statement and no password is in it."""
    try:
        lines = (folder / LOG_FILE).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "; it said: " + " | ".join(lines[-3:]) if lines else ""
