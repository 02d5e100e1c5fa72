"""Decisions through the real Envoy: what it shows us, what it makes of our answers, what it fails.

The service behind counts what reaches it: nothing does that was not admitted.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from iamrange.access.decision_app import DecisionApp
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy import EnvoyMissingError, EnvoyProcess
from iamrange.network.envoy_binary import find_envoy
from iamrange.network.envoy_config import Authorizer, EnvoyConfig, Upstream
from tests.conformance.access.decision_lab import ANALYST, PAYMENTS, Gateway
from tests.conformance.protected_lab import NOW, Answer, b64

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from iamrange.access.evidence import AccessCall

HOSTS = tuple(f"{name}.iamrange.example" for name in ("customers", "payments", "logs"))
LIMIT = 4096

try:
    find_envoy()
except EnvoyMissingError as error:
    pytest.skip(str(error), allow_module_level=True)


class World:
    """Envoy, the decision service and a service, in a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gateway = Gateway()
        self.reached: list[dict[str, Any]] = []
        self.ca = CertificateAuthority.create("test")
        self.config = EnvoyConfig(
            upstreams=(Upstream(HOSTS, folder / "service.sock", judged=True),),
            certificate=self.ca.server_certificate(HOSTS),
            authorizer=Authorizer(socket=folder / "d.sock", body_bytes=LIMIT, timeout=2),
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.service = self.serve(self.answer, "service.sock")
        self.decisions = self.serve(self.app(), "d.sock")
        (folder / "envoy").mkdir()
        self.envoy = self.run(EnvoyProcess.start(self.config, folder / "envoy"))

    def app(self) -> DecisionApp:
        return DecisionApp(self.gateway.decider, self.config.secret, body_bytes=LIMIT)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def serve(self, app: Any, name: str) -> uvicorn.Server:  # noqa: ANN401 - an ASGI app
        config = uvicorn.Config(
            app,
            uds=str(self.folder / name),
            interface="asgi3",
            log_config=None,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        self.run(server.startup())
        return server

    def end(self, server: uvicorn.Server) -> None:
        async def close() -> None:
            server.force_exit = True
            await server.shutdown()

        self.run(close())

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        self.reached.append({"path": scope["raw_path"].decode(), "headers": headers, "body": body})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the record"})

    def close(self) -> None:
        self.run(self.envoy.stop())
        for server in (self.service, self.decisions):
            self.end(server)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def connect(self, certificate: Path | None = None) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.ca.pem)
        if certificate is not None:
            context.load_cert_chain(certificate)
        plain = socket.create_connection(("127.0.0.1", self.envoy.port), timeout=20)
        return context.wrap_socket(plain, server_hostname=HOSTS[0])

    def send(
        self, call: AccessCall, *more: tuple[str, str], certificate: Path | None = None
    ) -> Answer:
        """Make a call as an agent makes it."""
        connection = http.client.HTTPConnection(HOSTS[0])
        connection.sock = self.connect(certificate)
        try:
            connection.putrequest(
                call.method, call.target, skip_host=True, skip_accept_encoding=True
            )
            for host in call.host:
                connection.putheader("Host", host)
            for value in call.authorization:
                connection.putheader("Authorization", value)
            for value in call.dpop:
                connection.putheader("DPoP", value)
            for value in call.approval_id:
                connection.putheader("Approval-Id", value)
            for name, value in more:
                connection.putheader(name, value)
            if call.body:
                connection.putheader("Content-Length", str(len(call.body)))
            connection.endheaders(call.body or None)
            answer = connection.getresponse()
            return Answer(answer.status, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def refused(self, call: AccessCall, *more: tuple[str, str]) -> tuple[int, str]:
        """Make a call that must not reach the service; return its status and reason."""
        before = len(self.reached)
        answer = self.send(call, *more)
        assert len(self.reached) == before, answer.status
        (reason,) = answer.values("x-iamrange-reason")
        return answer.status, reason


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    running = World(tmp_path_factory.mktemp("w"))
    try:
        yield running
    finally:
        running.close()


def test_an_admitted_call_reaches_the_service_with_who_calls(world: World) -> None:
    call = world.gateway.call("/records/latest?after=7")
    forged = (("x-agent-id", "spiffe://iamrange.example/agent/adam"), ("X-Agent-Roles", "admin"))
    answer = world.send(call, *forged)
    assert (answer.status, answer.body) == (200, b"the record")
    assert answer.values("dpop-nonce") == [world.gateway.nonces.current()]
    seen = world.reached[-1]
    assert seen["path"].startswith("/records/latest")
    told = [pair for pair in seen["headers"] if pair[0].startswith("x-agent-")]
    assert sorted(told) == [
        ("x-agent-id", ANALYST),
        ("x-agent-roles", "data-analyst"),
        ("x-agent-subject", ANALYST),
    ]
    (request_id,) = [value for name, value in seen["headers"] if name == "x-request-id"]
    records = [one for one in world.gateway.records if one.request_id == request_id]
    assert {one.point for one in records} == {"gateway.call", "rs.token"}
    assert {one.source_ip for one in records} == {"127.0.0.1"}


def test_each_thing_that_should_be_there_has_its_status_and_reason(world: World) -> None:
    gateway = world.gateway
    bare = gateway.call(authorization=(), dpop=())
    assert world.refused(bare) == (401, "no-token")
    assert world.refused(gateway.call(dpop=())) == (401, "missing-proof")
    bearer = gateway.call(authorization=(f"Bearer {gateway.token()}",), dpop=())
    assert world.refused(bearer) == (401, "bound-token-as-bearer")
    assert world.refused(gateway.call(token=gateway.token(exp=NOW - 60))) == (401, "expired")
    scope = gateway.call(token=gateway.token(scope="read:logs"))
    assert world.refused(scope) == (403, "insufficient-scope")
    assert world.refused(gateway.call("/profiles/7")) == (403, "data-above-ceiling")
    assert world.refused(gateway.call("/nothing")) == (404, "no-route")
    assert world.refused(gateway.call("/records/latest", "POST")) == (405, "method-not-allowed")
    assert world.refused(gateway.transfer()) == (403, "approval-required")
    once = gateway.call()
    assert world.send(once).status == 200
    assert world.refused(once) == (401, "replayed")


def client_certificate(folder: Path, name: str) -> tuple[Path, str]:
    """A self-signed certificate with its key, and its thumbprint (RFC 8705 section 3.1)."""
    made = new_key_and_request(f"spiffe://iamrange.example/agent/{name}")
    key: Any = serialization.load_pem_private_key(made.private_key_pem.encode(), None)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    file.write_text(made.private_key_pem + pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return file, b64(hashlib.sha256(der).digest())


def test_a_token_that_is_bound_to_a_certificate_needs_that_connection(world: World) -> None:
    own, thumbprint = client_certificate(world.folder, "own")
    other, _ = client_certificate(world.folder, "other")
    token = world.gateway.token(cnf={"x5t#S256": thumbprint})
    call = world.gateway.call(authorization=(f"Bearer {token}",), dpop=())
    assert world.refused(call) == (401, "missing-certificate")
    answer = world.send(call, certificate=other)
    assert answer.values("x-iamrange-reason") == ["certificate-mismatch"]
    forged = world.send(call, ("x-forwarded-client-cert", "Hash=00"))
    assert forged.values("x-iamrange-reason") == ["missing-certificate"]
    assert world.send(call, certificate=own).status == 200


def test_the_metadata_is_for_everybody_and_speaks_for_nobody(world: World) -> None:
    call = world.gateway.call("/.well-known/oauth-protected-resource", authorization=(), dpop=())
    assert world.send(call, ("x-agent-id", ANALYST)).status == 200
    names = [name for name, _ in world.reached[-1]["headers"]]
    assert not any(name.startswith("x-agent-") for name in names)
    posted = world.gateway.call(
        "/.well-known/oauth-protected-resource", "POST", authorization=(), dpop=()
    )
    assert world.refused(posted) == (404, "no-route")


def test_a_refusal_keeps_its_challenges_and_its_pointer(world: World) -> None:
    gateway = world.gateway
    answer = world.send(gateway.call(dpop=(), authorization=()))
    assert len(answer.values("www-authenticate")) == 2
    assert answer.values("dpop-nonce") == [gateway.nonces.current()]
    waiting = world.send(gateway.transfer())
    assert json.loads(waiting.body)["approvals_endpoint"].startswith("https://approvals.")
    assert waiting.values("link")
    wrong = world.send(gateway.call("/records/latest", "POST"))
    assert wrong.values("allow") == ["GET"]


def test_an_approved_transfer_goes_through_once(world: World) -> None:
    gateway = world.gateway
    approval = gateway.approval_of(gateway.transfer())
    changed = gateway.transfer(approval_id=(approval,), body=b'{"amount":5000}')
    assert world.refused(changed) == (403, "approval-for-another-request")
    good = gateway.transfer(approval_id=(approval,))
    assert world.refused(good, ("Content-Encoding", "gzip")) == (400, "encoded-body")
    good = gateway.transfer(approval_id=(approval,))
    assert world.send(good).status == 200
    assert world.reached[-1]["body"] == b'{"amount":5}'
    assert dict(world.reached[-1]["headers"])["x-agent-id"] == PAYMENTS
    again = gateway.transfer(approval_id=(approval,))
    assert world.refused(again) == (403, "approval-used")


@pytest.mark.parametrize(
    "target",
    [
        "/records/../admin/status",
        "/records/%2e%2e/admin/status",
        "/records/..%2fadmin/status",
        "/records/..%5cadmin/status",
        "/records/..\\admin/status",
        "/records/..;/admin/status",
        "/records//latest",
        "//records/latest",
        "/records/./latest",
        "/records/latest/",
        "/records/latest.",
        "/records/latest%00",
        "/records/%252e%252e/admin",
        "/records/%c0%af",
        "/%72ecords/latest",
        "/records/latest;a=b",
    ],
)
def test_a_confused_path_reaches_nobody(world: World, target: str) -> None:
    before = len(world.reached)
    answer = world.send(world.gateway.call(target))
    assert answer.status in (400, 404)
    assert answer.values("x-iamrange-reason")
    assert len(world.reached) == before


def test_a_method_in_a_header_is_refused_or_stripped(world: World) -> None:
    for name in ("X-HTTP-Method", "X-Method-Override"):
        assert world.refused(world.gateway.call(), (name, "DELETE")) == (400, "method-override")
    assert world.send(world.gateway.call(), ("X-HTTP-Method-Override", "DELETE")).status == 200
    names = [name for name, _ in world.reached[-1]["headers"]]
    assert "x-http-method-override" not in names


def test_another_services_name_on_this_connection_is_judged_as_that_service(world: World) -> None:
    call = replace(world.gateway.call(), host=("logs.iamrange.example",))
    assert world.refused(call) == (401, "wrong-audience")


def test_a_body_too_long_to_be_seen_whole_is_413(world: World) -> None:
    call = world.gateway.transfer(body=b"x" * (LIMIT + 1))
    before = len(world.reached)
    assert world.send(call).status == 413
    assert len(world.reached) == before


def test_headers_without_end_are_431_and_too_many_are_refused(world: World) -> None:
    before = len(world.reached)
    huge = world.send(world.gateway.call(), ("x-more", "a" * 40_000))
    assert huge.status == 431
    many = world.send(world.gateway.call(), *((f"x-more-{n}", "a") for n in range(100)))
    assert many.status == 431
    long_token = world.gateway.call(authorization=("DPoP " + "a" * 9_000,))
    assert world.refused(long_token) == (431, "too-long")
    assert len(world.reached) == before


def test_no_decision_service_no_call_and_it_recovers_alone(world: World) -> None:
    calls = [world.gateway.call() for _ in range(3)]
    world.end(world.decisions)
    before = len(world.reached)
    for call in calls[:2]:
        assert world.refused(call) == (503, "decision-service-away")
    assert len(world.reached) == before
    (world.folder / "d.sock").unlink(missing_ok=True)
    world.decisions = world.serve(world.app(), "d.sock")
    end = time.monotonic() + 20
    while world.send(world.gateway.call()).status != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_decision_that_breaks_is_503_and_reaches_nobody(world: World) -> None:
    def breaks(_: Any) -> Any:  # noqa: ANN401 - anything's
        raise RuntimeError("hidden")

    verifiers = world.gateway.decider._verifiers  # noqa: SLF001 - the fault
    world.gateway.decider._verifiers = breaks  # noqa: SLF001 - the fault
    try:
        answer = world.send(world.gateway.call())
    finally:
        world.gateway.decider._verifiers = verifiers  # noqa: SLF001 - the fault
    assert (answer.status, answer.values("x-iamrange-reason")) == (503, ["decision-failed"])
    assert "hidden" not in answer.text


STORES: dict[str, tuple[Callable[[Gateway], Any], str]] = {
    "directory": (lambda g: g.directory, "revocation-unavailable"),
    "approvals": (lambda g: g.book, "approvals-unavailable"),
}


@pytest.mark.parametrize("store", sorted(STORES))
def test_a_store_that_is_away_is_503_in_the_decision_services_own_words(
    world: World, store: str
) -> None:
    which, reason = STORES[store]
    gateway = world.gateway
    approval = gateway.approval_of(gateway.transfer())
    before = len(world.reached)
    which(gateway).away = True
    try:
        answer = world.send(gateway.transfer(approval_id=(approval,)))
    finally:
        which(gateway).away = False
    assert (answer.status, answer.values("x-iamrange-reason")) == (503, [reason])
    told = json.loads(answer.body)
    assert (told["error"], told["reason"]) == ("temporarily_unavailable", reason)
    assert answer.values("retry-after")
    assert len(world.reached) == before
    assert world.send(gateway.transfer(approval_id=(approval,))).status == 200


def test_many_calls_at_once_spend_one_proof_once(world: World) -> None:
    call = world.gateway.call()
    before = len(world.reached)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(world.send(call).status)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 15
    assert len(world.reached) == before + 1
