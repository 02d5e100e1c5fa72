"""The certificates that the local authority makes: its own, and SVIDs (X509-SVID sections 2-5)."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iamrange.identity.certificates.svid import thumbprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from iamrange.identity.certificates.spiffe import SpiffeId

AUTHORITY_LIFE = 30 * 24 * 3600
BACKDATED = 10
"""Seconds by which clocks of verifiers may be behind ours."""


@dataclass(frozen=True, slots=True)
class AuthorityKey:
    """An authority's private key, and its certificate for it."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def x5t_s256(self) -> str:
        """The certificate's thumbprint."""
        return thumbprint(self.der)


def sign_svid(
    signer: AuthorityKey,
    name: SpiffeId,
    key: CertificatePublicKeyTypes,
    now: float,
    ends: dt.datetime,
) -> x509.Certificate:
    """Return an X.509-SVID: names, usages and times are chosen here, the key is the requester's."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    authority = signer.key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "iamrange")]))
        .issuer_name(signer.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(math.floor(now) - BACKDATED))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(name))]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False
        )
        .sign(signer.key, hashes.SHA256())
    )


def new_authority(name: str, trust_domain: str, now: float) -> AuthorityKey:
    """Make an authority of a trust domain, which certifies leaves alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "iamrange"),
            # At most 64 characters (RFC 5280 appendix A.1). The number keeps two authorities of
            # one name apart for verifiers that look issuers up by name.
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or trust_domain[:64]),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{x509.random_serial_number():x}"[:32]),
        ]
    )
    start = math.floor(now)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(start - BACKDATED))
        .not_valid_after(moment(start + AUTHORITY_LIFE))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        # The trust domain itself, without a path (X509-SVID section 3.2).
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return AuthorityKey(key, certificate)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def read_authority(pem: str) -> AuthorityKey:
    """Take up what `authority_pem` returned.

    Raises:
        ValueError: it is nothing of the kind.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    certificate = x509.load_pem_x509_certificate(pem.encode())
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("authority state: the key is not on an elliptic curve")  # noqa: TRY004 - a wrong value in a file
    if certificate.public_key() != key.public_key():
        raise ValueError("authority state: the key is not the certificate's")
    return AuthorityKey(key, certificate)


def authority_pem(authority: AuthorityKey) -> str:
    """Return key and certificate: whoever holds this is the authority."""
    private = authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return private + pem_of(authority.certificate)


def moment(seconds: float) -> dt.datetime:
    """Return a moment as certificates have it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def pem_of(certificate: x509.Certificate) -> str:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
