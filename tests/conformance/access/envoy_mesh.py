"""A real Envoy with a decision service and two services behind sidecars, all on loopback.

Nothing of ours but Envoy's configuration is under test: the decision service says what a test
tells it to, and the services answer with what they saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.network.envoy import EnvoyProcess, WorkloadCertificate
from tests.conformance.access.envoy_mesh_config import (
    AGENT,
    CUSTOMERS,
    NEIGHBOUR,
    mesh_config,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from iamrange.network.envoy_log import TlsRefusal


@dataclass(frozen=True, slots=True)
class Seen:
    """A call as the decision service saw it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


@dataclass(slots=True)
class Answer:
    """What the decision service is to say."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("x-agent-id", AGENT),)
    body: bytes = b""
    wait: float = 0


@dataclass(slots=True)
class DecisionService:
    """Says what it is told to, and keeps what it was asked."""

    answer: Answer = field(default_factory=Answer)
    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        headers = tuple((n.decode(), v.decode("latin-1")) for n, v in scope["headers"])
        target = dict(headers).get("x-iamrange-target", "")
        self.seen.append(Seen(scope["method"], target, headers, body))
        answer = self.answer
        if answer.wait:
            await asyncio.sleep(answer.wait)
        await _send(send, answer.status, answer.headers, answer.body)


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _send(send: Send, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class Mesh:
    """Everything, running in a loop of its own thread."""

    def __init__(
        self,
        folder: Path,
        decision_timeout: float = 10,
        **changes: Any,  # noqa: ANN401 - members of EnvoyConfig
    ) -> None:
        self.folder = folder
        self.state = folder / "e"
        self.state.mkdir()
        made = mesh_config(folder, decision_timeout, **changes)
        self.config, self.authority, self.ca = made.config, made.authority, made.ca
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(self.ca.pem)
        assert self.config.gateway_svid is not None
        self.gateway = self.config.gateway_svid
        self.neighbour = workload(self.authority, NEIGHBOUR)
        self.decisions = DecisionService()
        self.answers: dict[str, str] = {}
        """Headers that the services add to their answers."""
        self.calls: list[dict[str, Any]] = []
        """What the services saw."""
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.edges: dict[str, Edge] = {}
        self.run(self._start())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _start(self) -> None:
        for name in ("auth", "customers", "logs"):
            await self._serve(name, self._echo(name))
        await self._serve("decide", self.decisions)
        self.envoy = await EnvoyProcess.start(self.config, self.state)

    async def _serve(self, name: str, app: Any) -> None:  # noqa: ANN401 - an ASGI app
        self.edges[name] = Edge(
            [Route("*", app)], ca=None, unix_socket=self.folder / f"{name}.service"
        )
        await self.edges[name].start()

    def _echo(self, name: str) -> Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body = await _body(receive)
            call = {
                "service": name,
                "method": scope["method"],
                "target": scope["raw_path"].decode("latin-1"),
                "query": scope["query_string"].decode("latin-1"),
                "headers": [[n.decode(), v.decode("latin-1")] for n, v in scope["headers"]],
                "body": len(body),
            }
            self.calls.append(call)
            if scope["path"] == "/slow":
                await asyncio.sleep(2)
            await _send(send, 200, tuple(self.answers.items()), json.dumps(call).encode())

        return app

    def take_away(self, name: str) -> None:
        """Stop a service, or the decision service (`decide`)."""
        self.run(self.edges.pop(name).stop())

    def bring_back(self, name: str) -> None:
        app = self.decisions if name == "decide" else self._echo(name)
        self.run(self._serve(name, app))

    @contextlib.contextmanager
    def broken_decisions(self, script: bytes | None, after: float = 0) -> Iterator[None]:
        """Put a server in the decision service's place that says these bytes and hangs up.

        None: it says nothing and stays.
        """

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            await asyncio.sleep(after)
            if script is None:
                await asyncio.sleep(5)
            else:
                writer.write(script)
                with contextlib.suppress(OSError):
                    await writer.drain()
            writer.close()

        self.take_away("decide")
        path = self.folder / "decide.service"
        server = self.run(asyncio.start_unix_server(talk, path))
        try:
            yield
        finally:

            async def end() -> None:
                server.close()
                await asyncio.sleep(0)

            self.run(end())
            path.unlink(missing_ok=True)
            self.bring_back("decide")

    def stop(self) -> None:
        async def end() -> None:
            await self.envoy.stop()
            for edge in self.edges.values():
                await edge.stop()
            talking = asyncio.all_tasks() - {asyncio.current_task()}
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    # clients

    def curl(self, path: str, *arguments: str, host: str = CUSTOMERS) -> Reply:
        """Call through the edge."""
        return self._curl(
            ("127.0.0.1", self.envoy.port), host, path, *arguments, "--cacert", str(self.ca_file)
        )

    def mesh(self, path: str, *arguments: str, name: str = "customers") -> Reply:
        """Call a sidecar, around the gateway; the sidecar's own certificate is not looked at."""
        host = f"{name}.mesh.iamrange.example"
        return self._curl(self.envoy.sidecar_address(name), host, path, *arguments, "-k")

    def _curl(self, address: tuple[str, int], host: str, path: str, *arguments: str) -> Reply:
        ip, port = address
        command = ["curl", "-sS", "-i", "--path-as-is", "--max-time", "15"]
        command += ["--connect-to", f"{host}:443:{ip}:{port}"]
        ran = subprocess.run(  # noqa: S603 - curl is the client under test
            [*command, *arguments, f"https://{host}{path}"], capture_output=True, check=False
        )
        return Reply.read(ran)

    def file(self, certificate: WorkloadCertificate | str, name: str = "client.pem") -> str:
        """Return a file with a key and its certificate."""
        path = self.folder / name
        text = (
            certificate
            if isinstance(certificate, str)
            else certificate.private_key_pem + certificate.chain_pem
        )
        path.write_text(text)
        return str(path)

    def connect(
        self, host: str = CUSTOMERS, alpn: str | None = None, timeout: float = 15
    ) -> ssl.SSLSocket:
        """Dial the edge with Python's TLS."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if alpn is not None:
            context.set_alpn_protocols([alpn])
        raw = socket.create_connection(("127.0.0.1", self.envoy.port), timeout=timeout)
        # without it a request of two writes waits for a delayed acknowledgement
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def exchange(self, request: bytes, host: str = CUSTOMERS) -> tuple[int, dict[str, str], bytes]:
        """Send bytes to the edge, and return status, headers and body of the first answer."""
        with self.connect(host) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            try:
                answer.begin()
                headers = {name.lower(): value for name, value in answer.getheaders()}
                return answer.status, headers, answer.read()
            except (http.client.HTTPException, OSError):
                return 0, {}, b""

    # the log

    def log(self, wanted: Callable[[dict[str, Any]], bool], count: int = 1) -> list[dict[str, Any]]:
        """Wait for lines of the access log, and return them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            text = (self.state / "envoy-access.log").read_text()
            lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
            found[:] = [line for line in lines if wanted(line)]
            return len(found) >= count

        eventually(enough)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """What curl made of an answer; `code` is curl's own exit status."""

    code: int
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, ran: subprocess.CompletedProcess[bytes]) -> Reply:
        head, _, body = ran.stdout.partition(b"\r\n\r\n")
        while head.startswith((b"HTTP/1.1 100", b"HTTP/2 100")):
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1]) if head else 0
        pairs = [line.partition(": ") for line in lines[1:]]
        headers = tuple((name.lower(), value) for name, _, value in pairs)
        return cls(ran.returncode, status, headers, body)

    @property
    def reason(self) -> str:
        return dict(self.headers).get("x-iamrange-reason", "")

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def seen(self) -> dict[str, str]:
        """The headers that the service saw; one that came twice is an error."""
        pairs = self.json["headers"]
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refusals(read: Callable[[], list[TlsRefusal]], count: int) -> list[TlsRefusal]:
    """Wait until so many handshakes are known to have been refused."""
    eventually(lambda: len(read()) >= count)
    return read()
