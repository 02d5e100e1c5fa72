"""Whether a client's certificate chain proves one of our SPIFFE ids (RFC 8705 section 2.1).

- Only our own bundle counts; the machine's trust store does not, and names prove nothing.
- Whatever a client presents, the answer is a value: bytes that do not parse are a refusal.
- A self-signed certificate is refused here: it authenticates by its registered thumbprint
  (RFC 8705 section 2.2), which is checked where keys are.
- Each authority along the chain is asked whether it has withdrawn what it signed (RFC 5280 section
  6.3): no answer is a refusal.
- Signatures, times and constraints along the chain are checked by `cryptography`'s verifier, which
  refuses name constraints on URIs since it cannot judge them; the leaf's form is checked here.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from iamrange.identity.certificates.algorithms import is_strong_key
from iamrange.identity.certificates.revocation_list import withdrawal_of
from iamrange.identity.certificates.spiffe import parse_spiffe_id
from iamrange.identity.certificates.svid import load_certificate, thumbprint, uri_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.identity.certificates.port import TrustBundle

_MAX_CHAIN = 8
_MAX_DEPTH = 4
_STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class VerifiedClient:
    """A client whose chain ends in our bundle; made by `verify_client` only."""

    spiffe_id: str
    x5t_s256: str


@dataclass(frozen=True, slots=True)
class ChainRefusal:
    """Why a chain proves nothing; `reason` is a stable code."""

    reason: str
    detail: str = ""


def verify_client(
    chain: Sequence[bytes],
    bundle: TrustBundle,
    now: float,
    *,
    unsafe_ignores_withdrawal: bool = False,
) -> VerifiedClient | ChainRefusal:
    """Judge the chain that a client presented, as DER, leaf first, roots optional.

    With `unsafe_ignores_withdrawal` nobody asks whether a certificate was withdrawn.
    """
    if not chain:
        return ChainRefusal("no-certificate")
    if len(chain) > _MAX_CHAIN:
        return ChainRefusal("chain-too-long", f"expected at most {_MAX_CHAIN}, got {len(chain)}")
    certificates = [load_certificate(der) for der in chain]
    parsed = [certificate for certificate in certificates if certificate is not None]
    if len(parsed) != len(certificates):
        return ChainRefusal("malformed", f"certificate {certificates.index(None)}")
    leaf, *intermediates = parsed
    refusal = (
        _weakness(parsed)
        or _wrong_form(leaf)
        or _wrong_name(leaf, bundle.trust_domain)
        or _wrong_time(leaf, now)
    )
    if refusal is not None:
        return refusal
    verified = _verified(leaf, intermediates, bundle, now)
    if isinstance(verified, ChainRefusal):
        return verified
    refusal = _foreign_authority(verified, bundle.trust_domain)
    if refusal is None and not unsafe_ignores_withdrawal:
        refusal = _withdrawn(verified, bundle, now)
    if refusal is not None:
        return refusal
    return VerifiedClient(uri_names(leaf)[0], thumbprint(chain[0]))


def _weakness(certificates: Sequence[x509.Certificate]) -> ChainRefusal | None:
    for index, certificate in enumerate(certificates):
        if not is_strong_key(certificate.public_key()):
            return ChainRefusal("weak-key", f"certificate {index}")
        if not isinstance(certificate.signature_hash_algorithm, _STRONG_HASHES):
            return ChainRefusal("weak-signature", f"certificate {index}")
    return None


def _wrong_form(leaf: x509.Certificate) -> ChainRefusal | None:
    """Check what X509-SVID sections 4 and 5.2 ask of a leaf."""
    extensions = leaf.extensions
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        pass  # absent means that it is no authority (RFC 5280 section 4.2.1.9)
    else:
        if constraints.ca:
            return ChainRefusal("ca-certificate")
    if leaf.issuer == leaf.subject:
        return ChainRefusal("self-signed")
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ChainRefusal("key-usage", "none")
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        return ChainRefusal("key-usage")
    try:
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ChainRefusal("extended-key-usage", "none")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        return ChainRefusal("extended-key-usage", "no clientAuth")
    return None


def _wrong_name(leaf: x509.Certificate, trust_domain: str) -> ChainRefusal | None:
    uris = uri_names(leaf)
    if len(uris) != 1:
        return ChainRefusal("spiffe-id", f"expected exactly one URI name, got {len(uris)}")
    name = parse_spiffe_id(uris[0])
    if name is None or not name.path:
        return ChainRefusal("spiffe-id", "malformed, or without a path")
    if name.trust_domain != trust_domain:
        return ChainRefusal("trust-domain", f"expected {trust_domain!r}")
    return None


def _wrong_time(leaf: x509.Certificate, now: float) -> ChainRefusal | None:
    if now < leaf.not_valid_before_utc.timestamp():
        return ChainRefusal("not-yet-valid")
    if now >= leaf.not_valid_after_utc.timestamp():
        return ChainRefusal("expired")
    return None


def _verified(
    leaf: x509.Certificate,
    intermediates: list[x509.Certificate],
    bundle: TrustBundle,
    now: float,
) -> list[x509.Certificate] | ChainRefusal:
    """Return the chain to one of the bundle's authorities, leaf first, with that authority."""
    if not bundle.authorities:
        return ChainRefusal("untrusted", "the bundle is empty")
    verifier = (
        PolicyBuilder()
        .store(_store(bundle.authorities))
        .time(dt.datetime.fromtimestamp(now, dt.UTC).replace(tzinfo=None))
        .max_chain_depth(_MAX_DEPTH)
        .build_client_verifier()
    )
    try:
        return list(verifier.verify(leaf, intermediates).chain)
    except VerificationError as error:
        return ChainRefusal("untrusted", str(error)[:200])
    except Exception as error:  # noqa: BLE001 - whatever a stranger's certificate makes it raise
        return ChainRefusal("untrusted", type(error).__name__)


def _foreign_authority(chain: Sequence[x509.Certificate], trust_domain: str) -> ChainRefusal | None:
    for authority in chain[1:]:
        for uri in uri_names(authority):
            name = parse_spiffe_id(uri)
            if name is None or name.trust_domain != trust_domain:
                return ChainRefusal("trust-domain", "of an authority in the chain")
    return None


def _withdrawn(
    chain: Sequence[x509.Certificate], bundle: TrustBundle, now: float
) -> ChainRefusal | None:
    for certificate, issuer in itertools.pairwise(chain):
        unanswered = withdrawal_of(certificate, issuer, bundle.revocation_lists, now)
        if unanswered is not None:
            return ChainRefusal(unanswered.reason, unanswered.detail)
    return None


@functools.lru_cache(maxsize=16)
def _store(authorities: tuple[bytes, ...]) -> Store:
    return Store([x509.load_der_x509_certificate(der) for der in authorities])
