"""Unmodified clients on default hostnames, with nothing set but environment variables."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.network.environment import client_environment
from iamrange.network.proxy import Proxy, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CORPORATE = "127.10.0.1"
OUTSIDE = "127.66.0.1"

CALLER_IDENTITY = (
    "<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"
    "<GetCallerIdentityResult><Arn>{arn}</Arn><UserId>u</UserId><Account>1</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
    "</GetCallerIdentityResponse>"
)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every cloud's call with what the edge saw of it."""
    while (await receive()).get("more_body"):
        pass
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    seen = {
        "peer": scope["client"][0],
        "scheme": scope["scheme"],
        "host": headers["host"],
        "path": scope["path"],
        "http_version": scope["http_version"],
    }
    kind = b"application/json"
    if "sts" in headers["host"] and "amazonaws" in headers["host"]:
        kind = b"text/xml"
        body = CALLER_IDENTITY.format(arn=f"{seen['peer']} {seen['host']}").encode()
    elif headers["host"] == "sts.googleapis.com":
        body = json.dumps(
            {
                "access_token": f"{seen['peer']} {seen['host']}",
                "expires_in": 300,
                "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
        ).encode()
    else:
        body = json.dumps(seen).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", kind), (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


class Network:
    """Two networks in front of one edge, in a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refusals: list[Refused] = []
        self.ca = CertificateAuthority.create("test")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(self.ca.pem)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.run(self._start())

    def run(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)  # type: ignore[arg-type]  # any coroutine

    async def _start(self) -> None:
        routes = [Route(p, echo) for p in ("*.amazonaws.com", "*.googleapis.com", "idp.test")]
        self.edge = Edge(routes, ca=self.ca)
        await self.edge.start()
        targets = {route.pattern: ("127.0.0.1", self.edge.port) for route in routes}
        self.corporate, self.outside = (
            Proxy(
                name,
                address=address,
                targets=targets,
                on_refusal=self.refusals.append,
                head_timeout=0.5,
            )
            for name, address in (("corporate", CORPORATE), ("outside", OUTSIDE))
        )
        await self.corporate.start()
        await self.outside.start()

    async def _stop(self) -> None:
        await self.corporate.stop()
        await self.outside.stop()
        await self.edge.stop()

    def close(self) -> None:
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def script(self, source: str, network: str = "corporate", *arguments: str) -> str:
        """Run a plain script in a process that is given the environment variables alone."""
        proxy = getattr(self, network)
        done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", source, *arguments],
            env=client_environment(proxy.url, str(self.ca_file))
            | {
                "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "none",
                "AWS_DEFAULT_REGION": "us-east-1",
                "HOME": str(self.folder),
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def dialogue(self, sent: bytes) -> bytes:
        """Send raw bytes to the proxy and return all that it answers until it closes."""
        with socket.create_connection((CORPORATE, self.corporate.port), timeout=20) as connection:
            connection.sendall(sent)
            answer = b""
            while data := connection.recv(4096):
                answer += data
        return answer


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    running = Network(tmp_path_factory.mktemp("network"))
    with contextlib.closing(running):
        yield running


BOTO3 = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
GOOGLE_AUTH = """
import sys
from google.auth import identity_pool
from google.auth.transport.requests import Request
open('subject', 'w').write('token')
c = identity_pool.Credentials.from_info({
  'type': 'external_account', 'audience': '//iam.googleapis.com/projects/1/x',
  'subject_token_type': 'urn:ietf:params:oauth:token-type:jwt',
  'token_url': 'https://sts.googleapis.com/v1/token', 'credential_source': {'file': 'subject'}})
c.refresh(Request()); print(c.token)
"""
REQUESTS = "import requests, sys; print(requests.get(sys.argv[1], timeout=20).text)"


@pytest.mark.parametrize(
    ("network_name", "address"), [("corporate", CORPORATE), ("outside", OUTSIDE)]
)
@pytest.mark.parametrize(
    ("script", "host"),
    [(BOTO3, "sts.us-east-1.amazonaws.com"), (GOOGLE_AUTH, "sts.googleapis.com")],
)
def test_unmodified_client_reaches_its_default_hostname_from_its_network(
    network: Network, script: str, host: str, network_name: str, address: str
) -> None:
    assert network.script(script, network_name) == f"{address} {host}"


def test_requests_reaches_the_issuer_over_http_1_1(network: Network) -> None:
    seen = json.loads(network.script(REQUESTS, "corporate", "https://idp.test/some/path"))
    assert seen == {
        "peer": CORPORATE,
        "scheme": "https",
        "host": "idp.test",
        "path": "/some/path",
        "http_version": "1.1",
    }


def test_source_address_is_the_networks_whatever_headers_say(network: Network) -> None:
    source = """
import requests
print(requests.get('https://idp.test/', timeout=20, headers={
  'X-Forwarded-For': '127.10.0.1', 'Forwarded': 'for=127.10.0.1', 'X-Real-IP': '127.10.0.1',
  'X-Forwarded-Proto': 'http'}).text)
"""
    seen = json.loads(network.script(source, "outside"))
    assert (seen["peer"], seen["scheme"]) == (OUTSIDE, "https")


REFUSALS = {
    "another name": (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", 403, "unknown-name"),
    "a look-alike name": (b"CONNECT notamazonaws.com:443 HTTP/1.1\r\n\r\n", 403, "unknown-name"),
    "the bare suffix": (b"CONNECT amazonaws.com:443 HTTP/1.1\r\n\r\n", 403, "unknown-name"),
    "a name with our suffix inside": (
        b"CONNECT sts.amazonaws.com.example.com:443 HTTP/1.1\r\n\r\n",
        403,
        "unknown-name",
    ),
    "an address": (b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n", 403, "unknown-name"),
    "an IPv6 address": (b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n", 403, "unknown-name"),
    "another port": (b"CONNECT sts.amazonaws.com:80 HTTP/1.1\r\n\r\n", 403, "unknown-name"),
    "plain HTTP": (b"GET http://sts.amazonaws.com/ HTTP/1.1\r\n\r\n", 403, "plain-http"),
    "plain HTTP by POST": (b"POST http://idp.test/ HTTP/1.1\r\n\r\n", 403, "plain-http"),
    "no port": (b"CONNECT sts.amazonaws.com HTTP/1.1\r\n\r\n", 400, "malformed-target"),
    "a port that is no number": (b"CONNECT idp.test:x HTTP/1.1\r\n\r\n", 400, "malformed-target"),
    "an empty host": (b"CONNECT :443 HTTP/1.1\r\n\r\n", 400, "malformed-target"),
    "no version": (b"CONNECT idp.test:443\r\n\r\n", 400, "malformed-request"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", 400, "malformed-request"),
    "bytes that are no text": (b"\xff\xfe\x00\r\n\r\n", 400, "malformed-request"),
    "a head that never ends": (b"CONNECT idp.test:443 HTTP/1.1\r\nX: ", 408, "slow-request"),
    "a head too long": (
        b"CONNECT idp.test:443 HTTP/1.1\r\nX: " + b"a" * 20000,
        431,
        "head-too-lon",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_proxy_refuses(network: Network, case: str) -> None:
    sent, status, reason = REFUSALS[case]
    network.refusals.clear()
    answer = network.dialogue(sent)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert reason.encode() in answer
    assert [(r.status, r.network) for r in network.refusals] == [(status, "corporate")]


def test_proxy_accepts_a_connect_that_arrives_byte_by_byte_with_early_data(
    network: Network,
) -> None:
    hello = b"CONNECT idp.test:443 HTTP/1.1\r\nHost: idp.test:443\r\n\r\n"
    with socket.create_connection((CORPORATE, network.corporate.port), timeout=20) as raw:
        for index in range(len(hello)):
            raw.sendall(hello[index : index + 1])
        assert raw.recv(4096).startswith(b"HTTP/1.1 200 ")
        context = ssl.create_default_context(cafile=str(network.ca_file))
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(raw, server_hostname="idp.test") as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"


def test_edge_offers_no_h2_to_a_client_that_wants_only_that(network: Network) -> None:
    context = ssl.create_default_context(cafile=str(network.ca_file))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", network.edge.port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname="sts.amazonaws.com") as connection,
    ):
        assert connection.selected_alpn_protocol() is None


def test_edge_answers_421_for_a_host_that_no_route_serves(network: Network) -> None:
    context = ssl.create_default_context(cafile=str(network.ca_file))
    with (
        socket.create_connection(("127.0.0.1", network.edge.port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname="idp.test") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 421 ")


def test_certificate_of_another_world_is_not_trusted(network: Network, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(CertificateAuthority.create("test").pem)
    context = ssl.create_default_context(cafile=str(other))
    with (
        socket.create_connection(("127.0.0.1", network.edge.port), timeout=20) as raw,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(raw, server_hostname="idp.test")


def test_plain_edge_answers_on_loopback_for_endpoint_overrides(network: Network) -> None:
    source = """
import boto3, sys
print(boto3.client('sts', endpoint_url=sys.argv[1]).get_caller_identity()['Arn'])
"""

    async def xml(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [(b"host", b"sts.amazonaws.com")]
        await echo(scope, receive, send)

    edge = Edge([Route("*", xml)], ca=None)
    network.run(edge.start())
    try:
        answer = network.script(source, "corporate", f"http://127.0.0.1:{edge.port}")
        assert answer == "127.0.0.1 sts.amazonaws.com"
    finally:
        network.run(edge.stop())
