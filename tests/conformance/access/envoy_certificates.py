"""Certificates that our authority would not issue, for those who must refuse them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.identity.certificates.local_authority import LocalAuthority


def certificate(  # noqa: PLR0913 - keyword-only parts of one certificate
    authority: LocalAuthority | None,
    names: Sequence[x509.GeneralName],
    *,
    key: Any = None,  # noqa: ANN401 - any private key
    starts: float = -60,
    ends: float = 3600,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
) -> str:
    """Return a key and a certificate with these names, signed by the authority or by itself."""
    signer = None if authority is None else authority._active  # noqa: SLF001 - it would not sign these
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(seconds=starts))
        .not_valid_after(now + dt.timedelta(seconds=ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    made = builder.sign(key if signer is None else signer.key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return str((private + made.public_bytes(serialization.Encoding.PEM)).decode())
