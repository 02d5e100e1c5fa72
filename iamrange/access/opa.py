"""Real OPA: a second opinion on the policy, for development and tests.

- It is found on PATH, else in the user's cache, else built there from its Go module once; the
  versions and hashes of all modules are locked in `opa_tools/`.
- It is asked as others ask it: by its REST API, over a unix socket, and by `opa test`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "github.com/open-policy-agent/opa"
_TOOLS = Path(__file__).parent / "opa_tools"
_START_SECONDS = 30
_TIMEOUT = 120
# it would ask a server of its makers whether it is the newest
_ENVIRONMENT = {"OPA_DISABLE_TELEMETRY": "true"}
HTTP_OK = 200


class OpaError(Exception):
    """OPA could not be had, built or asked; the text says why."""


@dataclass(frozen=True, slots=True)
class OpaTests:
    """What `opa test` found: names of tests that passed and failed, lines without a test."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    coverage: float
    not_covered: tuple[str, ...]


def find() -> Path | None:
    """Return an OPA that is there already: on PATH, else in the cache."""
    on_path = shutil.which("opa")
    if on_path is not None:
        return Path(on_path)
    cached = _cached()
    return cached if cached.exists() else None


def build() -> Path:
    """Return OPA, building it if there is none: 40 seconds on two cores, once.

    Raises:
        OpaError: there is no Go, or the build failed.
    """
    found = find()
    if found is not None:
        return found
    go = shutil.which("go")
    if go is None:
        raise OpaError("OPA: neither opa nor go is on PATH")
    binary = _cached()
    binary.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOWORK": "off",
    }
    with tempfile.TemporaryDirectory(prefix="build-", dir=binary.parent) as name:
        module = Path(name) / "tools"
        shutil.copytree(_TOOLS, module)
        target = Path(name) / "opa"
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(target), MODULE],
            cwd=module,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OpaError(f"OPA: go build failed: {done.stderr.strip()[-300:]}")
        target.rename(binary)
    return binary


def _cached() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    lock = hashlib.sha256((_TOOLS / "go.sum").read_bytes()).hexdigest()[:16]
    return cache / "iamrange" / f"opa-{lock}" / "opa"


def test(binary: Path, folder: Path) -> OpaTests:
    """Run `opa test` on a folder of policies, and measure what its tests cover.

    Raises:
        OpaError: it did not run, or found no test.
    """
    # OPA prints the coverage instead of the results, so it is asked twice
    results = json.loads(_run(binary, "test", "--format", "json", str(folder)) or "[]")
    if not results:
        raise OpaError("opa test: expected tests, got none")
    failed = tuple(each["name"] for each in results if each.get("fail") or each.get("error"))
    report: dict[str, Any] = json.loads(
        _run(binary, "test", "--coverage", "--format", "json", str(folder))
    )
    missing = tuple(
        f"{Path(file).name}:{lines['start']['row']}"
        for file, covered in sorted(report.get("files", {}).items())
        for lines in covered.get("not_covered") or ()
    )
    return OpaTests(
        passed=tuple(each["name"] for each in results if each["name"] not in failed),
        failed=failed,
        coverage=float(report.get("coverage", 0)),
        not_covered=missing,
    )


def check(binary: Path, folder: Path) -> str:
    """Return what `opa check --strict` complains of; empty when it is nothing."""
    done = _done(binary, "check", "--strict", str(folder))
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()


def evaluate(binary: Path, folder: Path, input_json: str, query: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what plain `opa eval` answers to a query, None for undefined.

    Raises:
        OpaError: it did not run.
    """
    arguments = ("eval", "--format", "json", "--data", str(folder), "--stdin-input", query)
    done = _done(binary, *arguments, text=input_json)
    if done.returncode != 0:
        raise OpaError(f"opa eval: {(done.stderr or done.stdout).strip()[-300:]}")
    result = json.loads(done.stdout).get("result")
    return result[0]["expressions"][0]["value"] if result else None


def bench(binary: Path, folder: Path, input_json: str, query: str) -> float:
    """Return the median of the nanoseconds that OPA itself takes for a query, in process.

    Raises:
        OpaError: it did not run.
    """
    arguments = ("bench", "--format", "json", "--data", str(folder), "--stdin-input", query)
    done = _done(binary, *arguments, text=input_json)
    if done.returncode != 0:
        raise OpaError(f"opa bench: {(done.stderr or done.stdout).strip()[-300:]}")
    return float(json.loads(done.stdout)["Extra"]["histogram_timer_rego_query_eval_ns_median"])


class OpaServer:
    """OPA as a server: one connection, asked one input after another."""

    def __init__(self, path: Path) -> None:
        """Connect to its socket."""
        self._connection = _UnixConnection(path)

    def ask(self, input_json: str, document: str = "ai/authorization") -> Any:  # noqa: ANN401 - any JSON
        """Return the document for an input, None for undefined.

        Raises:
            OpaError: it refused the question.
        """
        self._connection.request(
            "POST",
            f"/v1/data/{document}",
            b'{"input":' + input_json.encode() + b"}",
            {"Content-Type": "application/json"},
        )
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != HTTP_OK:
            raise OpaError(f"opa: {answer.status}: {body[-300:].decode(errors='replace')}")
        return json.loads(body).get("result")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextmanager
def running(binary: Path, folder: Path) -> Iterator[OpaServer]:
    """Run OPA with a folder of policies until the end of the block.

    Raises:
        OpaError: it did not start.
    """
    # a short path: the name of a unix socket has 108 bytes
    with tempfile.TemporaryDirectory(prefix="opa-") as name:
        path = Path(name) / "s"
        log = Path(name) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - OPA itself
                [
                    *(str(binary), "run", "--server", "--addr", f"unix://{path}"),
                    *("--log-level", "error", "--disable-telemetry", str(folder)),
                ],
                stdout=output,
                stderr=output,
                env={**os.environ, **_ENVIRONMENT},
            )
            try:
                _wait(process, path, log)
                server = OpaServer(path)
                try:
                    yield server
                finally:
                    server.close()
            finally:
                process.terminate()
                process.wait(timeout=_START_SECONDS)


def _wait(process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise OpaError(f"opa ended at its start: {log.read_text()[-300:]}")
        connection = _UnixConnection(path)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == HTTP_OK:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise OpaError(f"opa: not ready within {_START_SECONDS} s")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(str(self._path))


def _run(binary: Path, *arguments: str) -> str:
    """Return what OPA prints, whatever its tests came to."""
    done = _done(binary, *arguments)
    if not done.stdout.strip():
        raise OpaError(f"opa {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _done(binary: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - OPA itself
        [str(binary), *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
        env={**os.environ, **_ENVIRONMENT},
    )
