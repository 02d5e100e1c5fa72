"""The decision service killed, hanging, slow, half, or talking nonsense: nothing goes on."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING

import pytest

from tests.conformance.access.envoy_mesh import Answer, Mesh
from tests.conformance.access.envoy_mesh_config import (
    AGENT,
    AUTH,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("m"), decision_timeout=1)
    yield made
    made.stop()


@pytest.fixture
def mesh(shared: Mesh) -> Mesh:
    shared.decisions.answer = Answer()
    shared.decisions.seen.clear()
    shared.calls.clear()
    return shared


OK = b"HTTP/1.1 200 OK\r\nx-agent-id: a\r\n"
NONSENSE: dict[str, bytes | None] = {
    "nothing, and hangs up": b"",
    "nothing, and stays": None,
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a greeting": b"220 mail.example ESMTP\r\n",
    "half a status line": b"HTTP/1.1 20",
    "no end of its headers": OK,
    "half a body": OK + b"content-length: 100\r\n\r\nabc",
    "half a chunk": OK + b"transfer-encoding: chunked\r\n\r\n10\r\nabc",
    "no such chunk": OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "two lengths": OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "no such status": b"HTTP/1.1 20x OK\r\ncontent-length: 0\r\n\r\n",
    "only an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "headers without end": OK + b"x-a: " + b"a" * 200_000,
    "a header with a NUL": OK + b"x-agent-id: a\x00b\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("case", NONSENSE)
def test_a_decision_that_is_none_is_503_and_nothing_goes_on(mesh: Mesh, case: str) -> None:
    with mesh.broken_decisions(NONSENSE[case]):
        reply = mesh.curl("/records/latest")
        assert (reply.status, reply.reason) == (503, "decision-service-away")
        assert dict(reply.headers)["retry-after"] == "1"
        assert mesh.calls == []
        assert mesh.curl("/token", host=AUTH).status == 200  # which judges its callers itself
    mesh.calls.clear()
    assert mesh.curl("/records/latest").status == 200
    assert len(mesh.calls) == 1


def test_a_killed_decision_service_is_503_until_it_is_back(mesh: Mesh) -> None:
    mesh.take_away("decide")
    for method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE"):
        reply = mesh.curl("/", "-X", method, *(["--head"] if method == "HEAD" else []))
        assert (method, reply.status, reply.reason) == (method, 503, "decision-service-away")
    assert mesh.calls == []
    mesh.bring_back("decide")
    assert mesh.curl("/").status == 200


def test_a_socket_that_is_no_server_is_503(mesh: Mesh) -> None:
    mesh.take_away("decide")
    path = mesh.folder / "decide.service"
    path.write_text("a file")
    assert mesh.curl("/").status == 503
    path.unlink()
    assert mesh.calls == []
    mesh.bring_back("decide")


def test_one_that_is_slow_is_503_and_its_late_answer_counts_for_nothing(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(wait=1.5)  # the limit is 1
    reply = mesh.curl("/", "--data", "a=b")
    assert (reply.status, reply.reason) == (503, "decision-service-away")
    mesh.decisions.answer = Answer(status=403)
    assert mesh.curl("/").status == 403
    assert mesh.calls == []


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 511, 599])
def test_its_own_failures_are_503(mesh: Mesh, status: int) -> None:
    mesh.decisions.answer = Answer(status, (("x-agent-id", AGENT), ("x-iamrange-reason", "x")))
    reply = mesh.curl("/")
    assert (reply.status, reply.reason) == (503, "decision-service-away")
    assert mesh.calls == []


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 301, 302, 304, 307, 418])
def test_nothing_but_200_lets_a_call_go_on(mesh: Mesh, status: int) -> None:
    mesh.decisions.answer = Answer(status, (("x-agent-id", AGENT), ("location", "/admin")))
    mesh.curl("/")
    assert mesh.calls == []


def test_each_of_many_calls_at_once_is_decided(mesh: Mesh) -> None:
    def ask(index: int) -> int:
        return mesh.curl(f"/{index}").status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(64))) == {200}
    assert len(mesh.decisions.seen) == len(mesh.calls) == 64
    assert {seen.target for seen in mesh.decisions.seen} == {call["target"] for call in mesh.calls}


@pytest.mark.parametrize("status", [b"000 OK", b"101 Switching Protocols", b"199 X", b"999 X"])
def test_a_status_that_is_no_answer_lets_nothing_go_on(mesh: Mesh, status: bytes) -> None:
    """Envoy makes a refusal with that status of it, which the client may not understand."""
    with mesh.broken_decisions(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n"):
        assert mesh.curl("/").status != 200
    assert mesh.calls == []
    mesh.envoy.check()
    assert mesh.curl("/").status == 200


def test_calls_under_way_when_it_dies_are_refused(mesh: Mesh) -> None:
    with (
        mesh.broken_decisions(b"", after=0.3),
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        replies = list(pool.map(mesh.curl, ["/a", "/b", "/c", "/d"]))
    assert {reply.status for reply in replies} == {503}
    assert mesh.calls == []
    assert mesh.curl("/").status == 200
