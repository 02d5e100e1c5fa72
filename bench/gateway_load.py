"""A lean load generator over TLS: ready-made requests, kept connections, one thread.

- `flood` sends as fast as answers come; `steady` sends at moments fixed beforehand, and counts an
  answer's time from its moment, so that a server that stalls is charged for all that waited.
- `select` and not `epoll`, whose time-outs are whole milliseconds.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = 32
_STATUS = slice(9, 12)
_REASON = b"x-iamrange-reason: "
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Shot:
    """One request, and what must come of it: `200`, or a status and reason."""

    data: bytes
    expected: str = "200"


@dataclass(slots=True)
class Result:
    """What a run came to. `seconds` is wall time, `cpu` the generator's own processor time."""

    seconds: float = 0.0
    cpu: float = 0.0
    good: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answers a second, refusals of attacks among them."""
        return sum(self.outcomes.values()) / self.seconds

    def percentile(self, part: float) -> float:
        """Return the latency, in milliseconds, that so many answers do not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]


class _Connection:
    def __init__(self, port: int, host: str, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        self.socket.settimeout(0)
        self.buffer = b""
        self.shot: Shot | None = None
        self.due = 0.0

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, shot: Shot, due: float) -> None:
        self.shot, self.due = shot, due
        if self.socket.send(shot.data) != len(shot.data):
            raise SystemExit("a request did not fit into the socket's buffer")

    def outcome(self) -> str | None:
        """Return what came of the request, once its answer is whole."""
        try:
            part = self.socket.recv(65536)
        except ssl.SSLWantReadError:
            return None
        if not part:
            raise SystemExit("the gateway has closed a connection")
        self.buffer += part
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = _after(head, _LENGTH)
        if len(body) < int(length or b"0"):
            return None
        self.buffer = b""
        status = head[_STATUS].decode()
        return status if status == "200" else f"{status} {_after(head, _REASON).decode()}"


def _after(head: bytes, name: bytes) -> bytes:
    start = head.find(name)
    return b"" if start < 0 else head[start + len(name) :].partition(b"\r\n")[0]


class Load:
    """The connections to one gateway."""

    def __init__(self, port: int, host: str, context: ssl.SSLContext) -> None:
        """Connect."""
        self._connections = [_Connection(port, host, context) for _ in range(CONNECTIONS)]

    def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.socket.close()

    def flood(self, shots: Sequence[Shot]) -> Result:
        """Send each request once, a next one as soon as an answer is there."""
        return self._run(shots, None)

    def steady(self, shots: Sequence[Shot], rate: float) -> Result:
        """Send so many requests a second, whatever the answers do."""
        return self._run(shots, rate)

    def _run(self, shots: Sequence[Shot], rate: float | None) -> Result:
        result = Result()
        idle = deque(self._connections)
        busy: list[_Connection] = []
        cpu, started = time.process_time(), time.perf_counter()
        sent, done = 0, 0
        while done < len(shots):
            now = time.perf_counter()
            while sent < len(shots) and idle:
                due = now if rate is None else started + sent / rate
                if due > now:
                    break
                connection = idle.popleft()
                connection.send(shots[sent], due)
                busy.append(connection)
                sent += 1
            wait = 10.0
            if rate is not None and sent < len(shots) and idle:
                wait = max(0.0, started + sent / rate - time.perf_counter())
            for connection in select.select(busy, (), (), wait)[0]:
                outcome = connection.outcome()
                if outcome is None or connection.shot is None:
                    continue
                result.latencies.append(time.perf_counter() - connection.due)
                self._count(result, connection.shot, outcome)
                busy.remove(connection)
                idle.append(connection)
                done += 1
        result.seconds = time.perf_counter() - started
        result.cpu = time.process_time() - cpu
        return result

    @staticmethod
    def _count(result: Result, shot: Shot, outcome: str) -> None:
        result.outcomes[outcome] += 1
        result.good += outcome == "200"
        if outcome != shot.expected:
            result.wrong[f"{shot.expected} expected, {outcome}"] += 1
