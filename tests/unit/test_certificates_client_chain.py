"""Which client chains prove an id of ours: one valid chain, and one change at a time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.core.clock import FixedClock
from iamrange.identity.certificates.client_chain import (
    ChainRefusal,
    VerifiedClient,
    verify_client,
)
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.port import TrustBundle
from iamrange.identity.certificates.revocation_list import LIST_LIFE, sign_list
from iamrange.identity.certificates.svid import new_key_and_request, thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
DOMAIN = "iamrange.example"
AGENT = f"spiffe://{DOMAIN}/agent/data-analyst"
ROOT_KEY, MIDDLE_KEY, LEAF_KEY, OTHER_KEY = (
    ec.generate_private_key(ec.SECP256R1()) for _ in range(4)
)
RSA_KEY = rsa.generate_private_key(65537, 2048)
SMALL_RSA_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
CURVE_KEY = ec.generate_private_key(ec.SECP256K1())
EDWARDS_KEY = ed25519.Ed25519PrivateKey.generate()
DSA_KEY = dsa.generate_private_key(2048)
Key = Any


def usage(*, sign: bool = True, certify: bool = False, crl: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certify,
        crl_sign=crl,
        encipher_only=False,
        decipher_only=False,
    )


LEAF_USAGE = usage()


@dataclass(frozen=True)
class Made:
    """A certificate to be made; the defaults are a valid leaf under the root."""

    key: Key = LEAF_KEY
    subject: str = "leaf"
    issuer: str = "root"
    signer: Key = ROOT_KEY
    names: tuple[x509.GeneralName, ...] | None = (x509.UniformResourceIdentifier(AGENT),)
    constraints: tuple[bool, int | None] | None = (False, None)
    key_usage: x509.KeyUsage | None = LEAF_USAGE
    purposes: tuple[x509.ObjectIdentifier, ...] | None = (Purpose.CLIENT_AUTH,)
    start: float = -10
    end: float = 3600
    digest: type[hashes.SHA224 | hashes.SHA256] = hashes.SHA256
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()

    def der(self) -> bytes:
        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        def moment(offset: float) -> dt.datetime:
            return dt.datetime.fromtimestamp(NOW + offset, dt.UTC)

        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.subject))
            .issuer_name(name(self.issuer))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment(self.start))
            .not_valid_after(moment(self.end))
        )
        extensions: list[tuple[x509.ExtensionType | None, bool]] = [
            (x509.SubjectAlternativeName(self.names) if self.names else None, False),
            (x509.BasicConstraints(*self.constraints) if self.constraints else None, True),
            (self.key_usage, True),
            (x509.ExtendedKeyUsage(self.purposes) if self.purposes else None, False),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
            (
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.signer.public_key()),
                False,
            ),
            *self.extra,
        ]
        for extension, critical in extensions:
            if extension is not None:
                builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.signer, self.digest()).public_bytes(Encoding.DER)


AUTHORITY = Made(
    key=ROOT_KEY,
    subject="root",
    names=None,
    constraints=(True, None),
    key_usage=usage(sign=False, certify=True, crl=True),
    purposes=None,
)
ROOT = AUTHORITY.der()
MIDDLE = replace(AUTHORITY, key=MIDDLE_KEY, subject="middle")
UNDER_MIDDLE = Made(issuer="middle", signer=MIDDLE_KEY)
OTHER_ROOT = replace(AUTHORITY, key=OTHER_KEY, signer=OTHER_KEY).der()


def crl(issuer: bytes, key: Key, *withdrawn: int, at: float = NOW) -> bytes:
    """Return the list of an authority, made at that moment."""
    certificate = x509.load_der_x509_certificate(issuer)
    return sign_list(certificate, key, dict.fromkeys(withdrawn, at), number=1, now=at)


LISTS = (crl(ROOT, ROOT_KEY), crl(MIDDLE.der(), MIDDLE_KEY))
BUNDLE = TrustBundle(DOMAIN, (ROOT,), LISTS)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def middle(**changes: Any) -> list[bytes]:  # noqa: ANN401 - members of Made
    return [UNDER_MIDDLE.der(), replace(MIDDLE, **changes).der()]


ACCEPTED: dict[str, Callable[[], list[bytes]]] = {
    "leaf": lambda: [Made().der()],
    "with-the-root": lambda: [Made().der(), ROOT],
    "with-an-intermediate": middle,
    "with-intermediate-and-root": lambda: [*middle(), ROOT],
    "with-a-stranger-beside": lambda: [Made().der(), OTHER_ROOT],
    "without-basic-constraints": lambda: [Made(constraints=None).der()],
    "with-a-dns-name-too": lambda: [Made(names=(uri(AGENT), x509.DNSName("a.example"))).der()],
    "for-servers-too": lambda: [Made(purposes=(Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH)).der()],
    "rsa": lambda: [Made(key=RSA_KEY).der()],
    "intermediate-of-our-domain": lambda: middle(names=(uri(f"spiffe://{DOMAIN}"),)),
    "begins-now": lambda: [Made(start=0).der()],
    "ends-in-a-second": lambda: [Made(end=1).der()],
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_chain_to_our_bundle_is_accepted(case: str) -> None:
    chain = ACCEPTED[case]()
    assert verify_client(chain, BUNDLE, NOW) == VerifiedClient(AGENT, thumbprint(chain[0]))


def constrained(
    *, permitted: x509.GeneralName | None = None, excluded: x509.GeneralName | None = None
) -> list[bytes]:
    constraint = x509.NameConstraints(
        None if permitted is None else [permitted], None if excluded is None else [excluded]
    )
    return middle(extra=((constraint, True),))


REFUSED: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "nothing": (list, "no-certificate"),
    "nine-certificates": (lambda: [Made().der()] * 9, "chain-too-long"),
    "empty": (lambda: [b""], "malformed"),
    "no-der": (lambda: [b"hello"], "malformed"),
    "cut-short": (lambda: [Made().der()[:-1]], "malformed"),
    "something-after": (lambda: [Made().der() + b"\0"], "malformed"),
    "pem": (lambda: [b"-----BEGIN CERTIFICATE-----"], "malformed"),
    "malformed-intermediate": (lambda: [Made().der(), b"x"], "malformed"),
    "too-large": (
        lambda: [Made(names=(uri(AGENT), x509.DNSName("a" * 17_000))).der()],
        "malformed",
    ),
    "same-name-other-authority": (lambda: [Made(signer=OTHER_KEY).der()], "untrusted"),
    "same-name-other-authority-with-its-root": (
        lambda: [Made(signer=OTHER_KEY).der(), OTHER_ROOT],
        "untrusted",
    ),
    "signature-of-another": (
        lambda: [_resigned(Made().der(), Made(signer=OTHER_KEY).der())],
        "untrusted",
    ),
    "self-signed": (lambda: [Made(issuer="leaf", signer=LEAF_KEY).der()], "self-signed"),
    "self-signed-under-the-root's-name": (
        lambda: [Made(signer=LEAF_KEY).der()],
        "untrusted",
    ),
    "the-root-itself": (lambda: [ROOT], "ca-certificate"),
    "an-intermediate-as-leaf": (lambda: [MIDDLE.der()], "ca-certificate"),
    "authority-with-an-id": (lambda: [Made(constraints=(True, None)).der()], "ca-certificate"),
    "expired": (lambda: [Made(end=-1).der()], "expired"),
    "ends-now": (lambda: [Made(end=0).der()], "expired"),
    "not-yet-valid": (lambda: [Made(start=1).der()], "not-yet-valid"),
    "expired-intermediate": (lambda: middle(end=-1), "untrusted"),
    "intermediate-not-yet-valid": (lambda: middle(start=1), "untrusted"),
    "intermediate-missing": (lambda: middle()[:1], "untrusted"),
    "intermediate-is-no-authority": (lambda: middle(constraints=(False, None)), "untrusted"),
    "intermediate-may-not-certify": (lambda: middle(key_usage=usage()), "untrusted"),
    "under-a-leaf": (
        lambda: [
            Made(issuer="leaf2", signer=OTHER_KEY).der(),
            Made(key=OTHER_KEY, subject="leaf2").der(),
        ],
        "untrusted",
    ),
    "path-length-exceeded": (
        lambda: [
            Made(issuer="low", signer=OTHER_KEY).der(),
            replace(MIDDLE, key=OTHER_KEY, subject="low", issuer="middle", signer=MIDDLE_KEY).der(),
            replace(MIDDLE, constraints=(True, 0)).der(),
        ],
        "untrusted",
    ),
    "no-names": (lambda: [Made(names=None).der()], "spiffe-id"),
    "dns-name-alone": (lambda: [Made(names=(x509.DNSName("a.example"),)).der()], "spiffe-id"),
    "two-ids": (lambda: [Made(names=(uri(AGENT), uri(AGENT + "2"))).der()], "spiffe-id"),
    "id-twice": (lambda: [Made(names=(uri(AGENT), uri(AGENT))).der()], "spiffe-id"),
    "id-and-another-uri": (
        lambda: [Made(names=(uri(AGENT), uri("https://a.example"))).der()],
        "spiffe-id",
    ),
    "another-uri": (lambda: [Made(names=(uri("https://a.example"),)).der()], "spiffe-id"),
    "trust-domain-alone": (lambda: [Made(names=(uri(f"spiffe://{DOMAIN}"),)).der()], "spiffe-id"),
    "traversal": (
        lambda: [Made(names=(uri(f"spiffe://{DOMAIN}/x/../agent/a"),)).der()],
        "spiffe-id",
    ),
    "upper-case-scheme": (lambda: [Made(names=(uri(f"SPIFFE://{DOMAIN}/a"),)).der()], "spiffe-id"),
    "nul-in-the-id": (lambda: [Made(names=(uri(f"{AGENT}\0"),)).der()], "spiffe-id"),
    "other-trust-domain": (
        lambda: [Made(names=(uri("spiffe://other.example/agent/data-analyst"),)).der()],
        "trust-domain",
    ),
    "trust-domain-as-a-prefix": (
        lambda: [Made(names=(uri(f"spiffe://{DOMAIN}.evil.example/agent/a"),)).der()],
        "trust-domain",
    ),
    "intermediate-of-another-domain": (
        lambda: middle(names=(uri("spiffe://other.example"),)),
        "trust-domain",
    ),
    "no-key-usage": (lambda: [Made(key_usage=None).der()], "key-usage"),
    "may-not-sign": (lambda: [Made(key_usage=usage(sign=False)).der()], "key-usage"),
    "may-certify": (lambda: [Made(key_usage=usage(certify=True)).der()], "key-usage"),
    "may-sign-crls": (lambda: [Made(key_usage=usage(crl=True)).der()], "key-usage"),
    "no-purposes": (lambda: [Made(purposes=None).der()], "extended-key-usage"),
    "for-servers": (lambda: [Made(purposes=(Purpose.SERVER_AUTH,)).der()], "extended-key-usage"),
    "for-anything": (
        lambda: [Made(purposes=(Purpose.ANY_EXTENDED_KEY_USAGE,)).der()],
        "extended-key-usage",
    ),
    "intermediate-for-servers": (lambda: middle(purposes=(Purpose.SERVER_AUTH,)), "untrusted"),
    "small-rsa": (lambda: [Made(key=SMALL_RSA_KEY).der()], "weak-key"),
    "curve-k1": (lambda: [Made(key=CURVE_KEY).der()], "weak-key"),
    "ed25519": (lambda: [Made(key=EDWARDS_KEY).der()], "weak-key"),
    "dsa": (lambda: [Made(key=DSA_KEY).der()], "weak-key"),
    "weak-key-beside": (
        lambda: [Made().der(), replace(MIDDLE, key=SMALL_RSA_KEY).der()],
        "weak-key",
    ),
    "signed-with-a-small-rsa": (
        lambda: [
            Made(issuer="middle", signer=SMALL_RSA_KEY).der(),
            replace(MIDDLE, key=SMALL_RSA_KEY).der(),
        ],
        "weak-key",
    ),
    "short-digest": (lambda: [Made(digest=hashes.SHA224).der()], "weak-signature"),
    "short-digest-of-intermediate": (lambda: middle(digest=hashes.SHA224), "weak-signature"),
    "unknown-critical-extension": (
        lambda: [
            Made(
                extra=(
                    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True),
                )
            ).der()
        ],
        "untrusted",
    ),
    "names-excluded": (lambda: constrained(excluded=uri(DOMAIN)), "untrusted"),
    "names-permitted-elsewhere": (
        lambda: constrained(permitted=uri("other.example")),
        "untrusted",
    ),
    # Even where they would allow the id: the verifier does not judge URIs, and fails closed.
    "names-permitted-here": (lambda: constrained(permitted=uri(DOMAIN)), "untrusted"),
}


def _resigned(signed: bytes, donor: bytes) -> bytes:
    """Return the first certificate with the second's signature, of equal length or not."""
    own = x509.load_der_x509_certificate(signed)
    other = x509.load_der_x509_certificate(donor)
    body = own.tbs_certificate_bytes + signed[4 + len(own.tbs_certificate_bytes) :][:12]
    bits = b"\x03" + bytes([len(other.signature) + 1]) + b"\0" + other.signature
    whole = body + bits
    return b"\x30\x82" + len(whole).to_bytes(2, "big") + whole


