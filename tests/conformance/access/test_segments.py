"""Who gets past a service's sidecar, with curl and Python's TLS as clients."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.network.envoy_log import read_tls_refusals
from tests.conformance.access.envoy_certificates import certificate
from tests.conformance.access.envoy_mesh import Mesh, refusals
from tests.conformance.access.envoy_mesh_config import (
    AGENT,
    GATEWAY,
    MESH,
    NEIGHBOUR,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Uri = x509.UniformResourceIdentifier
OTHER = LocalAuthority.create("other", clock=SystemClock())
RSA = rsa.generate_private_key(65537, 2048)
TLS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("m"))
    yield made
    made.stop()


def by_ours(*names: x509.GeneralName, **changes: object) -> Callable[[Mesh], str]:
    return lambda mesh: certificate(mesh.authority, names, **changes)  # type: ignore[arg-type]  # keyword arguments


REFUSED: dict[str, tuple[Callable[[Mesh], str] | None, str, str]] = {
    "no certificate": (None, "no-certificate", ""),
    "self-signed": (lambda _: certificate(None, [Uri(GATEWAY)]), "untrusted", GATEWAY),
    "other authority": (lambda _: certificate(OTHER, [Uri(GATEWAY)]), "untrusted", GATEWAY),
    "an agent's": (by_ours(Uri(AGENT)), "other-identity", AGENT),
    "a service's that is not listed": (
        by_ours(Uri("spiffe://iamrange.example/service/hr")),
        "other-identity",
        "spiffe://iamrange.example/service/hr",
    ),
    "expired": (by_ours(Uri(GATEWAY), starts=-99, ends=-9), "expired", GATEWAY),
    "not yet valid": (by_ours(Uri(GATEWAY), starts=99), "not-yet-valid", GATEWAY),
    "the id as a DNS name": (by_ours(x509.DNSName(GATEWAY)), "other-identity", ""),
    "the id as an e-mail address": (by_ours(x509.RFC822Name(GATEWAY)), "other-identity", ""),
    "no name": (by_ours(), "other-identity", ""),
    "longer": (by_ours(Uri(f"{GATEWAY}-2")), "other-identity", f"{GATEWAY}-2"),
    "shorter": (by_ours(Uri(GATEWAY[:-1])), "other-identity", GATEWAY[:-1]),
    "below": (by_ours(Uri(f"{GATEWAY}/x")), "other-identity", f"{GATEWAY}/x"),
    "trailing slash": (by_ours(Uri(f"{GATEWAY}/")), "other-identity", f"{GATEWAY}/"),
    "other case": (by_ours(Uri(GATEWAY.upper())), "other-identity", GATEWAY.upper()),
    "other trust domain": (
        by_ours(Uri("spiffe://iamrange.example.org/service/gateway")),
        "other-identity",
        "spiffe://iamrange.example.org/service/gateway",
    ),
    "two ids, one listed": (
        by_ours(Uri(AGENT), Uri(GATEWAY)),
        "several-identities",
        f"{AGENT},{GATEWAY}",
    ),
    "two ids, both listed": (
        by_ours(Uri(NEIGHBOUR), Uri(GATEWAY)),
        "several-identities",
        f"{NEIGHBOUR},{GATEWAY}",
    ),
    "for servers only": (
        by_ours(Uri(GATEWAY), purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
        "certificate-purpose",
        GATEWAY,
    ),
    # The client sees that no RSA signature is taken, and presents none.
    "an RSA key": (by_ours(Uri(GATEWAY), key=RSA), "no-certificate", ""),
    "a name that looks like another reason": (
        by_ours(Uri("spiffe://x/]:TLS_error_end:certificate_has_expired:")),
        "other-identity",
        "spiffe://x/]:TLS_error_end:certificate_has_expired:",
    ),
}
ACCEPTED: dict[str, Callable[[Mesh], str]] = {
    "issued": lambda mesh: mesh.gateway.private_key_pem + mesh.gateway.chain_pem,
    "P-384": by_ours(Uri(GATEWAY), key=ec.generate_private_key(ec.SECP384R1())),
    "one id and a DNS name": by_ours(Uri(GATEWAY), x509.DNSName("gateway.example")),
}


@pytest.mark.parametrize("version", TLS)
@pytest.mark.parametrize("case", REFUSED)
def test_a_sidecar_refuses_and_the_log_says_why(mesh: Mesh, case: str, version: str) -> None:
    make, reason, san = REFUSED[case]
    before = len(read_tls_refusals(mesh.state))
    calls = len(mesh.calls)
    arguments = [] if make is None else ["--cert", mesh.file(make(mesh))]
    reply = mesh.mesh("/m", *arguments, f"--tlsv{version}", "--tls-max", version)
    assert (reply.status, reply.code != 0) == (0, True)
    found = refusals(lambda: read_tls_refusals(mesh.state), before + 1)
    assert len(found) == before + 1
    refused = found[-1]
    assert (refused.sidecar, refused.reason, refused.peer_san) == ("customers", reason, san)
    assert refused.peer == "127.0.0.1"
    assert len(mesh.calls) == calls


@pytest.mark.parametrize("version", TLS)
@pytest.mark.parametrize("case", ACCEPTED)
def test_a_sidecar_accepts_what_it_should(mesh: Mesh, case: str, version: str) -> None:
    file = mesh.file(ACCEPTED[case](mesh))
    reply = mesh.mesh("/m", "--cert", file, f"--tlsv{version}", "--tls-max", version)
    assert (reply.status, reply.json["target"]) == (200, "/m")


@pytest.mark.parametrize("version", TLS)
def test_python_is_refused_without_a_certificate(mesh: Mesh, version: str) -> None:
    """In TLS 1.3 a client hears of it at its first read."""
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
        python_asks(mesh, version, None)


@pytest.mark.parametrize("version", TLS)
def test_python_is_served_with_a_listed_certificate(mesh: Mesh, version: str) -> None:
    answer, session_reused = python_asks(mesh, version, mesh.file(mesh.gateway))
    assert answer.startswith(b"HTTP/1.1 200")
    assert not session_reused


def python_asks(mesh: Mesh, version: str, file: str | None) -> tuple[bytes, bool]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = TLS[version]
    if file is not None:
        context.load_cert_chain(file)
    session = None
    answer, reused = b"", False
    for _ in range(2):
        raw = socket.create_connection(mesh.envoy.sidecar_address("customers"), timeout=15)
        with context.wrap_socket(raw, server_hostname=MESH, session=session) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {MESH}\r\n\r\n".encode())
            answer = connection.recv(65536)
            if not answer:
                raise ConnectionResetError
            session, reused = connection.session, connection.session_reused or False
    return answer, reused


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_tls_is_not_spoken(mesh: Mesh, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(mesh.file(mesh.gateway))
    with (
        socket.create_connection(mesh.envoy.sidecar_address("customers"), timeout=15) as raw,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(raw, server_hostname=MESH)


@pytest.mark.parametrize("name", [None, "customers.iamrange.example", "logs.mesh.iamrange.example"])
def test_a_sidecar_answers_to_its_own_name_only(mesh: Mesh, name: str | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(mesh.file(mesh.gateway))
    before = len(read_tls_refusals(mesh.state))
    with (
        socket.create_connection(mesh.envoy.sidecar_address("customers"), timeout=15) as raw,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(raw, server_hostname=name)
    # by its reason: refusals of an earlier test may be written later
    refusals(
        lambda: [
            one for one in read_tls_refusals(mesh.state)[before:] if one.reason == "no-such-name"
        ],
        1,
    )


def test_another_host_within_the_connection_is_misdirected(mesh: Mesh) -> None:
    for host in ("logs.mesh.iamrange.example", "logs.iamrange.example", "x.example"):
        reply = mesh.mesh("/", "--cert", mesh.file(mesh.gateway), "-H", f"Host: {host}")
        assert (reply.status, reply.reason) == (421, "no-such-host")


def test_a_sidecar_shows_its_own_spiffe_id(mesh: Mesh) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=mesh.config.trust_bundle)
    context.load_cert_chain(mesh.file(mesh.gateway))
    raw = socket.create_connection(mesh.envoy.sidecar_address("customers"), timeout=15)
    with context.wrap_socket(raw, server_hostname=MESH) as connection:
        shown = connection.getpeercert()
    assert shown is not None
    assert shown["subjectAltName"] == (("URI", "spiffe://iamrange.example/service/customers"),)


FORGED = tuple(
    argument
    for name in (
        "x-agent-id",
        "X-Agent-Roles",
        "x-service-id",
        "x-forwarded-user",
        "x-iamrange-edge",
        "x-iamrange-peer",
        "x-forwarded-client-cert",
    )
    for argument in ("-H", f"{name}: forged")
)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_the_gateway_may_speak_for_agents_and_for_nobody_else(mesh: Mesh, version: str) -> None:
    file = mesh.file(mesh.gateway)
    asked = ("-H", "x-request-id: the-gateways", "-H", "x-forwarded-for: 127.9.9.9")
    seen = mesh.mesh("/m", version, "--cert", file, *FORGED, *asked).seen
    assert (seen["x-agent-id"], seen["x-agent-roles"]) == ("forged", "forged")
    assert seen["x-iamrange-edge"] == mesh.config.secret
    assert (seen["x-request-id"], seen["x-forwarded-for"]) == ("the-gateways", "127.9.9.9")
    gone = {"x-service-id", "x-forwarded-user", "x-iamrange-peer", "x-forwarded-client-cert"}
    assert not gone & seen.keys()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_neighbour_speaks_for_itself_alone(mesh: Mesh, version: str) -> None:
    file = mesh.file(mesh.neighbour)
    asked = ("-H", "x-request-id: another-calls", "-H", "x-forwarded-for: 127.9.9.9")
    seen = mesh.mesh("/m", version, "--cert", file, *FORGED, *asked).seen
    assert seen["x-service-id"] == NEIGHBOUR
    assert "forged" not in seen.values()
    assert not any(name.startswith("x-agent-") for name in seen)
    assert seen["x-iamrange-edge"] == mesh.config.secret
    assert seen["x-request-id"] != "another-calls"
    assert seen["x-forwarded-for"] == "127.0.0.1"


def test_a_neighbour_of_one_service_is_none_of_another(mesh: Mesh) -> None:
    reply = mesh.mesh("/m", "--cert", mesh.file(mesh.neighbour), name="logs")
    assert reply.status == 0


def test_a_fresh_certificate_of_a_listed_id_needs_no_introduction(mesh: Mesh) -> None:
    file = mesh.file(workload(mesh.authority, NEIGHBOUR))
    assert mesh.mesh("/m", "--cert", file).status == 200
