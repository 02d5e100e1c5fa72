"""How both clouds fetch an issuer's discovery document and keys.

- Loopback only: a host is reached where `resolve` says, or not at all. The name that TLS checks
  stays the issuer's own.
- No redirect is followed, and one deadline covers the whole fetch: a redirect or a slow answer
  would let an issuer steer or stall a verifier.
- A chain that no configured authority vouches for is still returned, untrusted, because AWS then
  compares a thumbprint. It must at least be a proper chain for the name, up to its own top.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import h11

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY: Final = 1 << 20
_CHUNK: Final = 1 << 16


class FetchError(Exception):
    """The document could not be had: unreachable, too slow, too big, or no proper HTTP or TLS."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, and what the peer's certificates are worth.

    `chain` is DER, leaf first, empty over plain http. `trusted` tells whether it verifies against
    the configured authorities for the host's name; a plain http link, which only the range's
    operator can set up, counts as trusted.
    """

    status: int
    body: bytes
    chain: tuple[bytes, ...]
    trusted: bool


class Fetcher(Protocol):
    """Fetches one https URL."""

    async def fetch(self, url: str) -> Fetched:
        """Return the answer.

        Raises:
            FetchError: there is none.

        """
        ...


class HttpFetcher:
    """Fetches over loopback sockets; opens a connection per fetch and keeps none."""

    def __init__(
        self,
        *,
        resolve: Mapping[str, str],
        authorities: tuple[str, ...] = (),
        timeout: float = 5.0,
    ) -> None:
        """Take the host map, and the authorities as PEM text or as paths of PEM files.

        Raises:
            ValueError: a host is mapped to something that is not http(s) on loopback.

        """
        self._resolve = {host.lower(): _Base.parse(base) for host, base in resolve.items()}
        self._authorities = authorities
        self._timeout = timeout

    async def fetch(self, url: str) -> Fetched:
        """Return the answer of an https URL.

        Raises:
            FetchError: there is none.

        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise FetchError("no URL") from error
        if not url.isascii():
            # RFC 3986 section 2: what stands outside ASCII is percent-encoded
            raise FetchError("no URL: not ASCII")
        host = parts.hostname or ""
        base = self._resolve.get(host)
        if parts.scheme != "https" or base is None:
            raise FetchError(f"host {host!r}: not reachable")
        path = base.prefix + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._fetch(base, host, path)
        except TimeoutError as error:
            raise FetchError(f"host {host!r}: no answer in {self._timeout} s") from error
        except (OSError, h11.RemoteProtocolError, h11.LocalProtocolError) as error:
            raise FetchError(f"host {host!r}: {type(error).__name__}") from error

    async def _fetch(self, base: _Base, host: str, path: str) -> Fetched:
        if not base.tls:
            status, body, _ = await _get(base, host, path, None)
            return Fetched(status, body, (), trusted=True)
        try:
            status, body, chain = await _get(base, host, path, _context(*self._authorities))
        except ssl.SSLCertVerificationError:
            return await self._fetch_untrusted(base, host, path)
        return Fetched(status, body, chain, trusted=True)

    async def _fetch_untrusted(self, base: _Base, host: str, path: str) -> Fetched:
        """Fetch under the top of the chain that the peer itself presents.

        Without this second verification anyone could append a pinned certificate to a chain of
        their own.
        """
        chain = await _peer_chain(base, host)
        if not chain:
            raise FetchError(f"host {host!r}: no certificate")
        context = _context(ssl.DER_cert_to_PEM_cert(chain[-1]))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        status, body, again = await _get(base, host, path, context)
        if again[-1:] != chain[-1:]:
            raise FetchError(f"host {host!r}: the certificate changed")
        return Fetched(status, body, again, trusted=False)


@dataclass(frozen=True, slots=True)
class _Base:
    """Where a host really listens."""

    tls: bool
    address: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> _Base:
        parts = urlsplit(url)
        # a literal address, so that asyncio starts no resolver thread
        address = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        if parts.scheme not in ("http", "https") or not ipaddress.ip_address(address).is_loopback:
            raise ValueError(f"resolve: expected http(s) on loopback, got {url!r}")
        tls = parts.scheme == "https"
        return cls(tls, address, parts.port or (443 if tls else 80), parts.path.rstrip("/"))


def _context(*authorities: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in authorities:
        text = authority if "-----BEGIN" in authority else Path(authority).read_text("ascii")
        context.load_verify_locations(cadata=text)
    return context


async def _peer_chain(base: _Base, host: str) -> tuple[bytes, ...]:
    """Handshake without verification, only to see the certificates; nothing is sent or read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(
        base.address, base.port, ssl=context, server_hostname=host
    )
    try:
        return _chain(writer)
    finally:
        await _hang_up(writer)


async def _get(
    base: _Base, host: str, path: str, context: ssl.SSLContext | None
) -> tuple[int, bytes, tuple[bytes, ...]]:
    reader, writer = await asyncio.open_connection(
        base.address, base.port, ssl=context, server_hostname=host if context else None
    )
    try:
        chain = _chain(writer) if context else ()
        connection = h11.Connection(h11.CLIENT)
        headers = [
            ("Host", host),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        request = h11.Request(method="GET", target=path, headers=headers)
        writer.write(connection.send(request) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        status, body = await _answer(reader, connection)
    finally:
        await _hang_up(writer)
    return status, body, chain


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Drop the connection now: the process may fork as soon as the loop pauses."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, connection: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise FetchError(f"more than {MAX_BODY} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, body
        elif isinstance(event, h11.ConnectionClosed):
            raise FetchError("the connection closed early")


def _chain(writer: asyncio.StreamWriter) -> tuple[bytes, ...]:
    """Return the certificates as the peer sent them, leaf first.

    Python 3.13 has a public method for this; before, only the wrapped object knows.
    """
    tls = writer.get_extra_info("ssl_object")
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return tuple(public())
    wrapped = tls._sslobj.get_unverified_chain()  # noqa: SLF001 - no public way before 3.13
    return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in wrapped)
