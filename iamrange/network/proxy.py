"""A network of a world: a CONNECT proxy on an address of its own.

- Only the names in its table exist; every other name, port and method is refused.
- It dials from its own address, so that the edge sees which network a request came from. What
  clients write into headers stays inside the tunnel and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.network.names import canonical_host, host_matches

if TYPE_CHECKING:
    from collections.abc import Mapping

Address = tuple[str, int]
Target = Address | Callable[[], Awaitable[Address]]
"""Where an edge is, or how to learn it: asked at each connection, it may have to start first."""

HEAD_LIMIT = 8 * 1024
HEAD_TIMEOUT = 10.0
_CHUNK = 64 * 1024
_ENDING = 0.1
HTTPS_PORT = 443
_REASONS = {
    200: "Connection established",
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
}


class TargetDownError(Exception):
    """A target cannot be had now; `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        """Say why."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Refused:
    """What the proxy answered instead of a tunnel; `target` is what the client had asked for."""

    network: str
    status: int
    reason: str
    target: str
    peer: str


class Proxy:
    """A running CONNECT proxy."""

    def __init__(  # noqa: PLR0913 - keyword-only settings with defaults
        self,
        name: str,
        *,
        targets: Mapping[str, Target],
        address: str = "127.0.0.1",
        port: int = 0,
        on_refusal: Callable[[Refused], None] | None = None,
        head_timeout: float = HEAD_TIMEOUT,
    ) -> None:
        """Describe the network: host pattern -> the edge behind it."""
        self.name = name
        self.address = address
        self.port = 0
        self._targets = dict(targets)
        self._wanted_port = port
        self._on_refusal = on_refusal
        self._head_timeout = head_timeout
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients find the proxy."""
        return f"http://{self.address}:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._serve, self.address, self._wanted_port, limit=HEAD_LIMIT
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut the tunnels."""
        if self._server is None:
            return
        self._server.close()
        for tunnel in list(self._tunnels):
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tunnels.add(task)
            task.add_done_callback(self._tunnels.discard)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side left, or the network is going down: the tunnel ends either way
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_connect(reader, self._head_timeout)
        if asked is None:
            return
        if isinstance(asked, Refusal):
            await self._refuse(writer, asked.status, asked.reason, asked.target)
            return
        target = self._target(asked.host) if asked.port == HTTPS_PORT else None
        if target is None:
            await self._refuse(writer, 403, "unknown-name", f"{asked.host}:{asked.port}")
            return
        try:
            upstream = await self._open(target)
        except TargetDownError as error:
            await self._refuse(writer, 502, error.reason, asked.host)
            return
        except OSError:
            await self._refuse(writer, 502, "edge-unreachable", asked.host)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await splice(reader, writer, *upstream)

    async def _open(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        local = (self.address, 0)
        if isinstance(target, tuple):
            return await asyncio.open_connection(*target, local_addr=local)
        try:
            return await asyncio.open_connection(*await target(), local_addr=local)
        except OSError:
            # It may be ending just now, its socket first: asked again, it starts anew.
            await asyncio.sleep(_ENDING)
            return await asyncio.open_connection(*await target(), local_addr=local)

    def _target(self, host: str) -> Target | None:
        for pattern, target in self._targets.items():
            if host_matches(pattern, host):
                return target
        return None

    async def _refuse(
        self, writer: asyncio.StreamWriter, status: int, reason: str, target: str
    ) -> None:
        if self._on_refusal is not None:
            peer = str(writer.get_extra_info("peername")[0])
            self._on_refusal(Refused(self.name, status, reason, target, peer))
        writer.write(refusal(status, f"network {self.name}: {reason}\n"))
        await writer.drain()


@dataclass(frozen=True, slots=True)
class Asked:
    """A well-formed CONNECT: the authority that it named."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request head is no CONNECT that we serve."""

    status: int
    reason: str
    target: str


async def read_connect(reader: asyncio.StreamReader, seconds: float) -> Asked | Refusal | None:
    """Read what a client asks for; None: it left without a word."""
    try:
        async with asyncio.timeout(seconds):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        return Refusal(408, "slow-request", "")
    except asyncio.LimitOverrunError:
        return Refusal(431, "head-too-long", "")
    except asyncio.IncompleteReadError as error:
        return Refusal(400, "incomplete-request", "") if error.partial else None
    return parse_connect(head)


def refusal(status: int, text: str) -> bytes:
    """Return the answer of a proxy that opens no tunnel."""
    body = text.encode()
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )


def parse_connect(head: bytes) -> Asked | Refusal:
    """Read a request head (RFC 9110 section 9.3.6); anything doubtful is refused."""
    try:
        request_line = head.split(b"\r\n", 1)[0].decode("ascii")
    except UnicodeDecodeError:
        return Refusal(400, "malformed-request", "")
    parts = request_line.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):  # noqa: PLR2004 - method, target, version
        return Refusal(400, "malformed-request", "")
    method, target, _ = parts
    if method != "CONNECT":
        # The query may hold anything, so the host alone is reported.
        scheme, _, rest = target.partition("://")
        host = rest.partition("/")[0].rpartition("@")[2] if scheme == "http" else ""
        return Refusal(403, "plain-http", host)
    host, separator, port = target.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or len(port) > 5:  # noqa: PLR2004 - 65535
        return Refusal(400, "malformed-target", "")
    if host.startswith("["):
        return Refusal(403, "unknown-name", target)
    canonical = canonical_host(host)
    if canonical is None:
        return Refusal(400, "malformed-target", "")
    return Asked(canonical, int(port))


async def splice(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream_reader: asyncio.StreamReader,
    upstream_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until both sides have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, upstream_writer))
            group.create_task(carry(upstream_reader, writer))
    except* OSError:
        pass  # a reset ends both directions
    finally:
        upstream_writer.close()


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes one way until the source has ended."""
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
