"""What the edge shows the decision service, and what becomes of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.identity.certificates.forwarded import parse_forwarded
from iamrange.network.envoy_headers import IDENTITY_HEADERS, IDENTITY_PREFIXES
from tests.conformance.access.envoy_mesh import Answer, Mesh
from tests.conformance.access.envoy_mesh_config import (
    AGENT,
    AUTH,
    CUSTOMERS,
    LOGS,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = ("--http1.1", "--http2")
BODY_BYTES = 64 * 1024


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
    shared.answers.clear()
    return shared


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_is_decided_and_goes_to_its_service(mesh: Mesh, version: str) -> None:
    reply = mesh.curl("/records/latest?a=1", version, "-H", "authorization: DPoP t")
    assert (reply.status, reply.reason) == (200, "")
    call = reply.json
    assert (call["service"], call["target"], call["query"]) == (
        "customers",
        "/records/latest",
        "a=1",
    )
    assert reply.seen["host"] == CUSTOMERS
    assert reply.seen["x-iamrange-edge"] == mesh.config.secret
    assert len(mesh.decisions.seen) == 1
    assert mesh.curl("/", host=LOGS).json["service"] == "logs"


def test_a_host_that_judges_its_callers_itself_is_not_decided_upon(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(status=403)
    assert mesh.curl("/token", host=AUTH).json["service"] == "auth"
    assert mesh.decisions.seen == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_decision_service_sees_what_it_judges_by(mesh: Mesh, version: str) -> None:
    shown = {
        "authorization": "DPoP token",
        "dpop": "proof",
        "approval-id": "a1",
        "content-type": "application/json",
        "user-agent": "agent/1",
        "cookie": "c=1",
        "x-http-method": "DELETE",
    }
    arguments = [part for name, value in shown.items() for part in ("-H", f"{name}: {value}")]
    arguments += ["-H", "x-other: private", "-X", "PUT", "--data-binary", '{"a": 1}']
    file = mesh.file(workload(mesh.authority, AGENT))
    reply = mesh.curl("/records/7?q=%2F", version, *arguments, "--cert", file)
    (seen,) = mesh.decisions.seen
    assert (seen.method, seen.target, seen.body) == ("PUT", "/records/7?q=%2F", b'{"a": 1}')
    assert {name: seen.one(name) for name in shown} == shown
    assert seen.one("host") == CUSTOMERS
    assert seen.one("x-iamrange-edge") == mesh.config.secret
    assert seen.one("x-forwarded-for") == "127.0.0.1"
    assert seen.one("x-request-id") == reply.seen["x-request-id"]
    assert seen.one("x-envoy-auth-partial-body") == "false"
    assert seen.all("x-other") == []
    chain = parse_forwarded(seen.one("x-forwarded-client-cert").encode())
    assert chain is not None
    assert len(chain) == 1
    assert "x-forwarded-client-cert" not in reply.seen


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["dpop", "authorization", "approval-id", "content-type"])
def test_what_is_sent_twice_is_seen_twice_or_joined(mesh: Mesh, name: str, version: str) -> None:
    mesh.curl("/", version, "-H", f"{name}: one", "-H", f"{name}: two")
    (seen,) = mesh.decisions.seen
    assert ",".join(seen.all(name)) == "one,two"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_cannot_say_what_the_edge_says(mesh: Mesh, version: str) -> None:
    names = [*IDENTITY_HEADERS, *(f"{prefix}id" for prefix in IDENTITY_PREFIXES)]
    names += ["x-iamrange-target", "x-iamrange-reason", "x-envoy-auth-partial-body", "X-Agent-Id"]
    for name in names:
        mesh.decisions.seen.clear()
        reply = mesh.curl("/real", version, "-H", f"{name}: forged", "-H", f"{name}: forged2")
        assert reply.status == 200
        assert "forged" not in " ".join(reply.seen.values())
        (seen,) = mesh.decisions.seen
        assert "forged" not in " ".join(value for _, value in seen.headers)
        assert seen.target == "/real"


def test_what_the_decision_service_says_of_the_agent_replaces_what_was_said(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(
        headers=(
            ("x-agent-id", AGENT),
            ("x-agent-roles", "data-analyst"),
            ("authorization", "its own"),
            ("x-forwarded-user", "its own"),
            ("host", "elsewhere.example"),
            ("x-iamrange-edge", "its own"),
            (":path", "/admin"),
        )[:-1]
    )
    seen = mesh.curl("/", "-H", "x-agent-id: forged", "-H", "authorization: Bearer t").seen
    assert (seen["x-agent-id"], seen["x-agent-roles"]) == (AGENT, "data-analyst")
    assert seen["authorization"] == "Bearer t"
    assert seen["host"] == CUSTOMERS
    assert seen["x-iamrange-edge"] == mesh.config.secret
    assert "its own" not in seen.values()


REFUSAL = (
    ("x-iamrange-reason", "replayed-proof"),
    ("www-authenticate", 'DPoP error="use_dpop_nonce", algs="ES256"'),
    ("dpop-nonce", "n1"),
    ("retry-after", "7"),
    ("link", '<https://approvals.iamrange.example/requests>; rel="help"'),
    ("allow", "GET"),
    ("cache-control", "no-store"),
    ("content-type", "application/json"),
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 414, 421, 429])
def test_a_refusal_reaches_the_client_as_it_is(mesh: Mesh, status: int, version: str) -> None:
    body = b'{"error":"invalid_token","reason":"replayed-proof"}'
    private = (("x-agent-id", AGENT), ("x-internal", "1"))
    mesh.decisions.answer = Answer(status, REFUSAL + private, body)
    reply = mesh.curl("/records/latest", version)
    assert (reply.status, reply.body) == (status, body)
    told = dict(reply.headers)
    assert {name: told[name] for name, _ in REFUSAL} == dict(REFUSAL)
    assert not {"x-agent-id", "x-internal"} & told.keys()
    assert mesh.calls == []


def test_a_nonce_reaches_the_client_on_success_too(mesh: Mesh) -> None:
    mesh.decisions.answer = Answer(headers=(("x-agent-id", AGENT), ("dpop-nonce", "n2")))
    told = dict(mesh.curl("/").headers)
    assert told["dpop-nonce"] == "n2"
    assert "x-agent-id" not in told


def test_a_service_cannot_give_reasons_in_the_gateways_name(mesh: Mesh) -> None:
    mesh.answers = {"x-iamrange-reason": "forged"}
    reply = mesh.curl("/")
    assert (reply.status, reply.reason) == (200, "")


def test_424_is_503_with_the_decision_services_own_reason(mesh: Mesh) -> None:
    """Envoy forgets what a 5xx of its said."""
    mesh.decisions.answer = Answer(424, (("x-iamrange-reason", "store-away"),), b'{"error":"e"}')
    reply = mesh.curl("/")
    assert (reply.status, reply.reason, reply.body) == (503, "store-away", b'{"error":"e"}')
    assert mesh.calls == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 40_000, BODY_BYTES - 1])
def test_the_whole_body_is_shown_and_passed_on(mesh: Mesh, size: int, version: str) -> None:
    body = bytes(i * 7 % 256 for i in range(size))
    (mesh.folder / "body").write_bytes(body)
    reply = mesh.curl("/", version, "--data-binary", f"@{mesh.folder / 'body'}")
    assert (reply.status, reply.json["body"]) == (200, size)
    assert mesh.decisions.seen[0].body == body


@pytest.mark.parametrize("length", ["declared", "undeclared"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("more", [1, 4_000, 16_384, 16_385, 1 << 20])
def test_a_longer_body_is_413_and_nobody_is_asked(
    mesh: Mesh, more: int, version: str, length: str
) -> None:
    """Never shown in part: `allow_partial_message: false` alone lets a frame more pass."""
    (mesh.folder / "body").write_bytes(b"a" * (BODY_BYTES + more))
    path = f"/{more}{version}{length}"
    framing = ["-H", "Transfer-Encoding: chunked"] if length == "undeclared" else []
    reply = mesh.curl(path, version, *framing, "--data-binary", f"@{mesh.folder / 'body'}")
    if version == "--http1.1" or reply.status:
        # curl 7.88 drops an answer that comes before the end of its request over HTTP/2, against
        # RFC 9113 section 8.1; that it was given is in the log.
        assert (reply.status, reply.reason) == (413, "body-too-long")
    (line,) = mesh.log(lambda line: line.get("path") == path)
    assert (line["status"], line["reason"]) == (413, "body-too-long")
    assert (mesh.decisions.seen, mesh.calls) == ([], [])


def test_a_service_that_is_away_is_503_with_a_reason_and_comes_back(mesh: Mesh) -> None:
    mesh.take_away("customers")
    reply = mesh.curl("/")
    assert (reply.status, reply.reason) == (503, "service-away")
    mesh.bring_back("customers")
    assert mesh.curl("/").status == 200


@pytest.mark.parametrize(
    "name",
    [
        "x-agent-id",
        "x-iamrange-target",
        "x-iamrange-edge",
        "x-request-id",
        "x-envoy-auth-partial-body",
        "content-length",
        "host",
    ],
)
def test_a_client_cannot_have_removed_what_the_edge_says(mesh: Mesh, name: str) -> None:
    """RFC 9110 section 7.6.1: what `Connection` names goes no further, if it was the client's."""
    reply = mesh.curl("/real", "--http1.1", "-H", f"Connection: {name}", "--data", "a=b")
    if reply.status == 400:
        assert (mesh.decisions.seen, mesh.calls) == ([], [])
        return
    (seen,) = mesh.decisions.seen
    assert (seen.target, seen.body, seen.one("host")) == ("/real", b"a=b", CUSTOMERS)
    assert seen.one("x-iamrange-edge") == mesh.config.secret
    assert seen.one("x-envoy-auth-partial-body") == "false"
    assert (reply.seen["x-agent-id"], reply.json["body"]) == (AGENT, 3)
    assert reply.seen["x-iamrange-edge"] == mesh.config.secret
    assert reply.seen["x-request-id"] == seen.one("x-request-id")
