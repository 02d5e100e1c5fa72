"""What of a client's certificate reaches a service behind the real Envoy."""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from iamrange.identity.certificates.client_chain import (
    ChainRefusal,
    VerifiedClient,
    verify_client,
)
from iamrange.identity.certificates.svid import thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AUTH = "auth.iamrange.example"
AGENT = "spiffe://iamrange.example/agent/data-analyst"
Served = Any  # conftest's: tests are no packages, so that it cannot be imported
HOUR = dt.timedelta(hours=1)


def chain_of(answer: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(der) for der in answer["chain"])


def self_signed(folder: Path, key: object, *, ended: bool = False) -> tuple[Path, bytes]:
    """Return a file with the key and its certificate, and the certificate."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self")])
    now = dt.datetime.now(dt.UTC)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[attr-defined]  # every private key has one
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * HOUR)
        .not_valid_after(now - HOUR if ended else now + HOUR)
        .sign(key, algorithm)  # type: ignore[arg-type]  # a private key
    )
    private = key.private_bytes(  # type: ignore[attr-defined]  # every private key has one
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "self.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path, certificate.public_bytes(serialization.Encoding.DER)


def test_an_svid_arrives_and_proves_its_id(served: Served) -> None:
    path = served.svid()
    chain = chain_of(served.get(certificate=path).json())
    pem = path.read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2]
    assert chain == (x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER),)
    verified = verify_client(chain, served.authority.trust_bundle(), time.time())
    assert verified == VerifiedClient(AGENT, thumbprint(chain[0]))


def test_no_certificate_is_none(served: Served) -> None:
    assert chain_of(served.get().json()) == ()


KEYS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("ended", [False, True], ids=["valid", "ended"])
def test_a_self_signed_certificate_arrives_for_the_service_to_judge(
    served: Served, tmp_path: Path, kind: str, *, ended: bool
) -> None:
    path, der = self_signed(tmp_path, KEYS[kind](), ended=ended)
    chain = chain_of(served.get(certificate=path).json())
    assert chain == (der,)
    refused = verify_client(chain, served.authority.trust_bundle(), time.time())
    assert isinstance(refused, ChainRefusal)


def test_a_key_that_tls_does_not_take_from_clients_is_no_certificate(
    served: Served, tmp_path: Path
) -> None:
    """Ed25519 is not offered to clients: what they do then is theirs, nothing arrives."""
    path, _ = self_signed(tmp_path, ed25519.Ed25519PrivateKey.generate())
    try:
        answer = served.get(certificate=path)
    except requests.exceptions.ConnectionError:
        return
    assert chain_of(answer.json()) == ()


def test_a_chain_arrives_leaf_first(served: Served, tmp_path: Path) -> None:
    path, der = self_signed(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "other").mkdir()
    other, other_der = self_signed(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    both = tmp_path / "both.pem"
    extra = other.read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2]
    both.write_bytes(path.read_bytes() + extra)
    assert chain_of(served.get(certificate=both).json()) == (der, other_der)


def test_a_chain_beyond_measure_is_no_certificate(served: Served, tmp_path: Path) -> None:
    path, _ = self_signed(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    extra = path.read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2]
    path.write_bytes(path.read_bytes() + extra * 40)
    answer = served.get(certificate=path)
    assert (answer.status_code, chain_of(answer.json())) == (200, ())


def forged(der: bytes) -> str:
    pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
    encoded = "".join(f"%{byte:02X}" for byte in pem.encode())
    return f'Cert="{encoded}";Chain="{encoded}"'


SPELLINGS = (
    "x-forwarded-client-cert",
    "X-Forwarded-Client-Cert",
    "X-FORWARDED-CLIENT-CERT",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("with_own", [False, True], ids=["without-own", "with-own"])
def test_a_forged_certificate_header_does_not_arrive(
    served: Served, tmp_path: Path, spelling: str, *, with_own: bool
) -> None:
    victim = served.svid()
    victim_der = chain_of(served.get(certificate=victim).json())[0]
    own, own_der = self_signed(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    headers = {spelling: forged(victim_der), "x-iamrange-edge": "guessed"}
    seen = served.get(certificate=own if with_own else None, headers=headers).json()
    assert chain_of(seen) == ((own_der,) if with_own else ())
    assert not {"x-forwarded-client-cert", "x-iamrange-edge"} & {
        name for name, _ in seen["headers"]
    }


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_repeated_forged_headers_do_not_arrive_over_either_version(
    served: Served, version: str
) -> None:
    victim_der = chain_of(served.get(certificate=served.svid()).json())[0]
    command = ["curl", "-sS", version, "--proxy", served.proxy.url]
    command += ["--cacert", str(served.ca_file), f"https://{AUTH}/"]
    for spelling in SPELLINGS:
        command += ["-H", f"{spelling}: {forged(victim_der)}"]
    ran = subprocess.run(command, capture_output=True, check=True, timeout=30)  # noqa: S603 - curl is the client under test
    seen = json.loads(ran.stdout)
    assert chain_of(seen) == ()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_connection_proves_its_key_anew(served: Served, version: ssl.TLSVersion) -> None:
    """A resumed session would carry a certificate past its end."""
    context = served.context()
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(served.svid())
    with served.connect(context) as first:
        first.sendall(f"GET / HTTP/1.1\r\nHost: {AUTH}\r\n\r\n".encode())
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
        session = first.session
    with served.connect(context, session=session) as second:
        assert not second.session_reused


def test_the_service_believes_no_header_that_did_not_come_through_envoy(served: Served) -> None:
    """Whoever finds the unix socket speaks to the service past Envoy."""
    victim_der = chain_of(served.get(certificate=served.svid()).json())[0]
    command = ["curl", "-sS", "--unix-socket", str(served.folder / "auth.sock")]
    command += ["-H", f"x-forwarded-client-cert: {forged(victim_der)}"]
    command += ["-H", "x-iamrange-edge: guessed", "-H", "x-forwarded-for: 10.0.0.1"]
    ran = subprocess.run(  # noqa: S603 - curl is the client under test
        [*command, f"http://{AUTH}/"], capture_output=True, check=True, timeout=30
    )
    seen = json.loads(ran.stdout)
    assert (chain_of(seen), seen["scheme"], seen["client"]) == ((), "http", "")


@pytest.mark.parametrize("header", ["x-forwarded-client-cert", "x-iamrange-edge"])
def test_a_client_cannot_have_the_edges_headers_removed_as_hop_by_hop(
    served: Served, header: str
) -> None:
    """RFC 9110 section 7.6.1: what `Connection` names goes no further, if it was the client's."""
    nominated = {"Connection": f"close, {header}"}
    seen = served.get(certificate=served.svid(), headers=nominated).json()
    assert (len(seen["chain"]), seen["scheme"], seen["client"]) == (1, "https", "127.10.0.1")


def test_a_client_that_nominates_the_peers_header_is_refused(served: Served) -> None:
    answer = served.get(headers={"Connection": "close, x-forwarded-for"})
    assert (answer.status_code, answer.json()) == (400, {"error": "edge", "status": 400})
