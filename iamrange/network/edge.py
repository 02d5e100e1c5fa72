"""An edge: one listener, TLS or plain, that hands each request to the app of its host.

- The peer address of the connection is what apps see as the client; forwarded headers are left
  as headers and mean nothing.
- HTTP/1.1 only: h2 is not offered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from iamrange.network.edge_protocol import EdgeProtocol
from iamrange.network.names import host_matches

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.network.ca import CertificateAuthority

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """Which app answers for the hosts that the pattern matches."""

    pattern: str
    app: ASGIApp


class HostRouter:
    """An ASGI app that picks the first route whose pattern matches the Host header."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Route by the given table, first match first."""
        self._routes = tuple(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or 421 (RFC 9110 section 15.5.20) when no route is for its host."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = hosts[0].decode("latin-1").partition(":")[0] if len(hosts) == 1 else ""
        for route in self._routes:
            if host_matches(route.pattern, host):
                await route.app(scope, receive, send)
                return
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 421, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class Edge:
    """A running listener in front of a world's apps."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        ca: CertificateAuthority | None,
        address: str = "127.0.0.1",
        port: int = 0,
        unix_socket: Path | None = None,
    ) -> None:
        """Describe the edge; `ca` None means plain HTTP, `port` 0 means picked by the kernel.

        With `unix_socket` it listens there, for its own user only, and on no address.
        """
        self._address = address
        self._unix_socket = unix_socket
        self._wanted_port = port
        config = uvicorn.Config(
            HostRouter(routes),
            interface="asgi3",
            http=EdgeProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = None if ca is None else ca.server_context()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._ticker: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Uvicorn's own `serve` is not used: it would take over the process's signals."""
        listener = self._bind() if self._unix_socket is None else _bind_unix(self._unix_socket)
        await self._server.startup(sockets=[listener])
        self._ticker = asyncio.get_running_loop().create_task(self._server.main_loop())

    def _bind(self) -> socket.socket:
        # asyncio turns Nagle's algorithm off only where the protocol is named (create_server names
        # none): with it on, an answer of two writes waits 40 ms for a delayed acknowledgement.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._address, self._wanted_port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        return listener

    async def stop(self) -> None:
        """Stop listening, drop what is connected."""
        if self._ticker is None:
            return
        self._ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticker
        self._ticker = None
        self._server.force_exit = True
        await self._server.shutdown()
        if self._unix_socket is not None:
            self._unix_socket.unlink(missing_ok=True)


def _bind_unix(path: Path) -> socket.socket:
    """Bind where only this user connects; a socket that a killed edge left there is replaced."""
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket is private from its first moment
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
