"""Certificate revocation lists (RFC 5280 section 5): made by an authority, asked by verifiers.

- A list that is missing, stale, not its authority's, or that says what we do not understand,
  answers nothing, and no answer is a refusal. An empty list answers: nothing is withdrawn.
- Lists are whole and direct: no deltas, and no entries of other authorities' certificates.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

LIST_LIFE = 600
"""Seconds for which a list answers; its authority makes another in half of that."""

WITHDRAWN = "certificate-withdrawn"
UNKNOWN = "withdrawal-unknown"

_SKEW = 10
_MAX_LIST = 4 * 1024 * 1024
_STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a certificate is not known to be good: `WITHDRAWN`, or `UNKNOWN`."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _List:
    serials: frozenset[int]
    begins: float
    ends: float


def sign_list(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    withdrawn: Mapping[int, float],
    *,
    number: int,
    now: float,
) -> bytes:
    """Return a list as DER: serial number -> when it was withdrawn."""
    moment = dt.datetime.fromtimestamp(int(now), dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(moment - dt.timedelta(seconds=_SKEW))
        .next_update(moment + dt.timedelta(seconds=LIST_LIFE))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    for serial, when in withdrawn.items():
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(dt.datetime.fromtimestamp(int(when), dt.UTC))
            .build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def withdrawal_of(
    certificate: x509.Certificate, issuer: x509.Certificate, lists: Iterable[bytes], now: float
) -> Unanswered | None:
    """Ask the issuer's lists for a certificate that the issuer is known to have signed.

    None: a list that counts now does not have it.
    """
    found = [read for der in lists if isinstance(read := _read(der, issuer), _List)]
    # an old list can still accuse: what was withdrawn does not come back
    if any(certificate.serial_number in one.serials for one in found):
        return Unanswered(WITHDRAWN)
    if any(one.begins - _SKEW <= now < one.ends for one in found):
        return None
    stale = max((one.ends for one in found), default=None)
    if stale is None:
        return Unanswered(UNKNOWN, "no list of the certificate's authority")
    return Unanswered(UNKNOWN, f"the latest list ended at {stale:.0f}, it is {now:.0f}")


@functools.lru_cache(maxsize=64)
def _read(der: bytes, issuer: x509.Certificate) -> _List | str:
    """Return what the list says, or why it says nothing about this issuer's certificates."""
    if len(der) > _MAX_LIST:
        return "too long"
    try:
        read = x509.load_der_x509_crl(der)
        if read.issuer != issuer.subject:
            return "another authority's"
        if not isinstance(read.signature_hash_algorithm, _STRONG_HASHES):
            return "weak signature"
        if not _may_sign_lists(issuer) or not read.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # other kinds of keys raise, and are caught
            return "not signed by the authority"
        # a critical extension limits what the list is about (RFC 5280 sections 5.2 and 5.3)
        if any(extension.critical for extension in read.extensions):
            return "critical extension"
        if read.next_update_utc is None:
            return "without an end"
        serials = set()
        for entry in read:
            if any(extension.critical for extension in entry.extensions):
                return "critical extension of an entry"
            serials.add(entry.serial_number)
        return _List(
            frozenset(serials), read.last_update_utc.timestamp(), read.next_update_utc.timestamp()
        )
    except Exception as error:  # noqa: BLE001 - the parser raises many kinds
        return type(error).__name__


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True  # RFC 5280 section 4.2.1.3: without the extension every use is allowed
