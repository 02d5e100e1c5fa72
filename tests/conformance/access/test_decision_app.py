"""The decision service over a real unix socket, asked as Envoy asks it, and as nobody should."""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from iamrange.access.canonical import OVERRIDES
from iamrange.access.decision_app import HEARD_AS_503, REASON_HEADER, TARGET_HEADER, DecisionApp
from iamrange.identity.certificates.forwarded import SECRET_HEADER
from iamrange.network import envoy_authorizer, envoy_config, envoy_headers, envoy_replies
from tests.conformance.access.decision_lab import ANALYST, PAYMENTS, Gateway
from tests.conformance.protected_lab import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.access.evidence import AccessCall

SECRET = secrets.token_urlsafe(32)
LIMIT = 4096
HOST = "customers.iamrange.example"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


class Service:
    """A running decision service."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self.gateway = gateway
        self.path = path

    def ask(self, call: AccessCall, *more: tuple[str, str], secret: str | None = SECRET) -> Answer:
        """Send what Envoy sends of this call."""
        connection = UnixConnection(self.path)
        try:
            connection.putrequest(
                call.method, call.target, skip_host=True, skip_accept_encoding=True
            )
            for host in call.host:
                connection.putheader("host", host)
            for name, values in (
                ("authorization", call.authorization),
                ("dpop", call.dpop),
                ("approval-id", call.approval_id),
                ("x-forwarded-for", (call.peer,)),
                ("x-request-id", (call.request_id,)),
                ("x-iamrange-edge", (secret,) if secret is not None else ()),
            ):
                for value in values:
                    connection.putheader(name, value)
            for name, value in more:
                connection.putheader(name, value)
            body = call.body or b""
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Answer(answer.status, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Send bytes and return what comes back until the server closes, or is silent."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(10)
            peer.connect(self.path)
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            received = b""
            while part := peer.recv(65536):
                received += part
            return received


@contextmanager
def serving(gateway: Gateway, folder: Path, **options: Any) -> Iterator[Service]:  # noqa: ANN401 - handed on
    path = str(folder / "d.sock")
    app = DecisionApp(gateway.decider, SECRET, body_bytes=LIMIT, **options)
    config = uvicorn.Config(
        app, uds=path, log_config=None, lifespan="on", ws="none", http="httptools"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < end
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Service(gateway, path)
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(Gateway(), tmp_path) as running:
        yield running


def test_headers_go_by_the_names_that_the_edge_gives_them() -> None:
    assert SECRET_HEADER.decode() == envoy_config.SECRET_HEADER
    assert TARGET_HEADER.decode() == envoy_headers.TARGET_HEADER
    assert HEARD_AS_503 == envoy_replies.HEARD_AS_503
    assert envoy_headers.REASON_HEADER == REASON_HEADER
    assert set(OVERRIDES) <= set(envoy_authorizer.SHOWN)


def test_an_admitted_call_is_200_and_says_who_calls(service: Service) -> None:
    call = service.gateway.call("/records/latest?after=7")
    answer = service.ask(call)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.values("x-agent-id") == [ANALYST]
    assert answer.values("x-agent-subject") == [ANALYST]
    assert answer.values("x-agent-roles") == ["data-analyst"]
    assert answer.values("dpop-nonce") == [service.gateway.nonces.current()]
    assert service.gateway.record(call).request_id == call.request_id
    assert service.gateway.record(call).source_ip == "127.0.0.1"


def test_a_refusal_says_why_and_how_to_do_better(service: Service) -> None:
    gateway = service.gateway
    answer = service.ask(gateway.call(dpop=(), authorization=()))
    assert answer.status == 401
    assert answer.values("x-iamrange-reason") == ["no-token"]
    assert len(answer.values("www-authenticate")) == 2
    assert "resource_metadata=" in answer.values("www-authenticate")[0]
    assert answer.values("dpop-nonce") == [gateway.nonces.current()]
    assert answer.values("cache-control") == ["no-store"]
    body = json.loads(answer.body)
    assert body["reason"] == "no-token"
    # RFC 6750 section 3.1: whoever sent no credentials is told of no error
    assert "error" not in body
    scope = service.ask(gateway.call(token=gateway.token(scope="read:logs")))
    assert (scope.status, scope.error) == (403, "insufficient_scope")
    assert any('error="insufficient_scope"' in one for one in scope.values("www-authenticate"))
    token = gateway.token()
    stale = gateway.proof(token, f"https://{HOST}/records/latest", nonce="stale")
    nonce = service.ask(gateway.call(token=token, proof=stale))
    assert (nonce.status, nonce.error) == (401, "use_dpop_nonce")
    wrong = service.ask(gateway.call("/profiles/1"))
    assert (wrong.status, wrong.error) == (403, "access_denied")


def test_a_transfer_waits_for_an_approval_of_its_very_body(service: Service) -> None:
    gateway = service.gateway
    refused = service.ask(gateway.transfer())
    assert (refused.status, refused.error) == (403, "approval_required")
    pointer = json.loads(refused.body)["approvals_endpoint"]
    assert pointer == "https://approvals.iamrange.example/requests"
    assert refused.values("link") == [f'<{pointer}>; rel="help"']
    approval = gateway.approval_of(gateway.transfer())
    more = gateway.transfer(approval_id=(approval,), body=b'{"amount":50}')
    assert service.ask(more).values("x-iamrange-reason") == ["approval-for-another-request"]
    good = service.ask(gateway.transfer(approval_id=(approval,)))
    assert good.status == 200
    assert good.values("x-agent-id") == [PAYMENTS]
    again = service.ask(gateway.transfer(approval_id=(approval,)))
    assert (again.status, again.values("x-iamrange-reason")) == (403, ["approval-used"])


def test_a_proof_is_good_once_over_the_wire(service: Service) -> None:
    call = service.gateway.call()
    assert service.ask(call).status == 200
    again = service.ask(call)
    assert (again.status, again.values("x-iamrange-reason")) == (401, ["replayed"])


@pytest.mark.parametrize("secret", [None, "", "x", SECRET[:-1], SECRET + "x", SECRET.lower()])
def test_nobody_but_the_edge_is_believed(service: Service, secret: str | None) -> None:
    answer = service.ask(service.gateway.call(), secret=secret)
    assert (answer.status, answer.values("x-iamrange-reason")) == (421, ["not-the-edge"])
    assert not service.gateway.records


def test_two_secrets_are_none(service: Service) -> None:
    answer = service.ask(service.gateway.call(), ("x-iamrange-edge", SECRET))
    assert answer.status == 421


def test_an_empty_secret_makes_no_service() -> None:
    with pytest.raises(ValueError, match="secret is empty"):
        DecisionApp(Gateway().decider, "")


def test_a_body_is_whole_or_refused(service: Service) -> None:
    gateway = service.gateway
    assert service.ask(gateway.call(body=b"x" * LIMIT)).status == 200
    for call, more in (
        (gateway.call(body=b"x" * (LIMIT + 1)), ()),
        (gateway.call(), (("x-envoy-auth-partial-body", "true"),)),
        (gateway.call(), (("x-envoy-auth-partial-body", "TRUE"),)),
        (gateway.call(), (("x-envoy-auth-partial-body", "false"),) * 2),
    ):
        answer = service.ask(call, *more)
        assert (answer.status, answer.values("x-iamrange-reason")) == (413, ["body-too-long"])
    assert service.ask(gateway.call(), ("x-envoy-auth-partial-body", "false")).status == 200


@pytest.mark.parametrize(
    "name",
    ["x-http-method-override", "X-HTTP-Method", "x-method-override", "x-original-url"],
)
def test_a_method_or_url_in_a_header_is_refused(service: Service, name: str) -> None:
    answer = service.ask(service.gateway.call(), (name, "DELETE"))
    assert (answer.status, answer.values("x-iamrange-reason")) == (400, ["method-override"])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/records/../admin/status", "dot-segment"),
        ("/records/%2e%2e/admin/status", "encoded-dot"),
        ("/records%2Flatest", "encoded-slash"),
        ("/records//latest", "empty-segment"),
        ("/records/latest;x", "path-parameter"),
        ("/records/latest%00", "nul"),
        ("/records\\latest", "backslash"),
        ("/records/%25latest", "double-encoding"),
    ],
)
def test_a_confused_path_is_refused_over_the_wire(
    service: Service, target: str, reason: str
) -> None:
    answer = service.ask(service.gateway.call(target))
    assert (answer.status, answer.values("x-iamrange-reason")) == (400, [reason])


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (("/records/latest#/admin",), "fragment"),
        (("https://hr.iamrange.example/records/latest",), "absolute-form"),
        (("/records/../records/latest",), "dot-segment"),
        (("/records/latest", "/records/newest"), "no-path"),
        (("",), "no-path"),
    ],
)
def test_the_edges_word_on_the_target_counts(
    service: Service, told: tuple[str, ...], reason: str
) -> None:
    answer = service.ask(service.gateway.call(), *(("x-iamrange-target", one) for one in told))
    assert (answer.status, answer.values("x-iamrange-reason")) == (400, [reason])
    good = service.ask(service.gateway.call(), ("x-iamrange-target", "/records/latest"))
    assert good.status == 200


def test_two_hosts_are_refused_over_the_wire(service: Service) -> None:
    call = service.gateway.call(host=(HOST, "hr.iamrange.example"))
    answer = service.ask(call)
    assert (answer.status, answer.values("x-iamrange-reason")) == (400, ["several-hosts"])


def test_a_peer_is_one_address_that_the_edge_saw(service: Service) -> None:
    gateway = service.gateway
    for shown, expected in (("10.0.0.9", "10.0.0.9"), ("1.2.3.4, 127.0.0.1", ""), ("evil", "")):
        call = gateway.call(peer=shown)
        assert service.ask(call).status == 200
        assert gateway.record(call).source_ip == expected


def test_a_request_id_of_another_form_is_not_taken_over(service: Service) -> None:
    gateway = service.gateway
    call = gateway.call(request_id='"<script>', dpop=())
    answer = service.ask(call)
    (name,) = answer.values("x-request-id")
    assert name != call.request_id
    assert json.loads(answer.body)["request_id"] == name
    assert gateway.records[-1].request_id == name


RAW = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"GET /records/latest\r\n\r\n",
    "no host": b"GET /records/latest HTTP/1.1\r\n%s\r\n\r\n",
    "lower case method": b"get /records/latest HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n",
    "unknown method": b"STEAL /records/latest HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n",
    "trace": b"TRACE /records/latest HTTP/1.1\r\nHost: customers.iamrange.example\r\n%s\r\n\r\n",
    "connect": b"CONNECT hr.iamrange.example:443 HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: customers.iamrange.example\r\n%s\r\n\r\n",
    "NUL in the path": b"GET /rec\0ords HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n",
    "raw bytes in the path": b"GET /rec\xc0\xafords HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n",
    "bytes in the host": b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n%s\r\n\r\n",
    "bytes in the token": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: DPoP \xff\r\n%s\r\n\r\n",
    "lengths that differ": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n%s\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n%s\r\n\r\n0\r\n\r\n",
    "a body that ends early": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n%s\r\n\r\nab",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n%s\r\n\r\n",
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
def test_bytes_that_are_no_good_call_are_never_a_200_nor_a_500(
    service: Service, data: bytes
) -> None:
    edge = b"x-iamrange-edge: " + SECRET.encode() + b"\r\nconnection: close"
    received = service.raw(data.replace(b"%s", edge))
    status = received.split(b" ")[1:2]
    assert status in ([], [b"400"], [b"401"], [b"404"], [b"405"], [b"421"]), received[:80]
    assert not any(one.outcome.value == "allow" for one in service.gateway.records)
    assert service.ask(service.gateway.call()).status == 200


def test_an_absolute_form_that_gets_this_far_is_decided_by_the_host_alone(
    service: Service,
) -> None:
    # Envoy sends none on; the HTTP server here takes its path
    good = service.gateway.call()
    call = replace(good, target="https://hr.iamrange.example/records/latest")
    assert service.ask(call).status == 200
    assert service.gateway.record(call).resource == f"https://{HOST}/records/latest"


def test_a_service_in_threads_decides_the_same(tmp_path: Path) -> None:
    with serving(Gateway(), tmp_path, in_threads=True) as running:
        call = running.gateway.call()
        assert running.ask(call).status == 200
        assert running.ask(call).values("x-iamrange-reason") == ["replayed"]
        assert running.ask(running.gateway.call(dpop=())).status == 401


def ask_app(app: DecisionApp, scope: dict[str, Any], *bodies: dict[str, Any]) -> list[Any]:
    sent: list[Any] = []
    unread = list(bodies) or [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return unread.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


EDGE = (SECRET_HEADER, SECRET.encode())


@pytest.mark.parametrize(
    "changed",
    [
        {"raw_path": None},
        {"headers": [EDGE, (b"host", b"\xff")]},
        {"headers": None},
        {"headers": [EDGE, ("host", "text")]},
        {"method": 7},
        {"raw_path": "/text"},
        {"query_string": None},
    ],
)
def test_a_scope_that_is_none_is_a_refusal(changed: dict[str, Any]) -> None:
    app = DecisionApp(Gateway().decider, SECRET)
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/records/latest",
        "query_string": b"",
        "headers": [EDGE, (b"host", HOST.encode())],
        **changed,
    }
    start = ask_app(app, scope)[0]
    assert start["status"] in (400, 401, HEARD_AS_503)
    reasons = [value for name, value in start["headers"] if name == b"x-iamrange-reason"]
    assert reasons


def test_an_edge_that_has_gone_is_answered_nothing() -> None:
    gateway = Gateway()
    scope = {"type": "http", "headers": [EDGE], "method": "GET", "raw_path": b"/"}
    first = {"type": "http.request", "body": b"x", "more_body": True}
    sent = ask_app(DecisionApp(gateway.decider, SECRET), scope, first, {"type": "http.disconnect"})
    assert not sent
    assert not gateway.records


def test_a_websocket_is_closed() -> None:
    sent = ask_app(DecisionApp(Gateway().decider, SECRET), {"type": "websocket"})
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_record_that_cannot_be_kept_refuses() -> None:
    gateway = Gateway()

    def full(_: Any) -> None:  # noqa: ANN401 - a record
        raise OSError("hidden: no space left")

    gateway.tap._sink = full  # noqa: SLF001 - the fault
    call = gateway.call()
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/records/latest",
        "query_string": b"",
        "headers": [
            EDGE,
            (b"host", HOST.encode()),
            (b"authorization", call.authorization[0].encode()),
            (b"dpop", call.dpop[0].encode()),
        ],
    }
    start, body = ask_app(DecisionApp(gateway.decider, SECRET), scope)
    assert start["status"] == HEARD_AS_503
    assert (b"x-iamrange-reason", b"decision-failed") in start["headers"]
    assert b"hidden" not in body["body"]
