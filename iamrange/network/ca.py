"""A world's own certificate authority, which mints a server certificate for any name asked for.

- The authority's key lives in memory only; nothing outside the world trusts it.
- One leaf key serves all names of one authority: the world is one process anyway.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iamrange.network.names import canonical_host

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIFE = dt.timedelta(days=30)
_BACKDATED = dt.timedelta(days=1)
_KEPT_CONTEXTS = 256


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A server's key and chain, leaf first, for a TLS listener that is not Python's."""

    private_key_pem: str = field(repr=False)
    chain_pem: str
    serial: str


@dataclass(slots=True)
class CertificateAuthority:
    """A root, and the leaf contexts that it has minted."""

    name: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _certificate: x509.Certificate = field(repr=False)
    _leaf_key: ec.EllipticCurvePrivateKey = field(repr=False)
    _contexts: OrderedDict[str, ssl.SSLContext] = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def create(cls, name: str) -> CertificateAuthority:
        """Make a new authority with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "iamrange"),
                x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
            ]
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(name, key, certificate, ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> str:
        """The authority's certificate, for clients to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self) -> ssl.SSLContext:
        """Return a context that presents a certificate for whatever name the client asks for.

        A client that names none (it dialled an address) is shown one for `localhost`.
        """
        context = self._context("localhost")

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            host = canonical_host(name) if name else "localhost"
            if host is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            connection.context = self._context(host)
            return None

        context.sni_callback = choose
        return context

    def server_certificate(self, hosts: Sequence[str]) -> ServerCertificate:
        """Mint one certificate, with a key of its own, that names all the hosts.

        Raises:
            ValueError: no host is given.
        """
        if not hosts:
            raise ValueError("server certificate: no host names")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(hosts, key.public_key())
        chain = (certificate, self._certificate)
        return ServerCertificate(
            _private_pem(key).decode(),
            b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain).decode(),
            f"{certificate.serial_number:x}",
        )

    def _context(self, host: str) -> ssl.SSLContext:
        known = self._contexts.get(host)
        if known is not None:
            self._contexts.move_to_end(host)
            return known
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # The ssl module reads certificates from files only; this one is private and short-lived.
        with tempfile.NamedTemporaryFile(prefix="iamrange-leaf-") as file:
            file.write(self._leaf(host))
            file.flush()
            context.load_cert_chain(file.name)
        self._contexts[host] = context
        if len(self._contexts) > _KEPT_CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def _leaf(self, host: str) -> bytes:
        chain = (self._certify([host], self._leaf_key.public_key()), self._certificate)
        pem = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain)
        return _private_pem(self._leaf_key) + pem

    def _certify(self, hosts: Sequence[str], public: ec.EllipticCurvePublicKey) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        if "localhost" in hosts:
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        # A common name is limited to 64 characters (RFC 5280 appendix A.1); clients read the
        # alternative names only.
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "iamrange")])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            _builder(subject, self._certificate.subject, public)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            # The subject names no host, so the alternative names must be critical (RFC 5280
            # section 4.2.1.6) only if it were empty; it is not.
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFE)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
