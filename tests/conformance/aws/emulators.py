"""Emulators that tests start for themselves: each on a port of its own, with an empty state.

moto's server comes with the project. LocalStack and ministack live in environments of their own:
`IAMRANGE_LOCALSTACK_VENV` and `IAMRANGE_MINISTACK_VENV` say where, or `environments.py` makes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.clouds.aws.upstream import UpstreamDownError
from iamrange.clouds.aws.upstream_gaps import UpstreamKind, gaps
from iamrange.clouds.aws.upstream_kinds import Recognised, recognise
from tests.conformance.aws.environments import python_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What some cases do at the emulator besides being decided, where one is listed as unable to.
DOES: Mapping[str, str] = {
    "run a task with PassRole for its role": "ecs:RunTask",
    "run a task in another role with PassRole": "ecs:RunTask",
    "security group in a list, spared": "ec2:ModifyInstanceAttribute",
    "test_items_of_every_type_survive": "dynamodb:GetItem",
    "test_key_encrypts_and_moves_what_it_encrypted": "kms:ReEncrypt",
}
# Whatever an emulator stumbles over by itself is its own 500; only ours are held to having none.
EMBEDDED_ONLY = frozenset({"test_calls_with_any_parameters_are_answered_and_open_nothing"})
READY_SECONDS = 120.0
# What an emulator's process needs of ours; no credentials, no proxies.
_KEPT = ("PATH", "HOME", "LANG", "JAVA_HOME")


@dataclass(frozen=True, slots=True)
class Launch:
    """How one kind is started on a port."""

    command: tuple[str, ...]
    env: Mapping[str, str]


def launch(kind: UpstreamKind, port: int) -> Launch:
    match kind:
        case UpstreamKind.MOTO:
            command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
            return Launch(command, {"MOTO_DISABLE_GLOBAL_CORS": "true"})
        case UpstreamKind.LOCALSTACK:
            env = {
                "GATEWAY_LISTEN": f"127.0.0.1:{port}",
                "EAGER_SERVICE_LOADING": "0",
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "DISABLE_EVENTS": "1",
            }
            return Launch((python_of("localstack"), "-m", "localstack.runtime.main"), env)
        case UpstreamKind.MINISTACK:
            env = {
                "BIND_HOST": "127.0.0.1",
                "MINISTACK_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
            }
            return Launch((python_of("ministack"), "-m", "ministack"), env)
        case _:
            raise ValueError(f"emulator {kind!r}: nothing to start")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Emulator:
    """A running emulator: its URL, and what it says it is."""

    def __init__(self, kind: UpstreamKind, port: int | None = None) -> None:
        self.kind = kind
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix=f"iamrange-{kind}-")
        how = launch(kind, self.port)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with Path(self._folder.name, "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the emulator of that environment
                how.command,
                cwd=self._folder.name,
                env={**kept, **how.env, "TMPDIR": self._folder.name},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.recognised = self._ready()
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> Recognised:
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                return asyncio.run(recognise(self.url))
            except UpstreamDownError:
                if self._process.poll() is not None or time.monotonic() > end:
                    text = Path(self._folder.name, "log").read_text("utf-8", "replace")
                    raise RuntimeError(f"{self.kind} did not start: {text[-2000:]}") from None
                time.sleep(0.1)

    def log(self) -> str:
        """Return what it has written of itself until now."""
        return Path(self._folder.name, "log").read_text("utf-8", "replace")

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # its state is nobody's
        self._process.wait(20)
        self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class Located:
    """Where an emulator is, and which."""

    url: str
    kind: UpstreamKind


@contextlib.contextmanager
def located(wanted: str | None) -> Iterator[Located | None]:
    """Return the emulator at a URL, or one started for a kind; None for none."""
    if not wanted:
        yield None
    elif wanted.startswith("http"):
        yield Located(wanted, asyncio.run(recognise(wanted)).kind)
    else:
        emulator = Emulator(UpstreamKind(wanted))
        try:
            yield Located(emulator.url, emulator.kind)
        finally:
            emulator.stop()


def lacking(upstream: Located | None) -> frozenset[str]:
    """Return the services that an emulator is listed as lacking whole.

    `test_upstreams_storage` holds to the list both ways.
    """
    return frozenset(
        gap.operation.removesuffix(":*")
        for gap in gaps()
        if upstream
        and gap.upstream is upstream.kind
        and gap.operation.endswith(":*")
        and gap.kept == "nobody"
    )


def unable(title: str, upstream: Located | None) -> str | None:
    """Return why an emulator cannot do what a case does, as the committed list has it."""
    if upstream is not None and title in EMBEDDED_ONLY:
        return "its own errors are not ours"
    operation = DOES.get(title)
    return next(
        (
            gap.what
            for gap in gaps()
            if upstream and gap.upstream is upstream.kind and gap.operation == operation
        ),
        None,
    )
