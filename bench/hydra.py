"""Ory Hydra as the peer: built once from its Go module, run on loopback, clients registered.

- It is built into the user's cache, outside the checkout, as a tools module: its own module file
  has a `replace`, so that `go install` refuses it.
- It runs as it comes but for its ports, its memory database and JWT access tokens.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.go_program import GoBuildError, GoProgram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROGRAM = GoProgram(
    name="hydra",
    module="github.com/ory/hydra/v2",
    version="v2.3.0",
    duration="some minutes",
    tags=("sqlite", "json1"),
    # hydra's own module file has this replacement, which a module that uses it must repeat
    replace=(
        "github.com/gobuffalo/pop/v6",
        "github.com/ory/pop/v6 v6.2.1-0.20241121111754-e5dfc0f3344b",
    ),
)
_START_SECONDS = 60


class HydraError(GoBuildError):
    """The peer could not be built or run; the text says why, for the figure's place."""


@dataclass(frozen=True, slots=True)
class Hydra:
    """A running peer."""

    pid: int
    public: int
    admin: int

    @property
    def token_url(self) -> str:
        """Where its tokens come from, as its metadata says."""
        return f"http://127.0.0.1:{self.public}/oauth2/token"

    def register(self, client: Mapping[str, Any]) -> Mapping[str, Any]:
        """Register an OAuth client by its admin API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/admin/clients",
            data=json.dumps(client).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            made: Mapping[str, Any] = json.load(answer)
        return made


@contextmanager
def running(folder: Path) -> Iterator[Hydra]:
    """Run the peer in a folder until the end of the block.

    Raises:
        GoBuildError: it cannot be built.
        HydraError: it did not start.
    """
    binary = PROGRAM.build()
    public, admin = _free_ports()
    config = {
        "dsn": "memory",
        "log": {"level": "error"},
        "strategies": {"access_token": "jwt"},
        "ttl": {"access_token": "5m"},
        "secrets": {"system": [secrets.token_hex(32)]},
        "urls": {"self": {"issuer": f"http://127.0.0.1:{public}"}},
        "serve": {
            "public": {"host": "127.0.0.1", "port": public},
            "admin": {"host": "127.0.0.1", "port": admin},
        },
        "sqa": {"opt_out": True},
    }
    file = folder / "hydra.json"
    file.write_text(json.dumps(config))
    with (folder / "hydra.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own binary
            [binary, "serve", "all", "--dev", "--sqa-opt-out", "-c", file],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            _wait(process, admin, folder / "hydra.log")
            yield Hydra(process.pid, public, admin)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], admin: int, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise HydraError(f"it ended at its start: {log.read_text()[-300:]}")
        try:
            url = f"http://127.0.0.1:{admin}/health/ready"
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise HydraError(f"not ready within {_START_SECONDS} s")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
