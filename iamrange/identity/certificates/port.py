"""The port of the certificate authority: who issues and withdraws SVIDs, what a verifier trusts.

- The local authority is one adapter, OpenBao's PKI another.
- A certificate is given for a signing request alone, which proves that its key is held: no private
  key comes to an authority, or from one.
- A request that a stranger wrote is refused by value; a caller's own mistake is an exception.
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass
from ssl import DER_cert_to_PEM_cert
from typing import Protocol

SVID_LIFE = 3600
"""Seconds that an SVID lives when nothing else is asked."""


class AuthorityError(Exception):
    """The authority could not be asked, or did not answer as one; no request is to blame."""


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
    """The authorities of one trust domain, as DER: what a client chain may end in.

    `revocation_lists` say, as DER too, what they have withdrawn (RFC 5280 section 5). Nothing is
    known of certificates of an authority that has none there.
    """

    trust_domain: str
    authorities: tuple[bytes, ...]
    revocation_lists: tuple[bytes, ...] = ()

    @property
    def pem(self) -> str:
        """The authorities as PEM, one after the other."""
        return "".join(DER_cert_to_PEM_cert(each) for each in self.authorities)

    @property
    def lists_pem(self) -> str:
        """The revocation lists as PEM, one after the other."""
        return "".join(_list_pem(each) for each in self.revocation_lists)


class CertificateAuthorityPort(Protocol):
    """An authority of one trust domain."""

    def issue_for_request(
        self, request: bytes, *, spiffe_id: str, lifetime: float = SVID_LIFE
    ) -> Svid | IssueRefusal:
        """Certify the key of a PEM or DER PKCS #10 request, which proves that it is held.

        `spiffe_id` is the requester as authenticated by the caller. A request may name that id or
        none; whatever else it asks for is not looked at.

        Raises:
            ValueError: the id or the lifetime is none that this authority certifies.
            AuthorityError: it cannot be asked.
        """
        ...

    def withdraw_certificates(self, spiffe_id: str) -> tuple[int, ...]:
        """Put all that the id has and that still live on the list; return their serial numbers.

        Those that are there already are not among them.

        Raises:
            AuthorityError: it cannot be asked, so that nothing is known to be withdrawn.
        """
        ...

    def trust_bundle(self) -> TrustBundle:
        """Return what verifiers trust now, with a list for each authority that answers now.

        Raises:
            AuthorityError: it cannot be asked.
        """
        ...


def _list_pem(der: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(("-----BEGIN X509 CRL-----", *lines, "-----END X509 CRL-----", ""))
