"""The controller's side of the zygote: start processes, hear of their end, end them.

- Orders go to the child over its own channel; the zygote only forks and reaps.
- Safe from several threads of the runner; one reader thread takes the zygote's news.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from iamrange.range.words import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_START_TIMEOUT = 60.0
_ANSWER_TIMEOUT = 60.0
_LONGEST_WORDS, _SHOWN_WORDS = 4096, 300


class ProcessError(Exception):
    """A process of the range broke; the message names it."""


class ZygoteBrokenError(ProcessError):
    """The zygote ended, and with it every process that it had started."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: its exit status (negative: the signal), and whether we timed it out."""

    status: int
    timed_out: bool = False


class Child:
    """One process that the zygote started."""

    def __init__(self, zygote: Zygote, name: str, pid: int, channel: socket.socket) -> None:
        """Made by `Zygote.spawn` only."""
        self.name = name
        self.pid = pid
        self._zygote = zygote
        self._channel = channel
        self._buffer = b""
        self._ended = threading.Event()
        self._status: int | None = None

    def receive(self, timeout: float) -> Any:  # noqa: ANN401 - any JSON value
        """Return the next value that the child sent: a server's readiness, a function's result.

        Raises:
            ProcessError: it ended, or stayed silent for the timeout.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._channel.recv(65536)
            except TimeoutError:
                raise ProcessError(
                    f"process {self.name!r} ({self.pid}): silent for {timeout} s"
                ) from None
            except OSError:
                data = b""
            if not data:
                status = self._status if self._ended.wait(_ANSWER_TIMEOUT) else None
                raise ProcessError(
                    f"process {self.name!r} ({self.pid}): ended with status {status} "
                    "before it answered"
                )
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def wait(self, timeout: float) -> Exit:
        """Wait for the end; when the time is up, kill the process and all of its group.

        Raises:
            ZygoteBrokenError: the zygote ended.
        """
        timed_out = not self._ended.wait(timeout)
        if timed_out:
            self.kill()
            self._ended.wait(_ANSWER_TIMEOUT)
        self.close()
        if self._status is None:
            raise ZygoteBrokenError(f"zygote: ended while process {self.name!r} ran")
        return Exit(self._status, timed_out)

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return not self._ended.is_set()

    def kill(self) -> None:
        """Kill the process and its group at once."""
        if self.running:
            with contextlib.suppress(ZygoteBrokenError):
                self._zygote.kill(self.pid)

    def close(self) -> None:
        """Let go of the channel."""
        self._channel.close()

    def ended(self, status: int | None) -> None:
        """Note the end; None when the zygote took it along."""
        self._status = status
        self._ended.set()


class Zygote:
    """A running zygote; a context manager."""

    def __init__(self, *, log: Path | None = None, preload: Sequence[str] = ()) -> None:
        """Start the process; it answers as soon as its imports are done.

        Must not be called from a thread that ends before the zygote does.
        """
        ours, theirs = socket.socketpair()
        arguments = [sys.executable, "-I", "-m", "iamrange.range.zygote", str(theirs.fileno())]
        with theirs, (log or Path(os.devnull)).open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*arguments, *preload],
                pass_fds=[theirs.fileno()],
                env=_minimal_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._control = ours
        self._log = log
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._state = threading.Lock()
        self._children: dict[int, Child] = {}
        self._exits_before_adoption: dict[int, int] = {}
        self._ready = threading.Event()
        self._broken = False
        self._reader = threading.Thread(target=self._read, name="zygote-news", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def spawn(  # noqa: PLR0913 - keyword-only parts of one order
        self,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str = "/",
        name: str | None = None,
        stdout: Path | None = None,
        stderr: Path | None = None,
        path: Sequence[str] = (),
        serves: bool = False,
        single_threaded: bool = False,
    ) -> Child:
        """Start `module:function` with JSON arguments in a process of its own.

        Its environment is `env` and nothing else. With `serves` the function is also given
        `ready`, which sends a value back while it runs on; otherwise what it returns is sent.
        A `single_threaded` function watches `lifeline.CHANNEL` for its end itself.

        Raises:
            ZygoteBrokenError: the zygote has ended.
        """
        orders = {
            "function": function,
            "arguments": dict(arguments or {}),
            "env": dict(env or {}),
            "cwd": str(cwd),
            "path": list(path),
            "serves": serves,
            "single_threaded": single_threaded,
        }
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                pid = self._fork(theirs, stdout, stderr)
        except BaseException:
            ours.close()
            raise
        child = Child(self, name or function, pid, ours)
        self._adopt(child)
        ours.settimeout(_ANSWER_TIMEOUT)
        with contextlib.suppress(OSError):  # it died at once: receive and wait say so
            ours.sendall(json.dumps(orders).encode() + b"\n")
        return child

    def _fork(self, channel: socket.socket, stdout: Path | None, stderr: Path | None) -> int:
        null = Path(os.devnull)
        with (stdout or null).open("ab") as out, (stderr or null).open("ab") as err, self._lock:
            descriptors = [channel.fileno(), out.fileno(), err.fileno()]
            return self._ask({"order": "spawn"}, descriptors)

    def kill(self, pid: int) -> None:
        """Kill a child and its group.

        Raises:
            ZygoteBrokenError: the zygote has ended.
        """
        with self._lock:
            self._ask({"order": "kill", "pid": pid}, [])

    def stop(self) -> None:
        """End the zygote and all that it started. May be called again."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._control.close()

    def _ask(self, order: Mapping[str, Any], descriptors: list[int]) -> int:
        if not self._ready.wait(_START_TIMEOUT) or self._broken:
            raise self._broken_error("not running")
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
            answer = self._answers.get(timeout=_ANSWER_TIMEOUT)
        except (OSError, queue.Empty) as error:
            raise self._broken_error(type(error).__name__) from error
        if answer is None:
            raise self._broken_error("ended")
        return answer

    def _broken_error(self, how: str) -> ZygoteBrokenError:
        words = "" if self._log is None else last_words(self._log)
        return ZygoteBrokenError(f"zygote ({self.pid}): {how}{words}")

    def _adopt(self, child: Child) -> None:
        with self._state:
            status = self._exits_before_adoption.pop(child.pid, None)
            if status is not None or self._broken:
                child.ended(status)
            else:
                self._children[child.pid] = child

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._control.makefile("rb") as lines:
            for line in lines:
                self._hear(json.loads(line))
        with self._state:
            self._broken = True
            for child in self._children.values():
                # The kernel killed the child with the zygote; what it had started is left to us.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.ended(None)
            self._children.clear()
        self._ready.set()
        self._answers.put(None)

    def _hear(self, news: Mapping[str, int]) -> None:
        if "ready" in news:
            self._ready.set()
        elif "exited" in news:
            with self._state:
                child = self._children.pop(news["exited"], None)
                if child is None:
                    self._exits_before_adoption[news["exited"]] = news["status"]
                else:
                    child.ended(news["status"])
        else:
            self._answers.put(news.get("spawned", news.get("killed")))


def _minimal_environment() -> dict[str, str]:
    """Return what an interpreter needs to start, and nothing that a user set for other reasons."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {"LANG": "C.UTF-8"}


def last_words(log: Path) -> str:
    """Return the last line of a log, to append to a message: redacted."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    if not lines:
        return ""
    # a process that says very much in one line has said nothing that is worth reading to its end
    words = redacted(lines[-1][:_LONGEST_WORDS])
    return f"; last words: {words[:_SHOWN_WORDS]}"
