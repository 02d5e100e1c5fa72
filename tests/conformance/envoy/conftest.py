"""A real Envoy in front of a small service on a unix socket, reached through a CONNECT proxy."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.forwarded import CLIENT_CERTIFICATE, XfccMiddleware
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.network.envoy import EnvoyConfig, EnvoyProcess, Limits, Upstream
from iamrange.network.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

AUTH = "auth.iamrange.example"
API = "api.iamrange.example"
ADDRESS = "127.10.0.1"
AGENT = "spiffe://iamrange.example/agent/data-analyst"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the service sees; below `/slow` only after a while."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"].startswith("/slow"):
        await asyncio.sleep(3)
    seen = {
        "chain": [
            base64.b64encode(der).decode()
            for der in scope["extensions"].get(CLIENT_CERTIFICATE, ())
        ],
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "client": scope["client"][0],
        "scheme": scope["scheme"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "method": scope["method"],
        "body": len(body),
    }
    answer = json.dumps(seen).encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


class Served:
    """Envoy, service and proxy in a loop of their own; two host names, one service each."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder = folder
        self.ca = CertificateAuthority.create("test")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(self.ca.pem)
        self.authority = LocalAuthority.create("test", clock=SystemClock())
        self.state = folder / "envoy"
        self.state.mkdir()
        self.config = EnvoyConfig(
            upstreams=(
                Upstream((AUTH,), folder / "auth.sock"),
                Upstream((API,), folder / "api.sock"),
            ),
            certificate=self.ca.server_certificate([AUTH, API]),
            limits=limits or Limits(),
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.run(self._start())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _start(self) -> None:
        self.services = {host: self._service(host) for host in (AUTH, API)}
        for service in self.services.values():
            await service.start()
        self.envoy = await EnvoyProcess.start(self.config, self.state)
        target = ("127.0.0.1", self.envoy.port)
        self.proxy = Proxy("corporate", address=ADDRESS, targets={"*": target})
        await self.proxy.start()

    def _service(self, host: str) -> Edge:
        app = XfccMiddleware(echo, self.config.secret)
        path = self.folder / f"{host.partition('.')[0]}.sock"
        return Edge([Route(host, app)], ca=None, unix_socket=path)

    def replace_service(self, host: str) -> None:
        """Start the host's service anew, after it was stopped."""
        self.services[host] = self._service(host)
        self.run(self.services[host].start())

    def stop(self) -> None:
        async def end() -> None:
            await self.proxy.stop()
            await self.envoy.stop()
            for service in self.services.values():
                await service.stop()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def svid(self, spiffe_id: str = AGENT) -> Path:
        """Return a file with a key and a fresh SVID."""
        made = new_key_and_request(spiffe_id)
        issued = self.authority.issue_for_request(made.request_pem.encode(), spiffe_id=spiffe_id)
        path = self.folder / "svid.pem"
        path.write_text(made.private_key_pem + issued.chain_pem)  # type: ignore[union-attr]  # an own request is granted
        return path

    def session(self, certificate: Path | None = None) -> requests.Session:
        """Return a client that lives in the network behind the proxy."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": self.proxy.url}
        session.verify = str(self.ca_file)
        session.cert = None if certificate is None else str(certificate)
        return session

    def get(
        self,
        path: str = "/",
        *,
        certificate: Path | None = None,
        **options: Any,  # noqa: ANN401 - as requests takes them
    ) -> requests.Response:
        with self.session(certificate) as session:
            return session.get(f"https://{AUTH}{path}", timeout=20, **options)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def connect(
        self,
        context: ssl.SSLContext | None = None,
        name: str | None = AUTH,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Dial Envoy itself, past the proxy."""
        raw = socket.create_connection(("127.0.0.1", self.envoy.port), timeout=20)
        try:
            return (context or self.context()).wrap_socket(
                raw, server_hostname=name, session=session
            )
        except BaseException:
            raw.close()
            raise

    def exchange(self, request: bytes) -> tuple[int, dict[str, Any]]:
        """Send bytes, and return the status and the JSON of the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            body = answer.read()
        try:
            return answer.status, json.loads(body)
        except ValueError:
            return answer.status, {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("e"))
    yield made
    made.stop()


@pytest.fixture
def serve(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[Limits], Served]:
    """Return what makes another edge, with limits of its own."""

    def make(limits: Limits) -> Served:
        made = Served(tmp_path_factory.mktemp("e"), limits)
        request.addfinalizer(made.stop)
        return made

    return make
