"""What the real Envoy lets through to a service, and what it refuses by itself."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import random
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.network.envoy import Limits
from iamrange.network.envoy_bootstrap import IDENTITY_HEADERS, IDENTITY_PREFIXES

if TYPE_CHECKING:
    from collections.abc import Callable

Served = Any  # conftest's: tests are no packages, so that it cannot be imported
AUTH = "auth.iamrange.example"
API = "api.iamrange.example"
OWN = {
    # written by Envoy itself
    "x-forwarded-proto": "https",
    "x-request-id": None,
}
FORGED = (*IDENTITY_HEADERS, *(f"{prefix}forged" for prefix in IDENTITY_PREFIXES))


def curl(served: Served, *arguments: str) -> Any:  # noqa: ANN401 - any JSON value
    command = ["curl", "-sS", "--proxy", served.proxy.url, "--cacert", str(served.ca_file)]
    ran = subprocess.run(  # noqa: S603 - curl is the client under test
        [*command, f"https://{AUTH}/", *arguments], capture_output=True, check=True, timeout=30
    )
    return json.loads(ran.stdout)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("name", FORGED)
def test_a_header_that_says_who_asks_does_not_arrive_from_a_client(
    served: Served, name: str, version: str
) -> None:
    seen = curl(served, version, "-H", f"{name}: forged", "-H", f"{name.title()}: forged")
    values = [value for header, value in seen["headers"] if header == name]
    assert "forged" not in ",".join(values)
    assert len(values) == (1 if name in OWN else 0)


def test_the_client_is_the_peer_of_the_connection(served: Served) -> None:
    headers = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9"}
    seen = served.get(headers=headers).json()
    assert (seen["client"], seen["scheme"]) == ("127.10.0.1", "https")


def test_what_the_service_needs_arrives_as_it_was_sent(served: Served) -> None:
    headers = {"Authorization": "DPoP abc", "DPoP": "proof", "Content-Type": "text/plain"}
    with served.session() as session:
        answer = session.post(f"https://{AUTH}/a/b?x=%2F&y=1", data=b"body", headers=headers)
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/a/b", "x=%2F&y=1")
    assert seen["body"] == 4
    arrived = dict(seen["headers"])
    assert (arrived["authorization"], arrived["dpop"]) == ("DPoP abc", "proof")
    assert arrived["host"] == AUTH


VERSIONS = {
    "1.0": (ssl.TLSVersion.TLSv1, False),
    "1.1": (ssl.TLSVersion.TLSv1_1, False),
    "1.2": (ssl.TLSVersion.TLSv1_2, True),
    "1.3": (ssl.TLSVersion.TLSv1_3, True),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize("version", VERSIONS)
def test_only_tls_1_2_and_later_are_spoken(served: Served, version: str) -> None:
    wanted, spoken = VERSIONS[version]
    context = served.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = wanted
    if spoken:
        with served.connect(context) as connection:
            assert connection.version() == f"TLSv{version}"
    else:
        with pytest.raises(ssl.SSLError):
            served.connect(context)


@pytest.mark.parametrize("name", [None, "elsewhere.example", "x.auth.iamrange.example"])
def test_a_name_that_is_not_served_is_shown_no_certificate(
    served: Served, name: str | None
) -> None:
    context = served.context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        served.connect(context, name)


def request(line: str, *headers: str, host: str = AUTH, body: str = "") -> bytes:
    return "\r\n".join([line, f"Host: {host}", "Connection: close", *headers, "", body]).encode()


def test_each_host_has_a_service_of_its_own_and_others_are_misdirected(served: Served) -> None:
    for host, expected in (
        (AUTH, 200),
        (API, 200),
        (f"{AUTH}:8443", 200),
        ("elsewhere.example", 421),
        ("", 421),
    ):
        status, _ = served.exchange(request("GET / HTTP/1.1", host=host))
        assert (host, status) == (host, expected)


PATHS = {
    "/a//b": (200, "/a/b"),
    "//a": (200, "/a"),
    "/a/../b": (200, "/b"),
    "/a/./b": (200, "/a/b"),
    "/../../b": (200, "/b"),
    "/a/%2e%2e/b": (200, "/b"),
    "/%61": (200, "/a"),
    "/a%2fb": (400, None),
    "/a%2Fb": (400, None),
    "/a%5cb": (400, None),
    "/a\\..\\b": (200, "/b"),
    "/a%00b": (400, None),
    "/a;x/../b": (200, "/b"),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_made_canonical_or_refused(served: Served, path: str) -> None:
    status, seen = served.exchange(request(f"GET {path} HTTP/1.1"))
    assert (status, seen.get("path")) == PATHS[path]


LIMIT = Limits()
REFUSED = {
    "underscore": (("X_Agent_Id: a",), 400),
    "too-many-headers": (tuple(f"x-{i}: 1" for i in range(LIMIT.header_count + 1)), 431),
    "too-long-a-header": ((f"x-long: {'a' * (LIMIT.header_kib * 1024)}",), 431),
    "two-lengths": (("Content-Length: 1", "Content-Length: 2"), 400),
    "length-and-chunks": (("Content-Length: 4", "Transfer-Encoding: chunked"), 400),
    "unknown-coding": (("Transfer-Encoding: xchunked",), 501),
    "space-before-colon": (("x-a : b",), 400),
    "no-colon": (("xab",), 400),
    "control-character": (("x-a: b\x01c",), 400),
    "nul": (("x-a: b\x00c",), 400),
    "upgrade": (("Upgrade: websocket", "Connection: upgrade"), 403),
    "two-hosts": (("Host: elsewhere.example",), 421),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_doubtful_request_is_refused(served: Served, case: str) -> None:
    headers, expected = REFUSED[case]
    status, _ = served.exchange(request("POST / HTTP/1.1", *headers))
    assert status == expected


LINES = {
    "CONNECT a:1 HTTP/1.1": 403,
    f"CONNECT {AUTH}:443 HTTP/1.1": 403,
    "TRACE / HTTP/1.1": 405,
    "GET / HTTP/1.0": 426,
    "GET / HTTP/0.9": 426,
    "GET / x HTTP/1.1": 400,
    "GET /#x HTTP/1.1": 400,
    "G\u00e9T / HTTP/1.1": 400,
    "OPTIONS * HTTP/1.1": 404,
    "GET http://elsewhere.example/ HTTP/1.1": 421,
    "\x16\x03": 400,
}


@pytest.mark.parametrize("line", LINES)
def test_a_doubtful_request_line_is_refused(served: Served, line: str) -> None:
    status, seen = served.exchange(request(line))
    assert status == LINES[line]
    assert seen.get("path") is None


def test_a_folded_line_arrives_unfolded(served: Served) -> None:
    status, seen = served.exchange(request("GET / HTTP/1.1", "x-a: b", " c"))
    assert (status, dict(seen["headers"])["x-a"]) == (200, "b c")


def test_a_body_beyond_the_limit_is_refused(served: Served) -> None:
    with served.session() as session:
        exact = session.post(f"https://{AUTH}/", data=b"a" * LIMIT.body_bytes)
        over = session.post(f"https://{AUTH}/", data=b"a" * (LIMIT.body_bytes + 1))
    assert (exact.status_code, exact.json()["body"]) == (200, LIMIT.body_bytes)
    assert over.status_code == 413


def test_the_service_away_is_503_and_back_is_200_without_a_restart(served: Served) -> None:
    assert served.get().status_code == 200
    served.run(served.services[AUTH].stop())
    away = served.get()
    assert (away.status_code, away.json()) == (503, {"error": "edge", "status": 503})
    served.replace_service(AUTH)
    assert served.get().status_code == 200
    served.envoy.check()


RUDE = {
    "closes-at-once": (b"", 503),
    "answers-no-http": (b"hello there\r\n\r\n", 502),
    "answers-half-a-head": (b"HTTP/1.1 200 OK\r\ncontent-le", 502),
    "answers-two-lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        502,
    ),
}


@pytest.mark.parametrize("case", RUDE)
def test_a_service_that_breaks_off_is_an_error_and_asked_once(served: Served, case: str) -> None:
    """A request that was tried again by the edge could issue two tokens."""
    said, expected = RUDE[case]
    asked: list[bytes] = []

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_unix_server(rude, served.folder / "api.sock")

    async def close(server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()

    served.run(served.services[API].stop())
    server = served.run(listen())
    try:
        status, _ = served.exchange(request("POST / HTTP/1.1", "Content-Length: 0", host=API))
    finally:
        served.run(close(server))
        served.replace_service(API)
    assert (status, len(asked)) == (expected, 1)
    assert served.exchange(request("GET / HTTP/1.1", host=API))[0] == 200


def test_two_hundred_connections_are_served_at_once(served: Served) -> None:
    connections = [served.connect() for _ in range(200)]
    try:
        for connection in connections:
            connection.sendall(request("GET / HTTP/1.1"))
        answers = [connection.recv(65536) for connection in connections]
    finally:
        for connection in connections:
            connection.close()
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 200"}


def test_connections_beyond_the_limit_are_dropped_and_later_ones_served(
    serve: Callable[[Limits], Served],
) -> None:
    served = serve(Limits(connections=3))
    held = [served.connect() for _ in range(3)]
    with pytest.raises((ssl.SSLError, OSError)):
        served.connect()
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            served.connect().close()
            break
        except OSError:
            assert time.monotonic() < deadline


def test_a_slow_client_is_cut_off_and_holds_nobody_up(serve: Callable[[Limits], Served]) -> None:
    served = serve(Limits(headers=0.5, request=0.7, handshake=0.5, idle=1))
    silent = socket.create_connection(("127.0.0.1", served.envoy.port), timeout=10)
    slow = served.connect()
    slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
    slow_body = served.connect()
    slow_body.sendall(request("POST / HTTP/1.1", "Content-Length: 10", body="a"))
    assert served.get().status_code == 200
    assert slow.recv(4096).startswith(b"HTTP/1.1 408")
    assert slow_body.recv(4096).startswith(b"HTTP/1.1 408")
    assert silent.recv(4096) == b""
    for connection in (silent, slow, slow_body):
        connection.close()


def test_a_slow_service_is_504(serve: Callable[[Limits], Served]) -> None:
    served = serve(Limits(response=0.3))
    assert served.get("/slow").status_code == 504
    assert served.get().status_code == 200


def test_many_clients_at_once_are_all_answered(served: Served) -> None:
    def ask(_: int) -> int:
        return int(served.get().status_code)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(64))) == {200}


def test_noise_below_tls_and_within_it_leaves_the_edge_standing(served: Served) -> None:
    noise = random.Random(5)  # noqa: S311 - the same noise each time
    for size in (1, 5, 100, 5000):
        data = noise.randbytes(size)
        with socket.create_connection(("127.0.0.1", served.envoy.port), timeout=10) as raw:
            raw.sendall(data)
        with served.connect() as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + data)
        with served.connect() as connection:
            connection.sendall(data)
    served.envoy.check()
    assert served.get().status_code == 200


def test_neither_log_holds_a_token_a_query_or_the_secret(served: Served) -> None:
    marker = "e30.marker.signature"
    headers = {"Authorization": f"DPoP {marker}", "DPoP": marker, "Cookie": marker}
    assert served.get(f"/x?access_token={marker}", headers=headers).status_code == 200
    served.exchange(request("POST / HTTP/1.1", f"X_Bad: {marker}"))
    log = served.state / "envoy-access.log"
    deadline = time.monotonic() + 15  # Envoy writes it in steps of up to ten seconds
    while '"path":"/x"' not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for path in (log, served.state / "envoy.log"):
        text = path.read_text()
        assert marker not in text
        assert served.config.secret not in text
