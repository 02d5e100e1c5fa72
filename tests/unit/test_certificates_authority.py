"""What the local authority issues, to whom, and how it is rotated."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.core.clock import FixedClock
from iamrange.identity.certificates.client_chain import VerifiedClient, verify_client
from iamrange.identity.certificates.local_authority import (
    AUTHORITY_LIFE,
    BACKDATED,
    MAX_SVID_LIFE,
    LocalAuthority,
)
from iamrange.identity.certificates.port import (
    CertificateAuthorityPort,
    IssueRefusal,
    Svid,
    TrustBundle,
)
from iamrange.identity.certificates.revocation_list import LIST_LIFE
from iamrange.identity.certificates.spiffe import SpiffeId, parse_spiffe_id
from iamrange.identity.certificates.svid import new_key_and_request, svid_id, thumbprint

NOW = 1_800_000_000.25
AGENT = "spiffe://iamrange.example/agent/data-analyst"
KEY = ec.generate_private_key(ec.SECP256R1())


def authority(clock: FixedClock | None = None) -> LocalAuthority:
    return LocalAuthority.create("test", clock=clock or FixedClock(NOW))


def der(svid: Svid | IssueRefusal) -> bytes:
    assert isinstance(svid, Svid)
    certificate = x509.load_pem_x509_certificate(svid.certificate_pem.encode())
    return certificate.public_bytes(Encoding.DER)


def accepted(svid: Svid, bundle: TrustBundle, now: float) -> bool:
    return isinstance(verify_client([der(svid)], bundle, now), VerifiedClient)


def test_the_local_authority_is_an_adapter_of_the_port() -> None:
    port: CertificateAuthorityPort = authority()
    granted = port.issue_for_request(request(), spiffe_id=AGENT)
    assert isinstance(granted, Svid)
    assert granted.spiffe_id == AGENT


def test_an_svid_has_the_form_that_the_standard_asks_for() -> None:
    issued = authority().issue_svid(AGENT, KEY.public_key())
    certificate = x509.load_der_x509_certificate(der(issued))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(names) == [x509.UniformResourceIdentifier(AGENT)]
    assert str(svid_id(certificate)) == AGENT
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (False, False)
    assert ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    assert certificate.not_valid_before_utc.timestamp() == int(NOW) - BACKDATED
    assert certificate.not_valid_after_utc.timestamp() == int(NOW) + 3600 == issued.expires
    assert certificate.public_key() == KEY.public_key()
    assert issued.chain_pem == issued.certificate_pem
    assert issued.certificate_pem.count("BEGIN") == 1


def test_serial_numbers_are_random() -> None:
    issuing = authority()
    serials = {
        x509.load_der_x509_certificate(
            der(issuing.issue_svid(AGENT, KEY.public_key()))
        ).serial_number
        for _ in range(20)
    }
    assert len(serials) == 20
    assert min(serials).bit_length() > 100


@pytest.mark.parametrize(
    "spiffe_id",
    [
        "",
        "agent/a",
        "https://iamrange.example/agent/a",
        "spiffe://iamrange.example",
        "spiffe://iamrange.example/",
        "spiffe://other.example/agent/a",
        "spiffe://iamrange.example/agent/../b",
        "spiffe://iamrange.example/agent//b",
        "spiffe://iamrange.example/agent/a?x",
        "spiffe://iamrange.example/agent/\u00e9",
        "spiffe://iamrange.example/" + "a" * 2048,
    ],
)
def test_no_other_name_is_certified(spiffe_id: str) -> None:
    with pytest.raises(ValueError, match="no SPIFFE id"):
        authority().issue_svid(spiffe_id, KEY.public_key())


@pytest.mark.parametrize("lifetime", [0, -1, MAX_SVID_LIFE + 1, float("nan"), float("inf")])
def test_no_other_lifetime_is_granted(lifetime: float) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        authority().issue_svid(AGENT, KEY.public_key(), lifetime=lifetime)


@pytest.mark.parametrize("lifetime", [1.0, 60, 3600, MAX_SVID_LIFE])
def test_an_svid_never_lives_longer_than_was_asked(lifetime: float) -> None:
    issued = authority().issue_svid(AGENT, KEY.public_key(), lifetime=lifetime)
    assert NOW + lifetime - 1 < issued.expires <= NOW + lifetime


def test_an_svid_does_not_outlive_its_authority() -> None:
    clock = FixedClock(NOW)
    issuing = authority(clock)
    clock.moment = NOW + AUTHORITY_LIFE - 100
    assert issuing.issue_svid(AGENT, KEY.public_key()).expires == int(NOW) + AUTHORITY_LIFE
    clock.moment = NOW + AUTHORITY_LIFE
    with pytest.raises(ValueError, match="expired"):
        issuing.issue_svid(AGENT, KEY.public_key())


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - it is to be refused
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa-1024", "p256k1", "ed25519"],
)
def test_no_weak_or_unusual_key_is_certified(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    with pytest.raises(ValueError, match="public key"):
        authority().issue_svid(AGENT, key.public_key())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = builder.sign(key, digest).public_bytes(Encoding.PEM)
    assert authority().issue_for_request(request, spiffe_id=AGENT) == IssueRefusal("weak-key")


def request(*names: x509.GeneralName, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


@pytest.mark.parametrize("names", [(), (uri(AGENT),)], ids=["none", "its-own"])
def test_a_request_for_its_own_name_or_none_is_granted(names: tuple[x509.GeneralName, ...]) -> None:
    issued = authority().issue_for_request(request(*names), spiffe_id=AGENT)
    assert x509.load_der_x509_certificate(der(issued)).public_key() == KEY.public_key()


@pytest.mark.parametrize(
    "names",
    [
        (uri("spiffe://iamrange.example/agent/other"),),
        (uri(AGENT), uri("spiffe://iamrange.example/agent/other")),
        (uri(AGENT), x509.DNSName("auth.iamrange.example")),
        (x509.DNSName("auth.iamrange.example"),),
        (uri(AGENT), uri(AGENT)),
    ],
)
def test_a_request_for_another_name_is_refused(names: tuple[x509.GeneralName, ...]) -> None:
    refused = authority().issue_for_request(request(*names), spiffe_id=AGENT)
    assert isinstance(refused, IssueRefusal)
    assert refused.reason == "other-name"


def test_what_else_a_request_asks_for_is_not_granted() -> None:
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
        .sign(KEY, hashes.SHA256())
    )
    issued = authority().issue_for_request(asked.public_bytes(Encoding.PEM), spiffe_id=AGENT)
    certificate = x509.load_der_x509_certificate(der(issued))
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert "root" not in certificate.subject.rfc4514_string()


def test_a_request_must_be_signed_with_the_key_that_it_names() -> None:
    good = request()
    other = ec.generate_private_key(ec.SECP256R1())
    point = KEY.public_key().public_numbers()
    stolen = other.public_key().public_numbers()
    swapped = good.replace(
        point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big"),
        stolen.x.to_bytes(32, "big") + stolen.y.to_bytes(32, "big"),
    )
    assert swapped != good
    refused = authority().issue_for_request(swapped, spiffe_id=AGENT)
    assert refused == IssueRefusal("no-proof-of-possession")


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN", b"\x30\x82", b"a" * 100_000])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    refused = authority().issue_for_request(data, spiffe_id=AGENT)
    assert refused == IssueRefusal("malformed-request")


GOOD = request(uri(AGENT))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_request_raises_or_certifies(position: int, change: int) -> None:
    changed = bytearray(GOOD)
    changed[position] ^= change
    assert isinstance(authority().issue_for_request(bytes(changed), spiffe_id=AGENT), IssueRefusal)


def test_a_request_whose_signature_has_unused_bits_is_malformed() -> None:
    """The parser takes it where those bits happen to be nought."""
    while (der := request(uri(AGENT)))[-1] & 1:
        pass
    signature = x509.load_der_x509_csr(der).signature
    changed = der[: -len(signature) - 1] + b"\1" + signature
    refused = authority().issue_for_request(changed, spiffe_id=AGENT)
    assert refused == IssueRefusal("malformed-request")


def test_a_rotated_authority_is_trusted_until_its_last_svid_has_ended() -> None:
    clock = FixedClock(NOW)
    issuing = authority(clock)
    before = issuing.issue_svid(AGENT, KEY.public_key(), lifetime=MAX_SVID_LIFE)
    issuing.rotate("second")
    after = issuing.issue_svid(AGENT, KEY.public_key(), lifetime=MAX_SVID_LIFE)
    bundle = issuing.trust_bundle()
    assert len(bundle.authorities) == 2
    for svid in (before, after):
        assert accepted(svid, bundle, clock.now())
    clock.moment = before.expires - 1
    assert accepted(before, issuing.trust_bundle(), clock.now())
    clock.moment = NOW + MAX_SVID_LIFE + 1
    assert len(issuing.trust_bundle().authorities) == 1


def test_each_rotation_has_an_overlap_of_its_own() -> None:
    clock = FixedClock(NOW)
    issuing = authority(clock)
    for number in range(4):
        clock.moment = NOW + number * MAX_SVID_LIFE / 2
        issuing.rotate(f"number {number}")
    assert len(issuing.trust_bundle().authorities) == 3
    clock.moment += MAX_SVID_LIFE + 1
    assert len(issuing.trust_bundle().authorities) == 1


def test_a_withdrawn_authority_is_distrusted_at_once_and_the_active_one_cannot_be() -> None:
    issuing = authority()
    old = issuing.issue_svid(AGENT, KEY.public_key())
    stolen = thumbprint(issuing.trust_bundle().authorities[0])
    with pytest.raises(ValueError, match="rotate first"):
        issuing.withdraw(stolen)
    issuing.rotate("second")
    assert accepted(old, issuing.trust_bundle(), NOW)
    assert issuing.withdraw(stolen)
    assert not issuing.withdraw(stolen)
    assert not accepted(old, issuing.trust_bundle(), NOW)


def test_the_state_goes_through_json_with_its_overlap() -> None:
    clock = FixedClock(NOW)
    first = authority(clock)
    old = first.issue_svid(AGENT, KEY.public_key())
    first.rotate("second")
    again = LocalAuthority.from_json(first.to_json(), clock=clock)
    assert again.trust_bundle().authorities == first.trust_bundle().authorities
    assert accepted(old, again.trust_bundle(), NOW)
    assert accepted(again.issue_svid(AGENT, KEY.public_key()), first.trust_bundle(), NOW)
    clock.moment = NOW + MAX_SVID_LIFE + 1
    assert len(again.trust_bundle().authorities) == 1


def test_a_withdrawal_is_kept_by_the_state() -> None:
    clock = FixedClock(NOW)
    first = authority(clock)
    svid = first.issue_svid(AGENT, KEY.public_key())
    kept = first.issue_svid(AGENT, KEY.public_key())
    assert len(first.withdraw_certificates(AGENT)) == 2
    again = LocalAuthority.from_json(first.to_json(), clock=clock)
    assert not accepted(svid, again.trust_bundle(), NOW)
    assert not accepted(kept, again.trust_bundle(), NOW)
    assert again.withdraw_certificates(AGENT) == ()
    new = again.issue_svid(AGENT, KEY.public_key())
    assert accepted(new, again.trust_bundle(), NOW)


def test_a_rotated_authority_still_withdraws_what_it_signed() -> None:
    issuing = authority()
    old = issuing.issue_svid(AGENT, KEY.public_key())
    issuing.rotate("second")
    assert accepted(old, issuing.trust_bundle(), NOW)
    issuing.withdraw_certificates(AGENT)
    assert not accepted(old, issuing.trust_bundle(), NOW)


def test_a_withdrawn_certificate_is_listed_until_a_list_after_its_end_and_then_forgotten() -> None:
    clock = FixedClock(NOW)
    issuing = authority(clock)
    issuing.issue_svid(AGENT, KEY.public_key(), lifetime=60)
    (serial,) = issuing.withdraw_certificates(AGENT)

    def listed() -> list[int]:
        (der,) = issuing.trust_bundle().revocation_lists
        return [one.serial_number for one in x509.load_der_x509_crl(der)]

    assert listed() == [serial]
    clock.moment = NOW + 60 + LIST_LIFE / 2
    assert listed() == [serial]
    clock.moment = NOW + 60 + 2 * LIST_LIFE
    assert listed() == []
    assert json.loads(issuing.to_json())["issued"] == {}


def test_a_list_is_made_anew_in_time_and_each_has_a_higher_number() -> None:
    clock = FixedClock(NOW)
    issuing = authority(clock)

    def latest() -> x509.CertificateRevocationList:
        (der,) = issuing.trust_bundle().revocation_lists
        return x509.load_der_x509_crl(der)

    seen = [latest()]
    for later in (LIST_LIFE / 2 - 1, LIST_LIFE / 2, LIST_LIFE):
        clock.moment = NOW + later
        seen.append(latest())
        ends = seen[-1].next_update_utc
        assert ends is not None
        assert ends.timestamp() > clock.now()
    issuing.issue_svid(AGENT, KEY.public_key())
    issuing.withdraw_certificates(AGENT)
    seen.append(latest())
    numbers = [
        one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in seen
    ]
    assert numbers[0] == numbers[1]
    assert sorted(set(numbers)) == numbers[1:]


def test_a_state_that_does_not_fit_together_is_an_error() -> None:
    one, other = (json.loads(authority().to_json()) for _ in range(2))
    (pem,) = one["authorities"]
    key, mark, certificate = pem.partition("-----BEGIN CERTIFICATE-----")
    foreign = mark + other["authorities"][0].partition(mark)[2]
    for pems in ([], [key], [mark + certificate], [key + foreign], ["junk"], [3], 3):
        with pytest.raises(ValueError):  # noqa: PT011 - whichever part is missing
            LocalAuthority.from_json(
                json.dumps({**one, "authorities": pems}), clock=FixedClock(NOW)
            )
    for state in ("", "[]", "{}", json.dumps({**one, "issued": {"1": {}}})):
        with pytest.raises(ValueError):  # noqa: PT011 - same
            LocalAuthority.from_json(state, clock=FixedClock(NOW))


def test_nothing_prints_a_private_key() -> None:
    issuing = authority()
    made = new_key_and_request(AGENT)
    secret = made.private_key_pem.splitlines()[1]
    assert secret not in repr(made)
    assert "key" not in repr(issuing).lower()


def test_an_authority_names_its_trust_domain_and_certifies_leaves_only() -> None:
    issuing = LocalAuthority.create("x" * 200, clock=FixedClock(NOW), trust_domain="t.example")
    (root,) = issuing.trust_bundle().authorities
    certificate = x509.load_der_x509_certificate(root)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert svid_id(certificate) == SpiffeId("t.example", "")
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True,
        True,
        0,
    )
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(
        seconds=AUTHORITY_LIFE + BACKDATED
    )
    with pytest.raises(ValueError, match="no trust domain"):
        LocalAuthority.create("x", clock=FixedClock(NOW), trust_domain="T.example")
    with pytest.raises(ValueError, match="no SPIFFE id"):
        new_key_and_request("x")


IDS = {
    "spiffe://td": SpiffeId("td", ""),
    "spiffe://td/a": SpiffeId("td", "/a"),
    "spiffe://t-d_1.x/A.b_c-9/...": SpiffeId("t-d_1.x", "/A.b_c-9/..."),
    "": None,
    "spiffe://": None,
    "spiffe:///a": None,
    "spiffe://td/": None,
    "spiffe://td/a/": None,
    "spiffe://td//a": None,
    "spiffe://td/./a": None,
    "spiffe://td/..": None,
    "spiffe://Td/a": None,
    "spiffe://td:80/a": None,
    "spiffe://u@td/a": None,
    "spiffe://td/a?q": None,
    "spiffe://td/a#f": None,
    "spiffe://td/%61": None,
    "spiffe://td/a b": None,
    "SPIFFE://td/a": None,
    " spiffe://td/a": None,
    "spiffe://" + "t" * 256: None,
    "spiffe://td\n": None,
}


@pytest.mark.parametrize("text", IDS)
def test_an_id_is_canonical_or_none(text: str) -> None:
    assert parse_spiffe_id(text) == IDS[text]


@given(
    st.text(max_size=60)
    | st.from_regex(r"spiffe://[a-z.]{1,9}(/[A-Za-z.%/]{0,9})?", fullmatch=True)
)
def test_what_is_an_id_is_written_back_as_it_was(text: str) -> None:
    parsed = parse_spiffe_id(text)
    assert parsed is None or str(parsed) == text
