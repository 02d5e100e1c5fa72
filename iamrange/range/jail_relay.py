"""The door of a jail, from outside: CONNECT to a name on the list, and nothing else.

- A name on the list is asked of the world's own proxy, which knows where its edge is.
- What is refused is noted, and answered as a proxy does; the jail hears nothing more of the world.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.network.names import host_matches
from iamrange.network.proxy import Refusal, parse_connect

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from iamrange.range.jail_enter import JailOrder

_HEAD_LIMIT = 8 * 1024
_HEAD_TIMEOUT = 10.0
_CHUNK = 64 * 1024
_TUNNELS = 128
_NOTED = 200
_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A way out that was tried and refused: what was asked for, and why not."""

    target: str
    reason: str


class Relay:
    """A running door."""

    def __init__(self, door: socket.socket, order: JailOrder) -> None:
        """Take the listening socket and the list."""
        self.turned_away: list[TurnedAway] = []
        self._door = door
        self._order = order
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to accept."""
        self._door.settimeout(0)
        self._server = await asyncio.start_server(
            self._serve, sock=self._door, limit=_HEAD_LIMIT, backlog=_TUNNELS
        )

    async def stop(self) -> None:
        """Close the door and cut what goes through it."""
        if self._server is None:
            return
        self._server.close()
        for tunnel in list(self._tunnels):
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tunnels) >= _TUNNELS:
            self._note("", "too-many-tunnels")
            writer.close()
            return
        self._tunnels.add(task)
        task.add_done_callback(self._tunnels.discard)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a side left, or the jail is ending: the tunnel ends either way
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            await self._refuse(writer, 408, "slow-request", "")
            return
        except asyncio.LimitOverrunError:
            await self._refuse(writer, 431, "head-too-long", "")
            return
        except asyncio.IncompleteReadError as error:
            if error.partial:
                await self._refuse(writer, 400, "incomplete-request", "")
            return
        asked = parse_connect(head)
        if isinstance(asked, Refusal):
            await self._refuse(writer, asked.status, asked.reason, asked.target)
            return
        allowed = any(host_matches(pattern, asked.host) for pattern in self._order.hosts)
        if not allowed or asked.port != _HTTPS_PORT:
            await self._refuse(writer, 403, "not-let-out", f"{asked.host}:{asked.port}")
            return
        await self._tunnel(reader, writer, asked.host)

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT):
                answers, upstream = await asyncio.open_connection(
                    *self._order.proxy, limit=_HEAD_LIMIT
                )
                upstream.write(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
                head = await answers.readuntil(b"\r\n\r\n")
            writer.write(head)
            if head.split(b" ", 2)[1:2] != [b"200"]:
                self._note(host, "refused-by-the-world")
                await _carry(answers, writer)
                return
            await _both_ways(_carry(reader, upstream), _carry(answers, writer))
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            if upstream is None or not upstream.is_closing():
                await self._refuse(writer, 502, "world-unreachable", host)
        finally:
            if upstream is not None:
                upstream.close()

    def _note(self, target: str, reason: str) -> None:
        if len(self.turned_away) < _NOTED:
            self.turned_away.append(TurnedAway(target[:256], reason))

    async def _refuse(
        self, writer: asyncio.StreamWriter, status: int, reason: str, target: str
    ) -> None:
        self._note(target, reason)
        body = f"jail: {reason}\n".encode()
        writer.write(
            f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        with contextlib.suppress(OSError):
            await writer.drain()


async def _both_ways(
    out: Coroutine[object, object, None], back: Coroutine[object, object, None]
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(out)
            group.create_task(back)
    except* OSError:
        pass  # a reset ends both directions


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
