"""An agent's side of an SVID: its key, its signing request, and reading what came back."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from iamrange.identity.certificates.spiffe import SpiffeId, parse_spiffe_id

_MAX_CERTIFICATE = 16 * 1024


@dataclass(frozen=True, slots=True)
class KeyAndRequest:
    """A new private key, and the PKCS #10 request that proves that it is held."""

    private_key_pem: str = field(repr=False)
    request_pem: str


def new_key() -> tuple[ec.EllipticCurvePrivateKey, str]:
    """Make a P-256 key; return it, and its PEM (PKCS #8, not encrypted)."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key, private.decode()


def new_key_and_request(spiffe_id: str) -> KeyAndRequest:
    """Make a P-256 key and a signing request for the id.

    Raises:
        ValueError: it is no SPIFFE id.
    """
    if parse_spiffe_id(spiffe_id) is None:
        raise ValueError(f"no SPIFFE id: {spiffe_id[:200]!r}")
    key, private = new_key()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "iamrange")]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return KeyAndRequest(private, request.public_bytes(serialization.Encoding.PEM).decode())


def thumbprint(der: bytes) -> str:
    """Return the certificate's `x5t#S256` (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def load_certificate(der: bytes) -> x509.Certificate | None:
    """Return the certificate that the DER is, with its extensions readable, or None."""
    if len(der) > _MAX_CERTIFICATE:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        # These are parsed when they are first read: what does not parse is no certificate.
        _ = certificate.extensions, certificate.public_key(), certificate.version
        _ = certificate.subject, certificate.issuer, certificate.signature_hash_algorithm
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception:  # noqa: BLE001 - the parser raises many kinds; a stranger chose the bytes
        return None
    # The parser lets these pass: a number that is not positive (RFC 5280 section 4.1.2.2), and a
    # signature with unused bits, by which one certificate would have several thumbprints.
    if certificate.serial_number <= 0 or not der.endswith(b"\0" + certificate.signature):
        return None
    return certificate


def uri_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the URIs among the certificate's alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier))


def svid_id(certificate: x509.Certificate) -> SpiffeId | None:
    """Return the SPIFFE id of the certificate: its only URI name (X509-SVID section 2)."""
    uris = uri_names(certificate)
    return parse_spiffe_id(uris[0]) if len(uris) == 1 else None
