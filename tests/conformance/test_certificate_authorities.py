"""What every certificate authority does: one contract, the local one and a real OpenBao's."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iamrange.core.clock import SystemClock
from iamrange.credentials.errors import VaultMissingError
from iamrange.credentials.vault.binary import find_openbao
from iamrange.identity.certificates.client_chain import ChainRefusal, VerifiedClient, verify_client
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.port import (
    AuthorityError,
    CertificateAuthorityPort,
    IssueRefusal,
    Svid,
)
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.identity.certificates.vault_authority import VaultAuthority
from tests.conformance.vault_thread import AUTHORITY_RULES, MOUNT, VaultThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AGENT = "spiffe://iamrange.example/agent/data-analyst"
OTHER = "spiffe://iamrange.example/agent/log-writer"
KEY = ec.generate_private_key(ec.SECP256R1())
WITHDRAWN = ChainRefusal("certificate-withdrawn")


@pytest.fixture(scope="module")
def vault() -> Iterator[VaultThread]:
    try:
        find_openbao()
    except VaultMissingError as error:
        pytest.skip(str(error))
    running = VaultThread()
    running.certify(("data-analyst", "log-writer"))
    yield running
    running.stop()


def vaults(vault: VaultThread) -> VaultAuthority:
    client = vault.holder("certificate-authority", AUTHORITY_RULES)
    return VaultAuthority(client, mount=MOUNT, clock=SystemClock())


@pytest.fixture(params=["local", "vault"])
def authority(request: pytest.FixtureRequest) -> CertificateAuthorityPort:
    if request.param == "local":
        return LocalAuthority.create("test", clock=SystemClock())
    return vaults(request.getfixturevalue("vault"))


def request(*names: x509.GeneralName, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def issued(
    authority: CertificateAuthorityPort, spiffe_id: str = AGENT, lifetime: float = 3600
) -> Svid:
    made = new_key_and_request(spiffe_id)
    granted = authority.issue_for_request(
        made.request_pem.encode(), spiffe_id=spiffe_id, lifetime=lifetime
    )
    assert isinstance(granted, Svid), granted
    return granted


def judged(authority: CertificateAuthorityPort, svid: Svid) -> VerifiedClient | ChainRefusal:
    chain = [
        ssl.PEM_cert_to_DER_cert(f"{text}{END}")
        for text in svid.chain_pem.split(END)
        if text.strip()
    ]
    return verify_client(chain, authority.trust_bundle(), time.time())


END = "-----END CERTIFICATE-----"


def test_an_svid_has_the_form_that_the_standard_asks_for(
    authority: CertificateAuthorityPort,
) -> None:
    svid = issued(authority)
    certificate = x509.load_pem_x509_certificate(svid.certificate_pem.encode())
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(names) == [uri(AGENT)]
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (False, False)
    assert set(purposes) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert certificate.not_valid_after_utc.timestamp() == svid.expires
    assert certificate.subject.rfc4514_string() == "O=iamrange"
    assert certificate.serial_number.bit_length() > 100
    assert isinstance(judged(authority, svid), VerifiedClient)


@pytest.mark.parametrize("names", [(), (uri(AGENT),)], ids=["none", "its-own"])
def test_a_request_for_its_own_name_or_none_is_granted(
    authority: CertificateAuthorityPort, names: tuple[x509.GeneralName, ...]
) -> None:
    granted = authority.issue_for_request(request(*names), spiffe_id=AGENT)
    assert isinstance(granted, Svid)
    assert granted.spiffe_id == AGENT
    certificate = x509.load_pem_x509_certificate(granted.certificate_pem.encode())
    assert certificate.public_key() == KEY.public_key()


def curve_key() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    key = ec.generate_private_key(ec.SECP256K1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def edwards_key() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.PEM)


def small_key() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def stolen_key() -> bytes:
    """Return a request for a key whose holder has not signed it."""
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    mine = KEY.public_key().public_numbers()
    der = x509.load_pem_x509_csr(request()).public_bytes(Encoding.DER)
    size = 32
    return der.replace(
        mine.x.to_bytes(size, "big") + mine.y.to_bytes(size, "big"),
        other.x.to_bytes(size, "big") + other.y.to_bytes(size, "big"),
    )


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "anothers-name": (lambda: request(uri(OTHER)), "other-name"),
    "anothers-name-too": (lambda: request(uri(AGENT), uri(OTHER)), "other-name"),
    "a-host": (lambda: request(x509.DNSName("auth.iamrange.example")), "other-name"),
    "its-own-name-and-a-host": (lambda: request(uri(AGENT), x509.DNSName("a")), "other-name"),
    "nothing": (lambda: b"", "malformed-request"),
    "junk": (lambda: b"-----BEGIN", "malformed-request"),
    "too-much": (lambda: b"a" * 100_000, "malformed-request"),
    "p256k1": (curve_key, "weak-key"),
    "ed25519": (edwards_key, "weak-key"),
    "rsa-1024": (small_key, "weak-key"),
    "a-key-of-somebody-elses": (stolen_key, "no-proof-of-possession"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_is_refused_by_value(authority: CertificateAuthorityPort, case: str) -> None:
    make, reason = REFUSED[case]
    refused = authority.issue_for_request(make(), spiffe_id=AGENT)
    assert isinstance(refused, IssueRefusal)
    assert refused.reason == reason


def test_what_else_a_request_asks_for_is_not_granted(authority: CertificateAuthorityPort) -> None:
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
        .sign(KEY, hashes.SHA256())
    )
    granted = authority.issue_for_request(asked.public_bytes(Encoding.PEM), spiffe_id=AGENT)
    assert isinstance(granted, Svid)
    certificate = x509.load_pem_x509_certificate(granted.certificate_pem.encode())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.subject.rfc4514_string() == "O=iamrange"


@pytest.mark.parametrize(
    "spiffe_id",
    [
        "",
        "https://iamrange.example/agent/a",
        "spiffe://iamrange.example",
        "spiffe://other.example/agent/data-analyst",
        "spiffe://iamrange.example/agent/../agent/data-analyst",
        "spiffe://iamrange.example/agent//data-analyst",
    ],
)
def test_no_other_name_is_certified(authority: CertificateAuthorityPort, spiffe_id: str) -> None:
    with pytest.raises(ValueError, match="SPIFFE id"):
        authority.issue_for_request(request(), spiffe_id=spiffe_id)


@pytest.mark.parametrize("lifetime", [0, -1, 90_000, float("nan"), float("inf")])
def test_no_other_lifetime_is_granted(authority: CertificateAuthorityPort, lifetime: float) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        authority.issue_for_request(request(), spiffe_id=AGENT, lifetime=lifetime)


@pytest.mark.parametrize("lifetime", [2.5, 60, 3600])
def test_an_svid_never_lives_longer_than_was_asked(
    authority: CertificateAuthorityPort, lifetime: float
) -> None:
    before = time.time()
    svid = issued(authority, lifetime=lifetime)
    assert before + lifetime - 2 < svid.expires <= time.time() + lifetime


def test_each_authority_has_a_list_that_answers_now(authority: CertificateAuthorityPort) -> None:
    bundle = authority.trust_bundle()
    assert len(bundle.authorities) == len(bundle.revocation_lists) == 1
    ends = x509.load_der_x509_crl(bundle.revocation_lists[0]).next_update_utc
    assert ends is not None
    assert time.time() + 60 < ends.timestamp() < time.time() + 3600


def test_what_is_withdrawn_is_refused_and_nothing_else_is(
    authority: CertificateAuthorityPort,
) -> None:
    first, second, others = issued(authority), issued(authority), issued(authority, OTHER)
    assert isinstance(judged(authority, first), VerifiedClient)
    serials = {
        x509.load_pem_x509_certificate(one.certificate_pem.encode()).serial_number
        for one in (first, second)
    }
    assert serials <= set(authority.withdraw_certificates(AGENT))
    assert judged(authority, first) == judged(authority, second) == WITHDRAWN
    assert isinstance(judged(authority, others), VerifiedClient)
    assert authority.withdraw_certificates(AGENT) == ()
    assert isinstance(judged(authority, issued(authority)), VerifiedClient)
    assert judged(authority, first) == WITHDRAWN
    assert authority.withdraw_certificates("spiffe://iamrange.example/agent/nobody") == ()


# the vault alone


def sign(vault: VaultThread, by: str, role: str, **more: str) -> Svid | str:
    """Have an agent ask the vault by itself, with its own login."""
    spiffe_id = f"spiffe://iamrange.example/agent/{role}"
    body = {"csr": new_key_and_request(spiffe_id).request_pem, "uri_sans": spiffe_id, **more}
    client = vault.agent(by)
    answer = client.session.post(
        f"{vault.url}/v1/{MOUNT}/sign/{role}", json=body, headers={"X-Vault-Token": client.token}
    )
    if not answer.ok:
        return f"{answer.status_code} {answer.json()['errors']}"
    pem = answer.json()["data"]["certificate"] + "\n"
    return Svid(spiffe_id=spiffe_id, certificate_pem=pem, chain_pem=pem, expires=0)


def test_an_agent_has_a_certificate_by_its_own_login_and_it_is_withdrawn(
    vault: VaultThread,
) -> None:
    svid = sign(vault, "data-analyst", "data-analyst")
    assert isinstance(svid, Svid)
    ours = vaults(vault)
    assert isinstance(judged(ours, svid), VerifiedClient)
    assert ours.withdraw_certificates(AGENT)
    assert judged(ours, svid) == WITHDRAWN


def test_no_agent_has_a_neighbours_certificate(vault: VaultThread) -> None:
    assert str(sign(vault, "data-analyst", "log-writer")).startswith("403")
    mine = sign(vault, "data-analyst", "data-analyst", uri_sans=OTHER)
    assert isinstance(mine, str)
    assert "not valid for this role" in mine


@pytest.mark.parametrize(
    "wish",
    [
        {"not_after": "2099-01-01T00:00:00Z"},
        {"common_name": "auth.iamrange.example"},
        {"alt_names": "auth.iamrange.example"},
        {"ip_sans": "127.0.0.1"},
        {"other_sans": "1.3.6.1.4.1.311.20.2.3;utf8:root"},
        {"use_pss": "true"},
    ],
    ids=str,
)
def test_an_agent_chooses_its_key_its_own_name_and_a_shorter_life_alone(
    vault: VaultThread, wish: dict[str, str]
) -> None:
    assert str(sign(vault, "data-analyst", "data-analyst", **wish)).startswith("403")
    shorter = sign(vault, "data-analyst", "data-analyst", ttl="60s")
    assert isinstance(shorter, Svid)
    longer = sign(vault, "data-analyst", "data-analyst", ttl="9000h")
    assert isinstance(longer, Svid)
    ends = x509.load_pem_x509_certificate(longer.certificate_pem.encode()).not_valid_after_utc
    assert ends.timestamp() <= time.time() + 3600


@pytest.mark.parametrize("path", ["issue", "sign-verbatim"])
def test_no_agent_has_a_key_made_or_an_unchecked_request_signed(
    vault: VaultThread, path: str
) -> None:
    client = vault.agent("data-analyst")
    made = new_key_and_request(AGENT)
    answer = client.session.post(
        f"{vault.url}/v1/{MOUNT}/{path}/data-analyst",
        json={"csr": made.request_pem},
        headers={"X-Vault-Token": client.token},
    )
    assert answer.status_code == 403


def test_an_authority_without_the_power_says_so(vault: VaultThread) -> None:
    powerless = VaultAuthority(vault.agent("data-analyst"), mount=MOUNT, clock=SystemClock())
    with pytest.raises(AuthorityError, match="token may not"):
        powerless.trust_bundle()
    with pytest.raises(AuthorityError, match="token may not"):
        powerless.withdraw_certificates(AGENT)


def test_an_id_without_a_role_is_a_mistake(vault: VaultThread) -> None:
    for spiffe_id in (
        "spiffe://iamrange.example/agent/nobody",
        "spiffe://iamrange.example/service/data-analyst",
    ):
        with pytest.raises(ValueError, match="no role"):
            vaults(vault).issue_for_request(request(), spiffe_id=spiffe_id)


def test_a_sealed_vault_is_an_error_and_nobody_is_believed_meanwhile(vault: VaultThread) -> None:
    ours = vaults(vault)
    vault.seal()
    try:
        with pytest.raises(AuthorityError):
            ours.trust_bundle()
        with pytest.raises(AuthorityError):
            ours.withdraw_certificates(AGENT)
    finally:
        vault.unseal()
    assert isinstance(judged(ours, issued(ours)), VerifiedClient)


def test_a_killed_vault_is_another_authority_afterwards(vault: VaultThread) -> None:
    """What it had certified is refused, and new certificates are to be had at once."""
    old = issued(vaults(vault))
    vault.write(f"{MOUNT}/revoke", serial_number=_vaults_serial(old))
    vault.kill()
    ours = vaults(vault)
    refused = judged(ours, old)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "untrusted"
    assert isinstance(judged(ours, issued(ours)), VerifiedClient)


def _vaults_serial(svid: Svid) -> str:
    number = x509.load_pem_x509_certificate(svid.certificate_pem.encode()).serial_number
    digits = f"{number:040x}"
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
