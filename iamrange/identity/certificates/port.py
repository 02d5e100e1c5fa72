"""The port of the certificate authority: who issues SVIDs, and what a verifier trusts.

- The local authority is one adapter; OpenBao's PKI can be another.
- A request that a stranger wrote is refused by value; a caller's own mistake is an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

SVID_LIFE = 3600
"""Seconds that an SVID lives when nothing else is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Svid:
    """An issued X.509-SVID; no private key is in it.

    `chain_pem` is the leaf and whatever intermediates a verifier needs, leaf first, no root.
    """

    spiffe_id: str
    certificate_pem: str
    chain_pem: str
    expires: float


@dataclass(frozen=True, slots=True)
class IssueRefusal:
    """Why a certificate signing request was not granted; `reason` is a stable code."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The authorities of one trust domain, as DER: what a client chain may end in."""

    trust_domain: str
    authorities: tuple[bytes, ...]

    @property
    def pem(self) -> str:
        """The same as PEM, one after the other."""
        return "".join(DER_cert_to_PEM_cert(each) for each in self.authorities)


class CertificateAuthorityPort(Protocol):
    """An authority of one trust domain."""

    def issue_svid(
        self,
        spiffe_id: str,
        public_key: CertificatePublicKeyTypes,
        *,
        lifetime: float = SVID_LIFE,
    ) -> Svid:
        """Certify the key as the id's.

        Raises:
            ValueError: the id, the key or the lifetime is none that this authority certifies.
        """
        ...

    def issue_for_request(
        self, request: bytes, *, spiffe_id: str, lifetime: float = SVID_LIFE
    ) -> Svid | IssueRefusal:
        """Certify the key of a PEM or DER PKCS #10 request, which proves that it is held."""
        ...

    def trust_bundle(self) -> TrustBundle:
        """Return what verifiers trust now."""
        ...