@pytest.mark.parametrize("case", REFUSED)
def test_a_chain_that_proves_nothing_is_refused_for_its_own_reason(case: str) -> None:
    chain, reason = REFUSED[case]
    refused = verify_client(chain(), BUNDLE, NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == reason, refused


def test_an_empty_bundle_trusts_nobody() -> None:
    refused = verify_client([Made().der()], TrustBundle(DOMAIN, ()), NOW)
    assert refused == ChainRefusal("untrusted", "the bundle is empty")


def test_an_authority_of_another_domain_cannot_speak_for_ours() -> None:
    refused = verify_client([Made().der()], TrustBundle("other.example", (ROOT,)), NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "trust-domain"


@pytest.mark.parametrize("moment", [0.0, -1.0, NOW + 1e9, 4e9])
def test_any_time_gives_an_answer(moment: float) -> None:
    assert isinstance(verify_client([Made().der()], BUNDLE, moment), ChainRefusal)


def test_an_expired_root_proves_nothing() -> None:
    old = replace(AUTHORITY, end=-1).der()
    refused = verify_client([Made().der()], TrustBundle(DOMAIN, (old,)), NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "untrusted"


VALID = Made().der()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(VALID) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted_or_raises(position: int, change: int) -> None:
    changed = bytearray(VALID)
    changed[position] ^= change
    assert isinstance(verify_client([bytes(changed)], BUNDLE, NOW), ChainRefusal)


def test_a_signature_with_unused_bits_is_malformed() -> None:
    """The verifier accepts it, and the certificate would have a second thumbprint."""
    while (even := Made().der())[-1] & 1:
        continue
    signature = x509.load_der_x509_certificate(even).signature
    assert even.endswith(b"\0" + signature)
    changed = even[: -len(signature) - 1] + b"\1" + signature
    assert verify_client([changed], BUNDLE, NOW) == ChainRefusal("malformed", "certificate 0")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200) | st.sampled_from([VALID, ROOT, b"\x30\x80"]), max_size=4))
