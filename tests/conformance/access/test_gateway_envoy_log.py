"""What Envoy's access log says, what it never says, and how long it grows."""

from __future__ import annotations

import functools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.network.envoy import Limits
from iamrange.network.envoy_log import read_tls_refusals
from iamrange.network.envoy_tail import AccessLogTail
from iamrange.range.access_log import event_of_line
from tests.conformance.access.envoy_mesh import Answer, Mesh, eventually, refusals
from tests.conformance.access.envoy_mesh_config import (
    AGENT,
    AUTH,
    CUSTOMERS,
    GATEWAY,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "e30.marker.signature"


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


def lines_of(mesh: Mesh, path: str, count: int = 1) -> list[dict[str, Any]]:
    return mesh.log(lambda line: line.get("path") == path, count)


def test_an_allowed_call_has_a_line_at_the_edge_and_one_at_the_sidecar(mesh: Mesh) -> None:
    file = mesh.file(workload(mesh.authority, AGENT))
    mesh.curl("/allowed?q=1", "-X", "POST", "--cert", file)
    by_listener = {line["listener"]: line for line in lines_of(mesh, "/allowed", 2)}
    edge, sidecar = by_listener["edge"], by_listener["sidecar:customers"]
    assert {edge["request_id"], sidecar["request_id"]} == {
        mesh.decisions.seen[0].one("x-request-id")
    }
    for line in (edge, sidecar):
        assert (line["method"], line["host"], line["status"]) == ("POST", CUSTOMERS, 200)
        assert (line["reason"], line["flags"]) == (None, "-")
        assert line["milliseconds"] >= 0
    assert (sidecar["peer_san"], edge["peer"]) == (GATEWAY, "127.0.0.1")
    # nobody has vouched for it at the edge
    assert (edge["unverified_peer_san"], "peer_san" in edge) == (AGENT, False)


def test_a_refused_call_has_its_reason_and_who_refused(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(403, (("x-iamrange-reason", "policy-denied"),))
    mesh.curl("/refused")
    (line,) = lines_of(mesh, "/refused")
    assert (line["status"], line["reason"], line["details"], line["flags"]) == (
        403,
        "policy-denied",
        "ext_authz_denied",
        "UAEX",
    )


def events_of(mesh: Mesh) -> list[dict[str, Any]]:
    """Return what an audit log is given of all that the mesh has written."""
    return [event_of_line(line) for line in AccessLogTail(mesh.state).read()]


def test_each_line_is_an_event_and_joins_the_decision(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(403, (("x-iamrange-reason", "policy-denied"),))
    mesh.curl("/events", "-H", "x-request-id: chosen-by-a-stranger")
    mesh.mesh("/events")
    lines_of(mesh, "/events")
    eventually(lambda: any(one["class_uid"] == 4001 for one in events_of(mesh)))
    found = events_of(mesh)
    assert not [one for one in found if one["class_uid"] == 0]
    decided = mesh.decisions.seen[-1].one("x-request-id")
    (event,) = [one for one in found if one["metadata"].get("uid") == decided]
    assert (event["class_uid"], event["action_id"], event["status_code"]) == (
        4002,
        2,
        "policy-denied",
    )
    assert not [one for one in found if one["metadata"].get("uid") == "chosen-by-a-stranger"]
    refused = [one["status_code"] for one in found if one["class_uid"] == 4001]
    assert "no-certificate" in refused


def test_a_failure_to_decide_is_told_from_a_refusal(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(500)
    mesh.curl("/undecided")
    (line,) = lines_of(mesh, "/undecided")
    assert (line["status"], line["reason"], line["details"]) == (
        503,
        "decision-service-away",
        "ext_authz_error",
    )


def test_no_log_holds_a_token_a_query_or_the_secret(mesh: Mesh) -> None:
    named = ("authorization", "dpop", "cookie", "approval-id", "user-agent", "referer", "x-api-key")
    arguments = [part for name in named for part in ("-H", f"{name}: DPoP {SECRET}")]
    asked = f"?access_token={SECRET}"
    for host, path in ((CUSTOMERS, "/q1"), (AUTH, "/q2"), (CUSTOMERS, "/a/../q3")):
        mesh.curl(f"{path}{asked}", *arguments, "-H", "x-iamrange-edge: guessed", host=host)
    mesh.curl(f"/q4{asked}", *arguments, "-H", f"X_Bad: {SECRET}")
    mesh.decisions.answer = Answer(401, (("x-iamrange-reason", "r"), ("dpop-nonce", SECRET)))
    mesh.curl(f"/q5{asked}", *arguments, "--data", SECRET)
    mesh.mesh(f"/q6{asked}", *arguments, "--cert", mesh.file(mesh.gateway))
    mesh.mesh(f"/q7{asked}", *arguments)
    lines_of(mesh, "/q6")
    refusals(lambda: read_tls_refusals(mesh.state), 1)
    for name in ("envoy-access.log", "envoy.log"):
        text = (mesh.state / name).read_text()
        assert SECRET not in text
        assert mesh.config.secret not in text
        assert "access_token" not in text
        assert "PRIVATE KEY" not in text


@pytest.mark.parametrize(
    "path",
    [
        '/a","status":200,"x":"',
        "/a%0a{}",
        "/a\\",
        "/a\x7fb",
        "/<script>",
        "/a" + "/%41" * 400,
    ],
)
def test_what_a_stranger_writes_stays_within_its_value(mesh: Mesh, path: str) -> None:
    raw = (
        f"GET {path} HTTP/1.1\r\nHost: {CUSTOMERS}\r\nx-request-id: \r\n\r\nGET /next HTTP/1.1\r\n"
    )
    mesh.decisions.answer = Answer(400)
    status, _, _ = mesh.exchange(raw.encode("latin-1"))
    assert status == 400
    mesh.curl("/after")
    lines_of(mesh, "/after")
    text = (mesh.state / "envoy-access.log").read_bytes()
    for line in text.splitlines():
        value = json.loads(line)
        assert value["kind"] in {"request", "connection"}
        assert len(line) < 4096
        assert event_of_line(line)["class_uid"] in {4001, 4002}


def test_bytes_that_are_no_text_do_not_break_a_line(mesh: Mesh) -> None:
    for host in (b"\xff\xfe", b'"}\\', b"a\x80.example"):
        raw = b"GET /bytes HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        with mesh.connect() as connection:
            connection.sendall(raw)
            connection.recv(4096)
    mesh.curl("/afterwards")
    lines_of(mesh, "/afterwards")
    for line in (mesh.state / "envoy-access.log").read_bytes().splitlines():
        json.loads(line)


def test_a_service_or_a_caller_cannot_write_reasons_into_the_log(mesh: Mesh) -> None:
    mesh.answers = {"x-iamrange-reason": "forged"}
    mesh.curl("/reasons", "-H", "x-iamrange-reason: forged")
    assert [line["reason"] for line in lines_of(mesh, "/reasons", 2)] == [None, None]
    mesh.answers = {}


def test_the_logs_stay_short_and_refusals_are_found_in_the_one_before(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    limit = 20_000
    mesh = Mesh(tmp_path_factory.mktemp("m"), limits=Limits(log_bytes=limit))
    try:
        mesh.mesh("/refused")
        refusals(lambda: read_tls_refusals(mesh.state), 1)
        urls = [f"https://{CUSTOMERS}/{'a' * 200}?[1-60]"]
        old = mesh.state / "envoy-access.log.1"

        def grown() -> bool:
            mesh.curl("/", *urls)
            return old.exists()

        eventually(grown)
        assert [one.reason for one in read_tls_refusals(mesh.state)] == ["no-certificate"]
        mesh.curl("/here")
        lines_of(mesh, "/here")  # it is written to the new one
        for _ in range(5):
            grown()
        new = mesh.state / "envoy-access.log"
        eventually(lambda: new.exists() and new.stat().st_size < limit)
        assert sorted(path.name for path in mesh.state.glob("envoy-access*")) == [
            "envoy-access.log",
            "envoy-access.log.1",
        ]
    finally:
        mesh.stop()
    assert list(mesh.state.iterdir()) == []


def test_a_reader_gets_every_line_once_though_the_log_is_put_aside_again_and_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mesh = Mesh(tmp_path_factory.mktemp("m"), limits=Limits(log_bytes=20_000))
    tail = AccessLogTail(mesh.state)
    paths: list[str] = []
    files: list[int] = []

    def look() -> None:
        for path in mesh.state.glob("envoy-access.log"):
            # a file system gives the number of a file that went to the next one: turns are counted
            number = path.stat().st_ino
            if files[-1:] != [number]:
                files.append(number)
        lines = [json.loads(line) for line in tail.read()]
        paths.extend(line["path"] for line in lines if line["listener"] == "edge")

    def came(path: str) -> bool:
        look()
        return path in paths

    try:
        asked = 0
        while len(files) < 4:
            assert asked < 50
            mesh.curl("/", *(f"https://{CUSTOMERS}/{asked}/{'a' * 200}?[1-60]",))
            mesh.curl(f"/end/{asked}")
            eventually(functools.partial(came, f"/end/{asked}"))
            asked += 1
    finally:
        mesh.stop()
    look()
    assert [path for path in paths if path.startswith("/end/")] == [
        f"/end/{number}" for number in range(asked)
    ]
    assert Counter(path for path in paths if path.endswith("aaa")) == {
        f"/{number}/{'a' * 200}": 60 for number in range(asked)
    }
    assert (tail.gaps, tail.dropped) == (0, 0)
    tail.close()
