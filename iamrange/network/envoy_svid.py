"""A workload's certificate as Envoy is given it: PEM, looked at before Envoy is.

- Envoy turns a certificate down that does not fit its key, keeps the old one and says so in its
  log alone: the mistake is found here instead, where its maker hears of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

# SPIFFE-ID sections 2.1 to 2.3: nothing to fold or decode, no empty or dot segments.
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
_MAX_ID = 2048
_LIST = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def is_spiffe_id(text: str) -> bool:
    """Tell whether the text is a workload's SPIFFE id, in its only spelling."""
    return len(text) <= _MAX_ID and _SPIFFE_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class WorkloadCertificate:
    """A workload's private key and X.509-SVID, leaf first."""

    private_key_pem: str = field(repr=False)
    chain_pem: str = field(repr=False)

    def __post_init__(self) -> None:
        """Check that the two belong together, and whose they are.

        Raises:
            ValueError: they do not parse, do not fit, or name no one SPIFFE id.
        """
        try:
            leaf = x509.load_pem_x509_certificates(self.chain_pem.encode())[0]
            key = serialization.load_pem_private_key(self.private_key_pem.encode(), None)
        except (ValueError, TypeError, IndexError):
            # not chained: the parser's words may hold parts of what it read
            raise ValueError("workload certificate: expected a key and a chain as PEM") from None
        if key.public_key() != leaf.public_key():
            raise ValueError("workload certificate: the key is not the certificate's")
        uris = _uris(leaf)
        if len(uris) != 1 or not is_spiffe_id(uris[0]):
            raise ValueError(f"workload certificate: expected one SPIFFE id, got {uris}")

    @property
    def spiffe_id(self) -> str:
        """Whose it is."""
        return _uris(x509.load_pem_x509_certificates(self.chain_pem.encode())[0])[0]

    @property
    def version(self) -> str:
        """A short name that another certificate does not have."""
        return version_of(self.chain_pem)


def version_of(pem: str) -> str:
    """Return a short name for the text, by which Envoy tells versions of a file apart."""
    return hashlib.sha256(pem.encode()).hexdigest()[:16]


def check_bundle(pem: str) -> None:
    """Check that the text holds authorities.

    Raises:
        ValueError: it holds none: nobody could be believed.
    """
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        found = []
    if not found:
        raise ValueError("trust bundle: expected one or more certificates as PEM")


def check_lists(bundle: str, lists: str) -> None:
    """Check that each authority of the bundle has a revocation list of its own.

    Raises:
        ValueError: one has none: Envoy would turn away everybody whom it has certified.
    """
    found = [_read_list(text) for text in _LIST.findall(lists)]
    for authority in x509.load_pem_x509_certificates(bundle.encode()):
        if not any(one is not None and _is_of(one, authority) for one in found):
            name = authority.subject.rfc4514_string()
            raise ValueError(f"revocation lists: expected one that {name!r} has signed")


def _read_list(text: str) -> x509.CertificateRevocationList | None:
    try:
        return x509.load_pem_x509_crl(text.encode())
    except ValueError:
        return None


def _is_of(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if one.issuer != authority.subject or not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    return one.is_signature_valid(key)


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)
