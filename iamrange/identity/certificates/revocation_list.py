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
    found = [read for der in lists if (read := _read(der, issuer)) is not None]
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
def _read(der: bytes, issuer: x509.Certificate) -> _List | None:
    """Return what the list says of this issuer's certificates; None: nothing."""
    try:
        read = x509.load_der_x509_crl(der[: _MAX_LIST + 1])
        ends = read.next_update_utc
        if ends is None or not _is_by(read, der, issuer) or not _is_whole(read):
            return None
        serials = frozenset(entry.serial_number for entry in read)
        return _List(serials, read.last_update_utc.timestamp(), ends.timestamp())
    except Exception:  # noqa: BLE001 - the parser raises many kinds
        return None


def _is_by(read: x509.CertificateRevocationList, der: bytes, issuer: x509.Certificate) -> bool:
    """Tell whether the issuer has signed the list, and may."""
    return (
        read.issuer == issuer.subject
        and isinstance(read.signature_hash_algorithm, _STRONG_HASHES)
        # the parser lets a signature with unused bits pass
        and der.endswith(b"\0" + read.signature)
        and _may_sign_lists(issuer)
        and read.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other kinds of keys raise, and are caught
    )


def _is_whole(read: x509.CertificateRevocationList) -> bool:
    """Tell whether the list is about all certificates of its issuer, and about no others.

    A critical extension says that it is not (RFC 5280 sections 5.2 and 5.3).
    """
    extensions = [*read.extensions, *(one for entry in read for one in entry.extensions)]
    return not any(extension.critical for extension in extensions)


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True  # RFC 5280 section 4.2.1.3: without the extension every use is allowed
