"""A load generator for one HTTP server: ready-made requests over kept connections.

- Requests are bytes that were made beforehand: nothing is signed while the clock runs.
- What counts is the server's own processor time, read from the kernel, and the wall time beside it.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run came to."""

    answers: int
    good: int
    wall: float
    cpu: float
    first_bad: bytes = b""

    @property
    def per_second(self) -> float:
        """Good answers a second of wall time."""
        return self.good / self.wall if self.wall else 0.0

    @property
    def per_cpu_second(self) -> float:
        """Good answers a second of the server's processor time: what one core gives."""
        return self.good / self.cpu if self.cpu else 0.0


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, its threads included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class _Connection(asyncio.Protocol):
    """Sends one request after the other; an answer's length comes from its header."""

    def __init__(self, requests: Sequence[bytes], done: asyncio.Future[None]) -> None:
        self._requests = iter(requests)
        self._done = done
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.answers = self.good = 0
        self.first_bad = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        name = b"content-length:"
        lower = head.lower()
        start = lower.index(name) + len(name)
        length = int(lower[start:].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.answers += 1
        if head[9:12] == b"200":
            self.good += 1
        elif not self.first_bad:
            self.first_bad = self._buffer[:600]
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._done.done():
            self._done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None  # noqa: S101 - for the type
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)


def _same(connection: _Connection) -> _Connection:
    return connection


async def _run(port: int, requests: Sequence[bytes], connections: int) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made: list[_Connection] = []
    ends: list[asyncio.Future[None]] = []
    for index in range(connections):
        end: asyncio.Future[None] = loop.create_future()
        connection = _Connection(requests[index::connections], end)
        made.append(connection)
        ends.append(end)
        await loop.create_connection(partial(_same, connection), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return made


def load(pid: int, port: int, requests: Sequence[bytes], *, connections: int = 16) -> Load:
    """Send every request once and return what came back, and what it cost the server."""
    cpu, wall = cpu_seconds(pid), time.perf_counter()
    made = asyncio.run(_run(port, requests, connections))
    wall, cpu = time.perf_counter() - wall, cpu_seconds(pid) - cpu
    return Load(
        answers=sum(connection.answers for connection in made),
        good=sum(connection.good for connection in made),
        wall=wall,
        cpu=cpu,
        first_bad=next((c.first_bad for c in made if c.first_bad), b""),
    )


def post(path: str, host: str, form: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a form request as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(form)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + form).encode()