def test_no_bytes_raise(chain: list[bytes]) -> None:
    answer = verify_client(chain, BUNDLE, NOW)
    assert isinstance(answer, VerifiedClient) == (chain[:1] == [VALID] and _all_parse(chain))


def _all_parse(chain: list[bytes]) -> bool:
    return all(der in (VALID, ROOT) for der in chain)


def test_what_the_local_authority_issues_is_accepted_until_it_ends() -> None:
    clock = FixedClock(NOW)
    authority = LocalAuthority.create("test", clock=clock)
    made = new_key_and_request(AGENT)
    issued = authority.issue_for_request(made.request_pem.encode(), spiffe_id=AGENT)
    der = x509.load_pem_x509_certificate(issued.chain_pem.encode()).public_bytes(Encoding.DER)  # type: ignore[union-attr]  # an own request is granted
    bundle = authority.trust_bundle()
    for offset, reason in ((-11, "not-yet-valid"), (3600, "expired")):
        refused = verify_client([der], bundle, NOW + offset)
        assert isinstance(refused, ChainRefusal)
        assert refused.reason == reason
    assert isinstance(verify_client([der], bundle, NOW - 10), VerifiedClient)
    for offset in (0, 3599):
        clock.moment = NOW + offset
        lately = authority.trust_bundle()
        assert isinstance(verify_client([der], lately, NOW + offset), VerifiedClient)


