"""Requests over HTTP/2 that no well-behaved client makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.access.envoy_h2 import Headers, ask, call, ends, greet
from tests.conformance.access.envoy_mesh import Answer, Mesh, eventually
from tests.conformance.access.envoy_mesh_config import (
    AUTH,
    CUSTOMERS,
    LOGS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def send(
    mesh: Mesh, headers: Headers, body: bytes | None = None, trailers: Headers | None = None
) -> str:
    """Return how it ended: answered, reset, or with the whole connection."""
    with mesh.connect(alpn="h2") as connection:
        greet(connection)
        ask(connection, 1, headers, body, trailers or [])
        return ends(connection, 1)


def changed(**changes: str) -> Headers:
    return [(name, changes.get(name[1:], value)) for name, value in call(CUSTOMERS, "/a")]


def test_these_tests_can_make_a_good_request(mesh: Mesh) -> None:
    assert send(mesh, call(CUSTOMERS, "/a", "POST"), b"abc") == "answered"
    assert [(one["target"], one["body"]) for one in mesh.calls] == [("/a", 3)]


GOOD = call(CUSTOMERS, "/a")
ENDED: dict[str, tuple[Headers, bytes | None]] = {
    "two authorities": ([*GOOD, (":authority", LOGS)], None),
    "two paths": ([*GOOD, (":path", "/b")], None),
    "an upper-case name": ([*GOOD, ("X-A", "b")], None),
    "a carriage return in a value": ([*GOOD, ("x-a", "b\rc")], None),
    "a line feed in a value": ([*GOOD, ("x-a", "b\nx-agent-id: f")], None),
    "a NUL in a value": ([*GOOD, ("x-a", "b\0c")], None),
    "a header within a name": ([*GOOD, ("x-a: b\r\nx-c", "d")], None),
    "a space in a name": ([*GOOD, ("x a", "d")], None),
    "connection": ([*GOOD, ("connection", "x-agent-id")], None),
    "transfer-encoding": ([*GOOD, ("transfer-encoding", "chunked")], None),
    "te": ([*GOOD, ("te", "gzip")], None),
    "upgrade": ([*GOOD, ("upgrade", "websocket")], None),
    "two lengths": (
        [*call(CUSTOMERS, "/a", "POST"), ("content-length", "3"), ("content-length", "4")],
        b"abc",
    ),
    "another length": ([*call(CUSTOMERS, "/a", "POST"), ("content-length", "10")], b"abc"),
    "an absolute path": (changed(path="https://evil.example/x"), None),
    "an empty path": (changed(path=""), None),
    "an asterisk": (changed(path="*"), None),
    "a header in the path": (changed(path="/a\r\nx: y"), None),
    "a request line in the path": (changed(path="/a HTTP/1.1\r\nHost: x"), None),
    "a NUL in the path": (changed(path="/a\0"), None),
    "a request line in the method": (changed(method="GET /x HTTP/1.1"), None),
    "a header in the method": (changed(method="GET\r\nx: y"), None),
    "an odd scheme": (changed(scheme="x://y"), None),
    "user information": (changed(authority=f"a@{CUSTOMERS}"), None),
    "an underscore": ([*GOOD, ("x_agent_id", "a")], None),
    "extended CONNECT": (
        [*changed(method="CONNECT"), (":protocol", "websocket")],
        None,
    ),
}


@pytest.mark.parametrize("case", ENDED)
def test_a_malformed_request_ends_its_stream_or_connection(mesh: Mesh, case: str) -> None:
    headers, body = ENDED[case]
    assert send(mesh, headers, body) in {"reset", "connection ended"}
    assert (mesh.decisions.seen, mesh.calls) == ([], [])


REFUSED: dict[str, tuple[dict[str, str], int, str]] = {
    "TRACE": ({"method": "TRACE"}, 405, "method-refused"),
    "a method in lower case": ({"method": "get"}, 405, "method-refused"),
    "an unknown method": ({"method": "FOO"}, 405, "method-refused"),
    "PROPFIND": ({"method": "PROPFIND"}, 405, "method-refused"),
    "bytes beyond ASCII": ({"path": "/caf\xe9"}, 400, "malformed-request"),
    "bytes beyond ASCII in the query": ({"path": "/a?b=\xe9"}, 400, "malformed-request"),
    "a fragment": ({"path": "/a#b"}, 400, "malformed-request"),
    "a port": ({"authority": f"{CUSTOMERS}:443"}, 421, "no-such-host"),
    "an unjudged host": ({"authority": AUTH}, 421, "no-such-host"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_doubtful_request_is_refused_before_anybody_is_asked(mesh: Mesh, case: str) -> None:
    changes, status, reason = REFUSED[case]
    before = len(requests_in_log(mesh))
    assert send(mesh, changed(**changes)) == "answered"
    assert (mesh.decisions.seen, mesh.calls) == ([], [])
    line = mesh.log(lambda line: line["kind"] == "request", before + 1)[-1]
    assert (line["status"], line["reason"]) == (status, reason)


def requests_in_log(mesh: Mesh) -> list[dict[str, Any]]:
    """Return all lines so far, that of this call among them."""
    mark = f"/mark-{len(mesh.calls)}-{id(object())}"
    mesh.curl(mark)
    mesh.log(lambda line: line.get("path") == mark and line["listener"] == "edge")
    mesh.decisions.seen.clear()
    mesh.calls.clear()
    return mesh.log(lambda line: line["kind"] == "request")


def test_trailers_are_dropped(mesh: Mesh) -> None:
    late = [("x-late", "1"), ("x-agent-id", "forged"), ("x-iamrange-target", "/other")]
    assert send(mesh, call(CUSTOMERS, "/a", "POST"), b"abc", late) == "answered"
    (seen,) = mesh.decisions.seen
    (called,) = mesh.calls
    assert (seen.body, seen.target) == (b"abc", "/a")
    arrived = {name for name, _ in called["headers"]}
    assert not {"x-late", "trailer", "te"} & arrived
    assert "forged" not in str(called["headers"])


def test_a_host_header_beside_the_authority_is_dropped(mesh: Mesh) -> None:
    """RFC 9113 section 8.3.1 would have a server take them for malformed if they differ."""
    assert send(mesh, [*GOOD, ("host", "evil.example")]) == "answered"
    assert mesh.decisions.seen[0].all("host") == [CUSTOMERS]
    assert [value for name, value in mesh.calls[0]["headers"] if name == "host"] == [CUSTOMERS]


def test_each_stream_of_a_connection_is_judged(mesh: Mesh) -> None:
    with mesh.connect(alpn="h2") as connection:
        greet(connection)
        for stream in range(1, 40, 2):
            ask(connection, stream, call(LOGS if stream % 4 == 1 else CUSTOMERS, f"/{stream}"))
        eventually(lambda: len(mesh.calls) == 20)
    assert len(mesh.decisions.seen) == 20
    judged = {(seen.one("host").partition(".")[0], seen.target) for seen in mesh.decisions.seen}
    assert {(one["service"], one["target"]) for one in mesh.calls} == judged
