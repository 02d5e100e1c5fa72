"""The other ways in: certificates, SVIDs, and secrets where an operator let them."""

from __future__ import annotations

import datetime as dt
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.port import TrustBundle
from iamrange.identity.certificates.svid import thumbprint
from iamrange.identity.names import AUTH_ISSUER, TOKEN_ENDPOINT
from iamrange.identity.tokens.secrets import hash_secret
from iamrange.identity.tokens.settings import TokenSettings
from iamrange.jose import STRICT, KeySet, SigningKey, parse_key_set
from tests.conformance.tokens.lab import ANALYST, WORKER, Answer, House

if TYPE_CHECKING:
    from collections.abc import Callable

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
NO_ASSERTION: dict[str, Any] = {"client_assertion": None, "client_assertion_type": None}
INVALID_CLIENT = (401, "invalid_client")
SECRET = "correct horse battery staple"


def svid(authority: LocalAuthority, spiffe_id: str = ANALYST) -> tuple[bytes, ...]:
    """Return a chain for the id, as DER, leaf first."""
    issued = authority.issue_svid(
        spiffe_id, ec.generate_private_key(ec.SECP256R1()).public_key(), lifetime=600
    )
    loaded = x509.load_pem_x509_certificates(issued.chain_pem.encode())
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in loaded)


def self_signed(*, until: float = 600) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "analyst")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(seconds=until))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(ANALYST)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def by_certificate(house: House, *chain: bytes, **form: Any) -> Answer:  # noqa: ANN401 - parameters
    asked: dict[str, Any] = {"client_id": ANALYST, "proof": None} | NO_ASSERTION | form
    return house.post(certificates=chain, **asked)


def test_an_svid_of_our_bundle_gets_a_token_bound_to_it(house: House) -> None:
    house.change(house.analyst, tls_subject=True)
    chain = svid(house.authority)
    answer = by_certificate(house, *chain)
    assert answer.verdict == (200, "", "issued")
    assert answer.body["token_type"] == "Bearer"
    assert answer.layer("client").reason == "tls_client_auth"
    token = house.read(answer.body["access_token"])
    assert (token.x5t_s256, token.jkt) == (thumbprint(chain[0]), None)


def test_67_a_certificate_and_a_proof_bind_the_token_to_both(house: House) -> None:
    chain = svid(house.authority)
    answer = house.post(certificates=chain)
    assert answer.layer("client").reason == "private_key_jwt"
    token = house.read(answer.body["access_token"])
    assert (token.x5t_s256, token.jkt) == (thumbprint(chain[0]), house.analyst.dpop.kid)


def test_65_the_same_name_from_another_authority_is_nobody(house: House) -> None:
    house.change(house.analyst, tls_subject=True)
    other = LocalAuthority.create("other", clock=SystemClock())
    answer = by_certificate(house, *svid(other))
    assert answer.verdict[:2] == INVALID_CLIENT
    assert answer.verdict[2] == "untrusted"


def test_66_a_bundle_without_an_authority_lets_nobody_in() -> None:
    house = House(trust_bundle=lambda: TrustBundle("iamrange.example", ()))
    house.change(house.analyst, tls_subject=True)
    assert by_certificate(house, *svid(house.authority)).verdict[:2] == INVALID_CLIENT
    without = House(trust_bundle=None)
    without.change(without.analyst, tls_subject=True)
    answer = by_certificate(without, *svid(house.authority))
    assert answer.verdict == (*INVALID_CLIENT, "method-not-allowed")


@pytest.mark.parametrize(
    ("change", "chain_id", "form", "verdict"),
    [
        ({}, ANALYST, {}, (*INVALID_CLIENT, "method-not-allowed")),
        ({"tls_subject": True}, WORKER, {}, (*INVALID_CLIENT, "client-id-mismatch")),
        (
            {"tls_subject": True},
            ANALYST,
            {"client_id": None},
            (400, "invalid_request", "missing-client-id"),
        ),
        (
            {"tls_subject": True},
            ANALYST,
            {"client_id": "spiffe://iamrange.example/agent/nobody"},
            (*INVALID_CLIENT, "client-id-mismatch"),
        ),
    ],
    ids=["not registered for it", "another's", "no client id", "unknown client id"],
)
def test_an_svid_is_refused(
    house: House,
    change: dict[str, Any],
    chain_id: str,
    form: dict[str, Any],
    verdict: tuple[int, str, str],
) -> None:
    house.change(house.analyst, **change)
    assert by_certificate(house, *svid(house.authority, chain_id), **form).verdict == verdict


def test_a_registered_self_signed_certificate_gets_a_token_bound_to_it(house: House) -> None:
    der = self_signed()
    house.change(house.analyst, certificates=(thumbprint(der),))
    answer = by_certificate(house, der)
    assert answer.layer("client").reason == "self_signed_tls_client_auth"
    assert house.read(answer.body["access_token"]).x5t_s256 == thumbprint(der)


def test_a_self_signed_certificate_that_is_not_registered_is_nobody(house: House) -> None:
    house.change(house.analyst, certificates=(thumbprint(self_signed()),))
    assert by_certificate(house, self_signed()).verdict[:2] == INVALID_CLIENT


def test_an_expired_self_signed_certificate_is_refused(house: House) -> None:
    der = self_signed(until=-60)
    house.change(house.analyst, certificates=(thumbprint(der),))
    assert by_certificate(house, der).verdict == (*INVALID_CLIENT, "certificate-expired")


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"no certificate", b"\xff" * 5000])
def test_what_is_no_certificate_is_nobody(house: House, der: bytes) -> None:
    house.change(house.analyst, tls_subject=True)
    assert by_certificate(house, der).verdict[:2] == INVALID_CLIENT