def serial(der: bytes) -> int:
    return x509.load_der_x509_certificate(der).serial_number


def special_list(*, critical: bool = False, entry: bool = False, digest: Key = None) -> bytes:
    """Return a list of the root's that says something beyond which numbers are withdrawn."""
    issuer = x509.load_der_x509_certificate(ROOT)
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(moment)
        .next_update(moment + dt.timedelta(seconds=60))
    )
    if critical:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    if entry:
        one = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(moment)
        names = [x509.DirectoryName(issuer.subject)]
        one = one.add_extension(x509.CertificateIssuer(names), critical=True)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(ROOT_KEY, digest or hashes.SHA256()).public_bytes(Encoding.DER)


ROOT_LIST, MIDDLE_LIST = LISTS
NO_LISTS: dict[str, tuple[bytes, ...]] = {
    "none": (),
    "another-authoritys": (MIDDLE_LIST,),
    "signed-by-another-key": (crl(ROOT, OTHER_KEY),),
    "stale": (crl(ROOT, ROOT_KEY, at=NOW - LIST_LIFE),),
    "of-tomorrow": (crl(ROOT, ROOT_KEY, at=NOW + 86_400),),
    "half": (ROOT_LIST[:-10],),
    "junk": (b"junk", b""),
    "with-a-changed-byte": (ROOT_LIST[:-1] + bytes([ROOT_LIST[-1] ^ 1]),),
    "a-delta-of-another": (special_list(critical=True),),
    "with-entries-of-another-authority": (special_list(entry=True),),
    "weakly-signed": (special_list(digest=hashes.SHA224()),),
}


