"""Requests that mean several things, or too much: what the edge refuses, what it leaves to judge.

Where Envoy repairs something it is said here, so that nobody believes that it is refused.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from iamrange.network.envoy import Limits
from tests.conformance.access.envoy_mesh import Answer, Mesh
from tests.conformance.access.envoy_mesh_config import (
    AUTH,
    CUSTOMERS,
    LOGS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("m"))
    yield made
    made.stop()


@pytest.fixture
def mesh(shared: Mesh) -> Mesh:
    shared.decisions.answer = Answer()
    shared.decisions.seen.clear()
    shared.calls.clear()
    return shared


def request(line: str, *headers: str, host: str = CUSTOMERS, body: str = "") -> bytes:
    lines = [line, f"Host: {host}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode("latin-1")


AMBIGUOUS = (
    "/a//b",
    "//a",
    "/a/../b",
    "/a/./b",
    "/a/..",
    "/a/.",
    "/..;/b",
    "/;x/../b",
    "/a/%2e%2e/b",
    "/a/%2E/b",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a\\b",
    "/a\\..\\b",
    "/a;x=1/b",
    "/a%00b",
    "/a%0ab",
    "/a%1fb",
    "/a%7fb",
    "/a%25b",
    "/a%252fb",
    "/a%zz",
    "/a%",
    "/a|b",
    "/a<b",
    '/a"b',
)
CANONICAL = (
    "/",
    "/a",
    "/a/b/",
    "/.a",
    "/..a",
    "/...",
    "/a.b",
    "/a@b:c",
    "/~a_b-c!$&'()*+,=",
    "/a%20b",
    "/caf%C3%A9",
    "/%61",
)


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_with_several_readings_is_judged_as_it_came_and_goes_no_further(
    mesh: Mesh, path: str
) -> None:
    """Even if the decision service takes it for something else and says yes."""
    status, headers, _ = mesh.exchange(request(f"GET {path}?q=1 HTTP/1.1"))
    assert (status, headers["x-iamrange-reason"]) == (400, "ambiguous-path")
    assert [seen.target for seen in mesh.decisions.seen] == [f"{path}?q=1"]
    assert mesh.calls == []
    mesh.decisions.answer = Answer(400, (("x-iamrange-reason", "its-own"),))
    _, headers, _ = mesh.exchange(request(f"GET {path} HTTP/1.1"))
    assert headers["x-iamrange-reason"] == "its-own"


@pytest.mark.parametrize("path", CANONICAL)
def test_a_path_with_one_reading_goes_on_as_it_came(mesh: Mesh, path: str) -> None:
    status, _, _ = mesh.exchange(request(f"GET {path}?q=/../x HTTP/1.1"))
    assert status == 200
    assert [seen.target for seen in mesh.decisions.seen] == [f"{path}?q=/../x"]
    assert [call["target"] for call in mesh.calls] == [path]


@pytest.mark.parametrize(
    "target",
    [
        "/a#b",
        "/a?b#c",
        "/caf\xe9",
        "/a b",
        "/a\tb",
        "*",
        "",
        "a",
        f"http://{CUSTOMERS}/x",
        f"https://{CUSTOMERS}/x",
        "http://evil.example/x",
        f"//{CUSTOMERS}@evil.example/x",
    ],
)
def test_a_target_that_is_none_reaches_nobody(mesh: Mesh, target: str) -> None:
    status, headers, _ = mesh.exchange(request(f"GET {target} HTTP/1.1"))
    assert status in {400, 404}
    assert headers["x-iamrange-reason"] in {"malformed-request", "no-path", "ambiguous-path"}
    assert mesh.calls == []


HOSTS = (
    f"{CUSTOMERS}:443",
    f"{CUSTOMERS}:8443",
    f"{CUSTOMERS}.",
    f"user@{CUSTOMERS}",
    "",
    AUTH,
    "customers.mesh.iamrange.example",
    "x.example",
    f"{CUSTOMERS}\r\nHost: {LOGS}",
    f"{CUSTOMERS}\r\nHost: {CUSTOMERS}",
)


@pytest.mark.parametrize("host", HOSTS)
def test_another_host_or_another_spelling_of_one_is_misdirected(mesh: Mesh, host: str) -> None:
    status, headers, _ = mesh.exchange(request("GET /a HTTP/1.1", host=host))
    assert (status, headers["x-iamrange-reason"]) == (421, "no-such-host")
    assert (mesh.decisions.seen, mesh.calls) == ([], [])


def test_the_case_of_a_host_is_left_to_judge(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(400)
    status, _, _ = mesh.exchange(request("GET /a HTTP/1.1", host=CUSTOMERS.upper()))
    assert (status, mesh.decisions.seen[0].one("host")) == (400, CUSTOMERS.upper())


def test_a_connection_to_an_unjudged_host_cannot_ask_for_a_judged_one(mesh: Mesh) -> None:
    status, _, _ = mesh.exchange(request("GET /a HTTP/1.1"), host=AUTH)
    assert (status, mesh.calls) == (421, [])


REFUSED = {
    "length and chunks": (("Content-Length: 4", "Transfer-Encoding: chunked"), 400),
    "chunks and length": (("Transfer-Encoding: chunked", "Content-Length: 4"), 400),
    "two lengths": (("Content-Length: 4", "Content-Length: 5"), 400),
    "two equal lengths": (("Content-Length: 4", "Content-Length: 4"), 400),
    "a list of lengths": (("Content-Length: 4, 4",), 400),
    "a length with a sign": (("Content-Length: +4",), 400),
    "a negative length": (("Content-Length: -1",), 400),
    "a hexadecimal length": (("Content-Length: 0x4",), 400),
    "an unknown coding": (("Transfer-Encoding: xchunked",), 501),
    "two codings": (("Transfer-Encoding: gzip, chunked",), 501),
    "chunked twice": (("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501),
    "identity": (("Transfer-Encoding: identity",), 501),
    "a space before the colon": (("Transfer-Encoding : chunked",), 400),
    "a vertical tab": (("Transfer-Encoding: \x0bchunked",), 400),
    "a NUL": (("x-a: b\x00c",), 400),
    "no colon": (("xab",), 400),
    "an underscore": (("X_Agent_Id: a",), 400),
    "websocket": (("Upgrade: websocket", "Connection: upgrade"), 403),
    "another upgrade": (("Upgrade: TLS/1.0", "Connection: upgrade"), 403),
    "too many headers": (tuple(f"x-{i}: 1" for i in range(LIMITS.header_count + 1)), 431),
    "too long a header": ((f"x-long: {'a' * (LIMITS.header_kib * 1024)}",), 431),
    "too long a name": ((f"{'a' * (LIMITS.header_kib * 1024)}: x",), 431),
    "too much together": (tuple(f"x-{i}: {'a' * 1000}" for i in range(40)), 431),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_doubtful_request_is_refused_before_anybody_is_asked(mesh: Mesh, case: str) -> None:
    headers, expected = REFUSED[case]
    status, told, _ = mesh.exchange(request("POST /a HTTP/1.1", *headers, body="4\r\nabcd"))
    assert status == expected
    assert told["x-iamrange-reason"] in {
        "malformed-request",
        "unknown-coding",
        "upgrade-refused",
        "headers-too-large",
    }
    assert (mesh.decisions.seen, mesh.calls) == ([], [])


CHUNKS = {
    "a negative size": "-4\r\nabcd\r\n0\r\n\r\n",
    "a size beyond 64 bits": "FFFFFFFFFFFFFFFFF\r\nabcd\r\n0\r\n\r\n",
    "a bare line feed after the size": "4\nabcd\r\n0\r\n\r\n",
    "a bare line feed in an extension": "4;a\nabcd\r\n0\r\n\r\n",
    "no size": "\r\nabcd\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("case", CHUNKS)
def test_a_doubtful_chunk_is_refused(mesh: Mesh, case: str) -> None:
    raw = request("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=CHUNKS[case])
    status, _, _ = mesh.exchange(raw)
    assert (status, mesh.calls) == (400, [])


def test_what_follows_a_chunk_before_its_end_of_line_is_dropped(mesh: Mesh) -> None:
    """RFC 9112 section 7.1 has nothing there; Envoy 1.40 skips to the end of the line."""
    body = "4\r\nabcdGET /hidden\r\n0\r\n\r\n"
    raw = request("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=body)
    assert mesh.exchange(raw)[0] == 200
    assert [(seen.target, seen.body) for seen in mesh.decisions.seen] == [("/a", b"abcd")]
    assert [(call["target"], call["body"]) for call in mesh.calls] == [("/a", 4)]


def test_what_follows_a_body_is_another_call_and_judged_as_one(mesh: Mesh) -> None:
    inner = f"GET /hidden HTTP/1.1\r\nHost: {CUSTOMERS}\r\n\r\n"
    with mesh.connect() as connection:
        connection.sendall(
            f"POST /a HTTP/1.1\r\nHost: {CUSTOMERS}\r\n"
            f"Content-Length: 4\r\n\r\nabcd{inner}".encode()
        )
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 2:
            answers += connection.recv(65536)
    assert [seen.target for seen in mesh.decisions.seen] == ["/a", "/hidden"]
    assert [(call["target"], call["body"]) for call in mesh.calls] == [("/a", 4), ("/hidden", 0)]


REPAIRED = {
    # RFC 9112 section 5.2 lets a recipient put spaces in place of a fold
    "a folded header": ("x-a: b\r\n c", "b c"),
    # RFC 9112 section 2.2 lets it take a single line feed for the end of a line
    "a bare line feed": ("x-a: b\nx-b: c", "b"),
    # RFC 9110 section 5.5 would have it refused, or a space put there; Envoy 1.40 drops it
    "a bare carriage return": ("x-a: b\rx-agent-id: forged", "bx-agent-id: forged"),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_what_envoy_repairs_arrives_the_same_at_both(mesh: Mesh, case: str) -> None:
    header, expected = REPAIRED[case]
    raw = request("GET /a HTTP/1.1", header, header.replace("x-a", "dpop"))
    assert mesh.exchange(raw)[0] == 200
    (call,) = mesh.calls
    names = [name for name, _ in call["headers"]]
    assert names.count("x-agent-id") == 1
    assert dict(call["headers"])["x-a"] == expected
    assert mesh.decisions.seen[0].one("dpop") == expected.replace("x-a", "dpop")
    assert dict(call["headers"])["x-agent-id"] != "forged"


def test_an_upgrade_to_h2c_is_not_heard(mesh: Mesh) -> None:
    headers = ("Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    lines = ["GET /a HTTP/1.1", f"Host: {CUSTOMERS}", *headers, "", ""]
    assert mesh.exchange("\r\n".join(lines).encode())[0] == 200
    names = {name for name, _ in mesh.calls[0]["headers"]}
    assert not {"upgrade", "http2-settings", "connection"} & names


METHODS = {
    "TRACE": (405, "method-refused"),
    "get": (400, "malformed-request"),
    "FOO": (400, "malformed-request"),
    "PRI": (400, "malformed-request"),
}


@pytest.mark.parametrize("method", METHODS)
def test_an_odd_method_reaches_nobody(mesh: Mesh, method: str) -> None:
    status, headers, _ = mesh.exchange(request(f"{method} /a HTTP/1.1"))
    assert (status, headers["x-iamrange-reason"]) == METHODS[method]
    assert (mesh.decisions.seen, mesh.calls) == ([], [])


@pytest.mark.parametrize("target", [f"{CUSTOMERS}:443", "a.example:22"])
def test_a_tunnel_is_refused_at_once(mesh: Mesh, target: str) -> None:
    status, headers, _ = mesh.exchange(request(f"CONNECT {target} HTTP/1.1"))
    assert (status, headers["x-iamrange-reason"]) == (403, "upgrade-refused")
    assert (mesh.decisions.seen, mesh.calls) == ([], [])


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_judged(mesh: Mesh, method: str) -> None:
    arguments = ["--head"] if method == "HEAD" else ["-X", method]
    assert mesh.curl("/a", *arguments).status == 200
    assert [seen.method for seen in mesh.decisions.seen] == [method]
    assert [call["method"] for call in mesh.calls] == [method]


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0"])
def test_other_versions_in_a_request_line_are_426(mesh: Mesh, version: str) -> None:
    status, headers, _ = mesh.exchange(request(f"GET /a {version}"))
    assert (status, headers["x-iamrange-reason"]) == (426, "old-protocol")
    assert mesh.decisions.seen == []


def test_trailers_are_dropped(mesh: Mesh) -> None:
    body = "4\r\nabcd\r\n0\r\nx-agent-id: forged\r\nx-late: 1\r\n\r\n"
    raw = request("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=body)
    assert mesh.exchange(raw)[0] == 200
    arrived = dict(mesh.calls[0]["headers"])
    assert "x-late" not in arrived
    assert arrived["x-agent-id"] != "forged"


@pytest.mark.parametrize("megabytes", [1, 8])
def test_headers_of_megabytes_end_the_connection(mesh: Mesh, megabytes: int) -> None:
    big = f"x: {'a' * (megabytes << 20)}"
    try:
        status, _, _ = mesh.exchange(request("GET /a HTTP/1.1", big))
    except OSError:
        status = 0
    assert status in {0, 431}
    assert mesh.decisions.seen == []
    assert mesh.curl("/a").status == 200


def test_huge_headers_over_http_2_end_the_stream(mesh: Mesh) -> None:
    """Over HTTP/2 Envoy resets the stream instead of answering 431."""
    many = [part for i in range(70) for part in ("-H", f"x-{i}: 1")]
    for arguments in (["-H", f"x-a: {'a' * 40_000}"], many):
        reply = mesh.curl("/a", "--http2", *arguments)
        assert (reply.status, reply.code != 0) == (0, True)
    assert mesh.decisions.seen == []
    assert mesh.curl("/a", "--http2").status == 200


def test_a_real_websocket_client_is_refused(mesh: Mesh) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    headers = [part for header in upgrade for part in ("-H", header)]
    reply = mesh.curl(
        "/a", "--http1.1", *headers, "-H", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw=="
    )
    assert (reply.status, reply.reason) == (403, "upgrade-refused")


def test_curl_is_the_kind_that_speaks_http_2() -> None:
    """Otherwise half of these tests would test HTTP/1.1 twice."""
    ran = subprocess.run(["curl", "--version"], capture_output=True, check=True, text=True)  # noqa: S607 - curl is the client under test
    assert "HTTP2" in ran.stdout