def test_a_narrowed_certificate_bound_token_keeps_its_certificate(house: House) -> None:
    house.change(house.analyst, tls_subject=True)
    chain = svid(house.authority)
    held = by_certificate(house, *chain).body["access_token"]
    without = house.exchange(house.analyst, held)
    assert without.verdict == (400, "invalid_request", "certificate-not-proved")
    with_it = house.exchange(house.analyst, held, certificates=chain, proof=None)
    assert house.read(with_it.body["access_token"]).x5t_s256 == thumbprint(chain[0])


def test_unbound_certificates_give_bearer_tokens_only_where_both_controls_are_out() -> None:
    settings = TokenSettings(unsafe_unbound_certificates=True, unsafe_issues_bearer=True)
    house = House(settings)
    house.change(house.analyst, tls_subject=True)
    answer = by_certificate(house, *svid(house.authority))
    assert not house.read(answer.body["access_token"]).bound


# JWT-SVIDs


def trust_domain() -> tuple[SigningKey, Callable[[], KeySet]]:
    key = SigningKey.generate()
    keys = parse_key_set({"keys": [key.public_jwk()]}, STRICT)
    assert isinstance(keys, KeySet)
    return key, lambda: keys


def jwt_svid(key: SigningKey, **changes: Any) -> str:  # noqa: ANN401 - claims
    now = int(time.time())
    claims = {"sub": ANALYST, "aud": [AUTH_ISSUER], "iat": now, "exp": now + 300} | changes
    return key.sign({name: value for name, value in claims.items() if value is not None})


def by_svid(house: House, assertion: str, **form: Any) -> Answer:  # noqa: ANN401 - parameters
    return house.post(client_assertion=assertion, client_assertion_type=JWT_SPIFFE, **form)


def test_a_jwt_svid_of_the_trust_domain_gets_a_token_once() -> None:
    key, keys = trust_domain()
    house = House(svid_keys=keys)
    assertion = jwt_svid(key)
    assert by_svid(house, assertion).verdict == (200, "", "issued")
    assert by_svid(house, assertion).verdict == (*INVALID_CLIENT, "replayed")
    other_signature = jwt_svid(key).rpartition(".")[2]
    assert other_signature not in assertion


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": [AUTH_ISSUER, "https://other.example"]}, "wrong-audience"),
        ({"aud": TOKEN_ENDPOINT}, "wrong-audience"),
        ({"exp": None}, "missing-claim"),
        ({"exp": 1, "iat": 0}, "expired"),
        ({"iat": None, "exp": int(time.time()) + 86_400}, "lifetime-too-long"),
        ({"sub": None}, "missing-claim"),
    ],
)
def test_a_jwt_svid_is_refused(changes: dict[str, Any], reason: str) -> None:
    key, keys = trust_domain()
    answer = by_svid(House(svid_keys=keys), jwt_svid(key, **changes))
    assert answer.verdict == (*INVALID_CLIENT, reason)


def test_a_jwt_svid_for_nobody_that_is_registered_is_refused() -> None:
    key, keys = trust_domain()
    stranger = jwt_svid(key, sub="spiffe://iamrange.example/agent/nobody")
    assert by_svid(House(svid_keys=keys), stranger).verdict == (*INVALID_CLIENT, "unknown-agent")


def test_a_jwt_svid_by_the_agents_own_key_is_no_svid() -> None:
    _, keys = trust_domain()
    house = House(svid_keys=keys)
    answer = by_svid(house, jwt_svid(house.analyst.key))
    assert answer.verdict == (*INVALID_CLIENT, "unknown-key")


def test_without_trust_domain_keys_the_method_is_not_allowed(house: House) -> None:
    answer = by_svid(house, jwt_svid(SigningKey.generate()))
    assert answer.verdict == (*INVALID_CLIENT, "method-not-allowed")


# secrets


def with_secrets() -> House:
    house = House(TokenSettings(unsafe_accepts_client_secret=True))
    house.change(house.analyst, secret_hash=hash_secret(SECRET))
    return house


def basic(name: str, secret: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}


def test_a_posted_secret_is_good_only_where_that_control_was_left_out(house: House) -> None:
    form = {"client_id": ANALYST, "client_secret": SECRET} | NO_ASSERTION
    assert with_secrets().post(**form).status == 200
    house.change(house.analyst, secret_hash=hash_secret(SECRET))
    assert house.post(**form).verdict == (*INVALID_CLIENT, "method-not-allowed")


@pytest.mark.parametrize("name", [quote(ANALYST, safe=""), ANALYST], ids=["encoded", "as it is"])
def test_a_secret_in_the_header_is_good(name: str) -> None:
    house = with_secrets()
    answer = house.post(headers=basic(name, quote(SECRET)), **NO_ASSERTION)
    if name != ANALYST:
        assert answer.status == 200
    else:
        plain = house.post(headers=basic(name, SECRET), **NO_ASSERTION)
        assert plain.status == 200


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        (basic(quote(ANALYST, safe=""), "wrong"), 401, "wrong-secret"),
        (basic(quote(WORKER, safe=""), SECRET), 401, "wrong-secret"),
        (basic("nobody", SECRET), 401, "wrong-secret"),
        ({"authorization": "Basic !!!"}, 401, "malformed-authorization"),
        ({"authorization": "Basic YQ=="}, 401, "malformed-authorization"),
        ({"authorization": "Digest abc"}, 401, "unknown-scheme"),
    ],
)
def test_a_wrong_header_is_refused(headers: dict[str, str], status: int, reason: str) -> None:
    answer = with_secrets().post(headers=headers, **NO_ASSERTION)
    assert (answer.status, answer.verdict[2]) == (status, reason)
    assert answer.body["error"] == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")
