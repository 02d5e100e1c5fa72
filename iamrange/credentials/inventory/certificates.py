"""Workloads' certificates, from the PEM files that lie in their homes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from iamrange.credentials.inventory.gather import Credential, Kind, SourceDownError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.credentials.inventory.gather import Marker

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_LIMIT: Final = 1 << 20
_AGENT: Final = "/agent/"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReader:
    """Certificates in the `*.pem` and `*.crt` files below a folder."""

    folder: Path

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"files {self.folder}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the first certificate of each file; its public key is marked.

        Raises:
            SourceDownError: the folder or a file of it cannot be read, or holds no certificate.
        """
        if not self.folder.is_dir():
            raise SourceDownError(f"'{self.folder}': expected a folder")
        try:
            for path in sorted(self.folder.rglob("*")):
                if path.suffix not in {".pem", ".crt"} or not path.is_file():
                    continue
                with path.open("rb") as file:
                    data = file.read(_LIMIT)
                if _BEGIN in data:
                    yield self._credential(path, data, marker)
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else "no certificate"
            raise SourceDownError(f"{self.source}: {words}") from error

    def _credential(self, path: Path, data: bytes, marker: Marker) -> Credential:
        certificate = x509.load_pem_x509_certificates(data)[0]
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = _uri_of(certificate)
        return Credential(
            source=self.source,
            kind=Kind.CERTIFICATE,
            name=str(path.relative_to(self.folder)),
            created=certificate.not_valid_before_utc.timestamp(),
            expires=certificate.not_valid_after_utc.timestamp(),
            owner=subject or certificate.subject.rfc4514_string() or None,
            agent=subject.partition(_AGENT)[2] or None,
            # whoever verifies it looks at its end: a certificate past it is accepted nowhere
            active=False,
            marks=marker.of(key.hex()),
        )


def _uri_of(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ""
    found = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return found[0] if found else ""
