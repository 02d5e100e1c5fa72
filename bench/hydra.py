"""Ory Hydra as the peer: built once from its Go module, run on loopback, clients registered.

- It is built into the user's cache, outside the checkout, as a tools module: its own module file
  has a `replace`, so that `go install` refuses it.
- It runs as it comes but for its ports, its memory database and JWT access tokens.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODULE = "github.com/ory/hydra/v2"
VERSION = "v2.3.0"
# hydra's own module file has this replacement, which a module that uses it must repeat
_REPLACE = (
    "github.com/gobuffalo/pop/v6",
    "github.com/ory/pop/v6 v6.2.1-0.20241121111754-e5dfc0f3344b",
)
_TAGS = "sqlite,json1"
_START_SECONDS = 60


class HydraError(Exception):
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


def build() -> Path:
    """Return the binary, building it if the cache has none.

    Raises:
        HydraError: there is no Go, or the build failed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "iamrange" / "bench" / f"hydra-{VERSION}"
    binary = folder / "hydra"
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise HydraError("no Go on PATH to build it with")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(f"module tools\n\ngo 1.24\n\nreplace {' => '.join(_REPLACE)}\n")
    print("building Ory Hydra, once: some minutes", flush=True)
    for arguments in (
        ["get", "-tool", f"{MODULE}@{VERSION}"],
        ["build", "-tags", _TAGS, "-o", "hydra.new", MODULE],
    ):
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [go, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise HydraError(f"go {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    (folder / "hydra.new").rename(binary)
    return binary


@contextmanager
def running(folder: Path) -> Iterator[Hydra]:
    """Run the peer in a folder until the end of the block.

    Raises:
        HydraError: it did not start.
    """
    binary = build()
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
