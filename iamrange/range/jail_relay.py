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
from iamrange.network.proxy import (
    HEAD_LIMIT,
    HEAD_TIMEOUT,
    HTTPS_PORT,
    Refusal,
    carry,
    read_connect,
    refusal,
    splice,
)

if TYPE_CHECKING:
    import socket

    from iamrange.range.jail_enter import JailOrder

_TUNNELS = 128
_NOTED = 200


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
            self._serve, sock=self._door, limit=HEAD_LIMIT, backlog=_TUNNELS
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
        asked = await read_connect(reader, HEAD_TIMEOUT)
        if asked is None:
            return
        if isinstance(asked, Refusal):
            await self._refuse(writer, asked.status, asked.reason, asked.target)
            return
        allowed = any(host_matches(pattern, asked.host) for pattern in self._order.hosts)
        if not allowed or asked.port != HTTPS_PORT:
            await self._refuse(writer, 403, "not-let-out", f"{asked.host}:{asked.port}")
            return
        await self._tunnel(reader, writer, asked.host)

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                answers, upstream = await asyncio.open_connection(
                    *self._order.proxy, limit=HEAD_LIMIT
                )
                upstream.write(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
                head = await answers.readuntil(b"\r\n\r\n")
            writer.write(head)
            if head.split(b" ", 2)[1:2] != [b"200"]:
                self._note(host, "refused-by-the-world")
                await carry(answers, writer)
                return
            await splice(reader, writer, answers, upstream)
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
        writer.write(refusal(status, f"jail: {reason}\n"))
        with contextlib.suppress(OSError):
            await writer.drain()
