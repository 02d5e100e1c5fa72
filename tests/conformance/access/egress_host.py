"""A host with much to reach: listeners of every kind, a world's proxy, and a folder of secrets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.network.environment import client_environment
from iamrange.network.proxy import Proxy, Refused

if TYPE_CHECKING:
    from collections.abc import Coroutine

GATEWAY = "customers.iamrange.example"
ELSEWHERE = "secretsmanager.us-east-1.amazonaws.com"
"""A name of the world's that is not on the jail's list."""


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = f"{headers['host']} from {scope['client'][0]}".encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


class _Answers(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own does not inherit from the class that it implements.
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.transport.sendto(data, addr)


async def _say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()


class Host:
    """Everything that must be out of reach of a jail, and the one door that is not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refusals: list[Refused] = []
        self.secret = folder / "secret"
        self.secret.write_text("nonce")
        ca = CertificateAuthority.create("test")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(ca.pem)
        self.abstract = f"egress-{secrets.token_hex(8)}"
        self._ca = ca
        self._closing = contextlib.AsyncExitStack()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self._run(self._start())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _start(self) -> None:
        self.edge = Edge([Route(GATEWAY, greet), Route("*.amazonaws.com", greet)], ca=self._ca)
        await self.edge.start()
        self._closing.push_async_callback(self.edge.stop)
        targets = dict.fromkeys((GATEWAY, "*.amazonaws.com"), ("127.0.0.1", self.edge.port))
        self.proxy = Proxy(
            "corporate", address="127.10.0.1", targets=targets, on_refusal=self.refusals.append
        )
        await self.proxy.start()
        self._closing.push_async_callback(self.proxy.stop)
        every, six = await asyncio.start_server(_say, "0.0.0.0", 0), None  # noqa: S104 - to be missed
        self.tcp = every.sockets[0].getsockname()[1]
        self._closing.callback(every.close)
        with contextlib.suppress(OSError):
            six = await asyncio.start_server(_say, "::1", 0)
            self._closing.callback(six.close)
        self.tcp6 = six.sockets[0].getsockname()[1] if six else None
        for path in (str(self.folder / "control"), "\0" + self.abstract):
            server = await asyncio.start_unix_server(_say, path)
            self._closing.callback(server.close)
        transport, _ = await self.loop.create_datagram_endpoint(
            _Answers, local_addr=("127.0.0.1", 0)
        )
        self._closing.callback(transport.close)
        self.udp = transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        self._run(self._closing.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def address(self) -> tuple[str, int]:
        return self.proxy.address, self.proxy.port

    def facts(self) -> dict[str, Any]:
        return {
            "tcp": self.tcp,
            "tcp6": self.tcp6,
            "udp": self.udp,
            "proxy": self.address,
            "own": own_address(),
            "abstract": self.abstract,
            "socket": str(self.folder / "control"),
            "secret": str(self.secret),
            "host_pid": os.getpid(),
            "host_network": str(Path("/proc/self/ns/net").readlink()),
        }

    def environment(self) -> dict[str, str]:
        return client_environment(self.proxy.url, str(self.ca_file)) | {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
        }


def own_address() -> str:
    """Return an address of this machine's that is not loopback's, or loopback's if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            asker.connect(("192.0.2.1", 9))  # nothing is sent: only the route is looked up
        except OSError:
            return "127.0.0.1"
        return str(asker.getsockname()[0])
