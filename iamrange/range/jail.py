"""Egress of a process: through the gateway alone, or as the host has it.

- `NetworkNamespace` lets a process reach the names on a list through the world's proxy, and
  nothing else at all; `Open` is the lapse that the control is measured against.
- Where the machine allows no jail the answer is a value that says why; nothing is run outside
  that was to be run inside.
- What ran is ended with all that it started, and its output is bounded.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from iamrange.range.jail_enter import DOOR, DOOR_URL, JailOrder
from iamrange.range.jail_relay import TurnedAway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CHUNK = 65536
_REPORT_LIMIT = 1 << 20
_ENDING_SECONDS = 10.0
_SET_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class NotJailed:
    """Why nothing was run: `step` is a stable code, `detail` is the kernel's own word."""

    step: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a process left: its exit status (negative: the signal; None: it was taken down)."""

    status: int | None
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    timed_out: bool = False
    truncated: bool = False
    turned_away: tuple[TurnedAway, ...] = ()
    """The ways out through the door that were tried and refused."""


class JailBrokeError(Exception):
    """The supervisor of a jail broke; nothing is known about what ran in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process to run: `env` is all of its environment, `cwd` is let in and may be written."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    allowed_hosts: tuple[str, ...]
    cwd: str = "/tmp"  # noqa: S108 - in a jail it is the jail's own
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    timeout: float = 60.0
    output_limit: int = 1 << 20


class Egress(Protocol):
    """Runs processes; how far they reach is the adapter's."""

    def run(self, job: Job) -> Finished | NotJailed:
        """Run one process to its end, and end all that it started."""
        ...


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """No way out but a list of names, asked of the world's proxy at `proxy`."""

    proxy: tuple[str, int]

    def run(self, job: Job) -> Finished | NotJailed:
        """Run one process in a jail of its own.

        Raises:
            JailBrokeError: the supervisor broke.
        """
        unable = machine_jails()
        if unable is not None:
            return unable
        return _supervised(self.order(job), job, jailed_environment(job.env, self.proxy))

    def order(self, job: Job) -> JailOrder:
        """Return the jail that a job is run in, for whoever goes into it by itself."""
        writable = job.writable if job.cwd == "/tmp" else (*job.writable, job.cwd)  # noqa: S108
        return JailOrder(
            proxy=self.proxy, hosts=job.allowed_hosts, readable=job.readable, writable=writable
        )


@dataclass(frozen=True, slots=True)
class Open:
    """The host's network and files: what is there when nobody keeps egress to the gateway."""

    def run(self, job: Job) -> Finished | NotJailed:
        """Run one process as it is.

        Raises:
            JailBrokeError: the supervisor broke.
        """
        if not sys.platform.startswith("linux"):
            return NotJailed("platform", f"expected Linux, got {sys.platform}")
        return _supervised(None, job, dict(job.env))


def jailed_environment(environment: Mapping[str, str], proxy: tuple[str, int]) -> dict[str, str]:
    """Return a client's environment as it is inside: the world's proxy is behind the door."""
    outside = {f"http://{proxy[0]}:{proxy[1]}", f"http://{proxy[0]}:{proxy[1]}/"}
    return {name: DOOR_URL if text in outside else text for name, text in environment.items()}


_PROBE = """
import json, socket, sys
def reaches(address):
    try:
        socket.create_connection(address, 2).close()
    except OSError:
        return False
    return True
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({
    "host": reaches(("127.0.0.1", int(sys.argv[1]))),
    "door": reaches(("127.0.0.1", int(sys.argv[2]))),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
    "filtered": int(status["Seccomp"]),
}))
"""

_AS_IT_SHOULD_BE = {
    "host": False,
    "door": True,
    "interfaces": ["lo"],
    "capabilities": 0,
    "no_new_privileges": 1,
    "filtered": 2,
}


