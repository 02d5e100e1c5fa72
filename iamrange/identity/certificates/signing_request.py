"""What a PKCS #10 request may ask for: a certificate for its key, and for one name or none.

- Both authorities ask here before they sign, so that what one refuses the other refuses too.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from iamrange.identity.certificates.algorithms import is_strong_key
from iamrange.identity.certificates.port import IssueRefusal

_MAX_REQUEST = 16 * 1024


def read_request(data: bytes, *, spiffe_id: str) -> x509.CertificateSigningRequest | IssueRefusal:
    """Return the request in PEM or DER, or why nothing is signed for it.

    It is signed with the key that it names, the key is of a kind that is certified, and it names
    `spiffe_id` or nothing. What else it asks for is not looked at.
    """
    asked = _load(data)
    if asked is None:
        return IssueRefusal("malformed-request")
    if not is_strong_key(asked.public_key()):
        return IssueRefusal("weak-key")
    if not _is_signed(asked):
        return IssueRefusal("no-proof-of-possession")
    names = _names(asked)
    if names is None or (names and names != (spiffe_id,)):
        return IssueRefusal("other-name", f"expected {spiffe_id!r} or none")
    return asked


def _load(data: bytes) -> x509.CertificateSigningRequest | None:
    if len(data) > _MAX_REQUEST:
        return None
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            request = x509.load_pem_x509_csr(data)
        else:
            request = x509.load_der_x509_csr(data)
        _ = request.extensions, request.public_key(), request.signature_hash_algorithm
        der = request.public_bytes(Encoding.DER)
    except Exception:  # noqa: BLE001 - the parser raises many kinds; a stranger chose the bytes
        return None
    # the parser lets a signature with unused bits pass, by which one request has several spellings
    return request if der.endswith(b"\0" + request.signature) else None


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    if not isinstance(
        request.signature_hash_algorithm, (hashes.SHA256, hashes.SHA384, hashes.SHA512)
    ):
        return False
    try:
        return request.is_signature_valid
    except Exception:  # noqa: BLE001 - an unsupported or malformed signature proves nothing
        return False


def _names(request: x509.CertificateSigningRequest) -> tuple[str, ...] | None:
    """Return the URIs asked for; None if other kinds of names are asked for too."""
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    return uris if len(uris) == len(tuple(names)) else None
