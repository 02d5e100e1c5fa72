"""Certificates and authorities replaced while calls run, and what becomes of those that end."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.network.envoy import Limits
from iamrange.network.envoy_log import read_tls_refusals
from tests.conformance.access.envoy_certificates import certificate
from tests.conformance.access.envoy_mesh import Mesh, eventually, refusals
from tests.conformance.access.envoy_mesh_config import (
    CUSTOMERS,
    GATEWAY,
    MESH,
    bundle,
    lists,
    service_id,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iamrange.network.envoy import WorkloadCertificate

# A connection between gateway and sidecar lives for so long: handshakes all the time.
BRIEF = Limits(connection=0.02)


@pytest.fixture
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("m"), limits=BRIEF)
    yield made
    made.stop()


class Traffic:
    """Calls without end over kept connections; what does not end in 200 is kept."""

    def __init__(self, mesh: Mesh) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._mesh = mesh
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(3)]

    def _call(self) -> None:
        with self._mesh.connect() as raw:
            client = http.client.HTTPConnection(CUSTOMERS)
            client.sock = raw
            while not self._ended.is_set():
                client.request("POST", "/records", body=b"a" * 1000)
                answer = client.getresponse()
                text = answer.read()
                self.answered += 1
                if answer.status != 200:
                    self.failed.append(f"{answer.status} {answer.headers} {text[:200]!r}")

    def more(self, calls: int = 100) -> None:
        """Wait for so many calls more."""
        enough = self.answered + calls
        eventually(lambda: self.answered >= enough or not self._threads[0].is_alive())

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def gateways_certificate(mesh: Mesh) -> str:
    """Return the fingerprint that the sidecar saw last."""
    lines = mesh.log(lambda line: line.get("listener") == "sidecar:customers")
    return str(lines[-1]["client_certificate_sha256"])


def sidecars_serial(mesh: Mesh, *, trusted: str, shown: WorkloadCertificate) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=trusted)
    context.load_cert_chain(mesh.file(shown))
    raw = socket.create_connection(mesh.envoy.sidecar_address("customers"), timeout=15)
    with context.wrap_socket(raw, server_hostname=MESH) as connection:
        found = connection.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def test_certificates_are_replaced_without_a_failed_call(mesh: Mesh) -> None:
    with Traffic(mesh) as traffic:
        traffic.more()
        before = gateways_certificate(mesh)
        serials = set()
        for _ in range(8):
            mesh.envoy.replace_gateway_svid(workload(mesh.authority, GATEWAY))
            mesh.envoy.replace_sidecar_svid(
                "customers", workload(mesh.authority, service_id("customers"))
            )
            traffic.more()
            serials.add(sidecars_serial(mesh, trusted=bundle(mesh.authority), shown=mesh.neighbour))
        eventually(lambda: gateways_certificate(mesh) != before)
    assert traffic.failed == []
    assert traffic.answered > 800
    assert len(serials) > 4
    assert mesh.mesh("/").status == 0
    found = refusals(lambda: read_tls_refusals(mesh.state), 1)
    assert [one.reason for one in found] == ["no-certificate"]  # and none of those calls


def test_the_authority_is_replaced_without_a_failed_call(mesh: Mesh) -> None:
    """The new one is believed first, then it issues, then the old one is forgotten."""
    new = LocalAuthority.create("new", clock=SystemClock())
    with Traffic(mesh) as traffic:
        traffic.more()
        mesh.envoy.replace_trust_bundle(bundle(mesh.authority, new), lists(mesh.authority, new))
        traffic.more()
        mesh.envoy.replace_gateway_svid(workload(new, GATEWAY))
        for name in ("customers", "logs"):
            mesh.envoy.replace_sidecar_svid(name, workload(new, service_id(name)))
        traffic.more()
        mesh.envoy.replace_trust_bundle(bundle(new), lists(new))
        traffic.more(300)
    assert traffic.failed == []
    old = mesh.file(workload(mesh.authority, GATEWAY))
    assert mesh.mesh("/", "--cert", old).status == 0
    found = refusals(lambda: read_tls_refusals(mesh.state), 1)
    assert [one.reason for one in found] == ["untrusted"]
    assert mesh.mesh("/", "--cert", mesh.file(workload(new, GATEWAY))).status == 200


def test_the_edges_certificate_is_replaced_without_a_failed_call(mesh: Mesh) -> None:
    def shown() -> str:
        with mesh.connect() as connection:
            found = connection.getpeercert()
        assert found is not None
        return str(found["serialNumber"])

    with Traffic(mesh) as traffic:
        before = shown()
        mesh.envoy.replace_certificate(mesh.ca.server_certificate(list(mesh.config.hosts)))
        eventually(lambda: shown() != before)
        traffic.more()
    assert traffic.failed == []


def calls_are_refused(mesh: Mesh) -> Callable[[], bool]:
    def refused() -> bool:
        reply = mesh.curl("/")
        return (reply.status, reply.reason) == (503, "service-away")

    return refused


def test_a_gateway_whose_svid_has_expired_is_refused_until_it_has_another(mesh: Mesh) -> None:
    assert mesh.curl("/").status == 200
    mesh.envoy.replace_gateway_svid(workload(mesh.authority, GATEWAY, life=1))
    eventually(calls_are_refused(mesh))
    calls = len(mesh.calls)
    found = refusals(lambda: read_tls_refusals(mesh.state), 1)
    assert {(one.sidecar, one.reason, one.peer_san) for one in found} == {
        ("customers", "expired", GATEWAY)
    }
    assert len(mesh.calls) == calls
    mesh.envoy.replace_gateway_svid(workload(mesh.authority, GATEWAY))
    eventually(lambda: mesh.curl("/").status == 200)


def test_a_sidecar_whose_svid_has_expired_is_not_believed(mesh: Mesh) -> None:
    mesh.envoy.replace_sidecar_svid(
        "customers", workload(mesh.authority, service_id("customers"), life=1)
    )
    eventually(calls_are_refused(mesh))
    (line, *_) = mesh.log(
        lambda line: line["listener"] == "edge" and "expired" in str(line.get("upstream_failure"))
    )
    assert line["status"] == 503
    mesh.envoy.replace_sidecar_svid("customers", workload(mesh.authority, service_id("customers")))
    eventually(lambda: mesh.curl("/").status == 200)


def test_a_kept_connection_ends_some_time_after_its_certificate(mesh: Mesh) -> None:
    """What was proved at a handshake is proved again after `Limits.connection`."""
    mesh.envoy.replace_gateway_svid(workload(mesh.authority, GATEWAY, life=2))
    with mesh.connect() as raw:
        client = http.client.HTTPConnection(CUSTOMERS)
        client.sock = raw
        deadline = time.monotonic() + 15
        status = 200
        while status == 200:
            assert time.monotonic() < deadline
            client.request("GET", "/")
            answer = client.getresponse()
            answer.read()
            status = answer.status
        assert status == 503


def test_another_ids_svid_is_not_taken(mesh: Mesh) -> None:
    """Sidecars let the gateway's id speak for agents, and the gateway expects the sidecar's."""
    other = workload(mesh.authority, service_id("hr"))
    with pytest.raises(ValueError, match="expected"):
        mesh.envoy.replace_gateway_svid(other)
    with pytest.raises(ValueError, match="expected"):
        mesh.envoy.replace_sidecar_svid("customers", other)
    with pytest.raises(KeyError):
        mesh.envoy.replace_sidecar_svid("hr", other)
    with pytest.raises(ValueError, match="trust bundle"):
        mesh.envoy.replace_trust_bundle("", "")
    with pytest.raises(ValueError, match="revocation lists"):
        mesh.envoy.replace_trust_bundle(bundle(mesh.authority), "")
    assert mesh.curl("/").status == 200


def test_the_gateway_believes_no_sidecar_but_its_own(mesh: Mesh) -> None:
    """A listener in its place with a neighbour's certificate, or an agent's, is not spoken to."""
    path = mesh.state / "customers.sock"
    for text in (
        certificate(mesh.authority, [], purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
        *(workload_text(mesh, one) for one in (service_id("logs"), GATEWAY)),
    ):
        path.unlink()
        with impostor(path, mesh.file(text, "impostor.pem")) as heard:
            eventually(calls_are_refused(mesh))
        assert heard == []


def workload_text(mesh: Mesh, spiffe_id: str) -> str:
    made = workload(mesh.authority, spiffe_id)
    return made.private_key_pem + made.chain_pem


@contextlib.contextmanager
def impostor(path: object, file: str) -> Iterator[list[bytes]]:
    """Listen where the sidecar did, and keep whatever is said there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    heard: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(0.1)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                raw, _ = listener.accept()
                raw.settimeout(5)
                with context.wrap_socket(raw, server_side=True) as connection:
                    data = connection.recv(65536)
                    if data:
                        heard.append(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        ended.set()
        thread.join()
        listener.close()


def test_a_neighbours_kept_connection_ends_some_time_after_its_handshake(mesh: Mesh) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(mesh.file(mesh.neighbour))
    raw = socket.create_connection(mesh.envoy.sidecar_address("customers"), timeout=15)
    with context.wrap_socket(raw, server_hostname=MESH) as connection:
        deadline = time.monotonic() + 15
        with contextlib.suppress(OSError):
            while True:
                assert time.monotonic() < deadline
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {MESH}\r\n\r\n".encode())
                answer = connection.recv(65536)
                if not answer or b"connection: close" in answer:
                    break