@pytest.mark.parametrize("case", NO_LISTS)
def test_without_an_answer_about_withdrawal_nobody_is_believed(case: str) -> None:
    bundle = TrustBundle(DOMAIN, (ROOT,), NO_LISTS[case])
    chain = [Made().der()]
    refused = verify_client(chain, bundle, NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "withdrawal-unknown"
    lapsed = verify_client(chain, bundle, NOW, unsafe_ignores_withdrawal=True)
    assert isinstance(lapsed, VerifiedClient)


def test_the_lists_that_are_refused_are_sound_but_for_one_thing() -> None:
    sound = TrustBundle(DOMAIN, (ROOT,), (special_list(),))
    assert isinstance(verify_client([Made().der()], sound, NOW), VerifiedClient)


def test_a_stale_list_still_accuses() -> None:
    leaf = Made().der()
    lists = (crl(ROOT, ROOT_KEY, serial(leaf), at=NOW - LIST_LIFE), ROOT_LIST)
    refused = verify_client([leaf], TrustBundle(DOMAIN, (ROOT,), lists), NOW)
    assert refused == ChainRefusal("certificate-withdrawn")


def test_a_withdrawn_certificate_is_refused_and_its_neighbour_is_not() -> None:
    leaf, neighbour = Made().der(), Made().der()
    bundle = TrustBundle(DOMAIN, (ROOT,), (crl(ROOT, ROOT_KEY, serial(leaf)),))
    assert verify_client([leaf], bundle, NOW) == ChainRefusal("certificate-withdrawn")
    assert isinstance(verify_client([neighbour], bundle, NOW), VerifiedClient)


def test_a_withdrawn_intermediate_takes_its_leaves_along() -> None:
    chain = middle()
    lists = (crl(ROOT, ROOT_KEY, serial(chain[1])), MIDDLE_LIST)
    refused = verify_client(chain, TrustBundle(DOMAIN, (ROOT,), lists), NOW)
    assert refused == ChainRefusal("certificate-withdrawn")


def test_each_authority_of_a_chain_needs_a_list_of_its_own() -> None:
    for lists in ((ROOT_LIST,), (MIDDLE_LIST,)):
        refused = verify_client(middle(), TrustBundle(DOMAIN, (ROOT,), lists), NOW)
        assert isinstance(refused, ChainRefusal)
        assert refused.reason == "withdrawal-unknown"


def test_an_authority_that_may_sign_no_lists_has_none() -> None:
    mute = replace(AUTHORITY, key_usage=usage(sign=False, certify=True)).der()
    bundle = TrustBundle(DOMAIN, (mute,), (crl(mute, ROOT_KEY),))
    refused = verify_client([Made().der()], bundle, NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "withdrawal-unknown"


@given(st.integers(0, len(ROOT_LIST) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_list_raises_or_answers(position: int, change: int) -> None:
    changed = bytearray(ROOT_LIST)
    changed[position] ^= change
    bundle = TrustBundle(DOMAIN, (ROOT,), (bytes(changed),))
    refused = verify_client([Made().der()], bundle, NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "withdrawal-unknown"


def test_a_list_whose_signature_has_unused_bits_answers_nothing() -> None:
    """The parser takes it where those bits happen to be nought."""
    while (der := crl(ROOT, ROOT_KEY, at=NOW))[-1] & 1:
        pass
    signature = x509.load_der_x509_crl(der).signature
    assert der.endswith(b"\0" + signature)
    changed = der[: -len(signature) - 1] + b"\1" + signature
    refused = verify_client([Made().der()], TrustBundle(DOMAIN, (ROOT,), (changed,)), NOW)
    assert isinstance(refused, ChainRefusal)
    assert refused.reason == "withdrawal-unknown"