@functools.cache
def machine_jails() -> NotJailed | None:
    """Make one jail on this machine and look from inside; say why there can be none, or None."""
    if not sys.platform.startswith("linux"):
        return NotJailed("platform", f"expected Linux, got {sys.platform}")
    with socket.create_server(("127.0.0.1", 0)) as reachable:
        port = reachable.getsockname()[1]
        job = Job(
            argv=(sys.executable, "-I", "-S", "-c", _PROBE, str(port), str(DOOR[1])),
            env={"PATH": os.environ.get("PATH", "")},
            allowed_hosts=(),
            timeout=_SET_UP_SECONDS,
        )
        order = JailOrder(proxy=("127.0.0.1", port), hosts=())
        try:
            done = _supervised(order, job, dict(job.env))
        except JailBrokeError as error:
            return NotJailed("supervisor", str(error))
    if isinstance(done, NotJailed):
        return done
    try:
        seen = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.decode(errors="replace")[-300:]
        return NotJailed("probe", f"ended with status {done.status}: {words}")
    if seen != _AS_IT_SHOULD_BE:
        wrong = {name: seen.get(name) for name in seen if seen[name] != _AS_IT_SHOULD_BE.get(name)}
        return NotJailed("probe", f"expected {_AS_IT_SHOULD_BE}, got {wrong}")
    return None


def _supervised(
    order: JailOrder | None, job: Job, environment: Mapping[str, str]
) -> Finished | NotJailed:
    told = {
        "order": None if order is None else order.to_json(),
        "argv": list(job.argv),
        "env": dict(environment),
        "cwd": job.cwd,
    }
    control, theirs = socket.socketpair()
    with control:
        with theirs:
            supervisor = subprocess.Popen(  # noqa: S603 - our own module
                [
                    *(sys.executable, "-I", "-m", "iamrange.range.jail_supervisor"),
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        with supervisor:
            try:
                # The environment holds credentials: it goes over the socket, not by the arguments.
                control.sendall(json.dumps(told).encode() + b"\n")
                heard = _Heard(supervisor, control, job.output_limit)
                timed_out = not heard.until(time.monotonic() + job.timeout)
                if timed_out:
                    control.shutdown(socket.SHUT_WR)
                    heard.until(time.monotonic() + _ENDING_SECONDS)
            except OSError as error:
                raise JailBrokeError(f"supervisor ({supervisor.pid}): {error}") from error
            finally:
                # Its children die with it; usually it has ended already.
                supervisor.kill()
    return heard.finished(timed_out=timed_out)


class _Heard:
    """What came of a supervisor: the program's output, within bounds, and the report."""

    def __init__(
        self, supervisor: subprocess.Popen[bytes], control: socket.socket, limit: int
    ) -> None:
        self._pid = supervisor.pid
        self._limit = limit
        self._taken: dict[str, bytearray] = {name: bytearray() for name in ("out", "err", "report")}
        self._truncated = False
        self._sources = {"out": supervisor.stdout, "err": supervisor.stderr, "report": control}
        self._selector = selectors.DefaultSelector()
        for name, source in self._sources.items():
            if source is not None:
                os.set_blocking(source.fileno(), False)
                self._selector.register(source, selectors.EVENT_READ, name)

    def until(self, deadline: float) -> bool:
        """Listen until everything has ended; False when the time is up first."""
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(left):
                self._take(key)
        return True

    def _take(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, _CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(key.fileobj)
            return
        taken = self._taken[key.data]
        room = (_REPORT_LIMIT if key.data == "report" else self._limit) - len(taken)
        self._truncated |= len(data) > room
        taken += data[: max(0, room)]

    def finished(self, *, timed_out: bool) -> Finished | NotJailed:
        """Put together what was heard.

        Raises:
            JailBrokeError: there is no report.
        """
        self._selector.close()
        report: dict[str, Any] | None = None
        with contextlib.suppress(ValueError):
            report = json.loads(self._taken["report"])
        if report is None:
            words = self._taken["err"].decode(errors="replace")[-300:]
            raise JailBrokeError(f"supervisor ({self._pid}): ended without a report: {words}")
        if "failed" in report:
            return NotJailed(report["failed"], report["detail"])
        return Finished(
            status=None if timed_out else report["status"],
            stdout=bytes(self._taken["out"]),
            stderr=bytes(self._taken["err"]),
            timed_out=timed_out,
            truncated=self._truncated,
            turned_away=tuple(TurnedAway(**one) for one in report["turned_away"]),
        )
