"""The client certificate that the TLS listener forwards, taken from its header and no other's.

- Envoy writes `x-forwarded-client-cert` after it has removed what the client sent under that name,
  and adds a secret that only it and the service know: without it nothing is believed.
- Malformed, doubled or oversized is as good as absent. Whether the chain is worth anything is
  judged later: what arrives may be self-signed.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

CLIENT_CERTIFICATE = "iamrange.client_certificate"
"""The member of `scope["extensions"]`: a tuple of DER, leaf first."""

SECRET_HEADER = b"x-iamrange-edge"
FORWARDED_HEADER = b"x-forwarded-client-cert"
_PEER_HEADER = b"x-forwarded-for"

_MAX_HEADER = 64 * 1024
_MAX_CHAIN = 8
# A key and its value, quoted or not, up to a separator or the end; never tried twice.
_PAIR = re.compile(rb'([A-Za-z]++)=(?:"((?:[^"\\]++|\\.)*+)"|([^;,"=]*+))(?=[;,]|\Z)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_HEX = frozenset(b"0123456789abcdefABCDEF")


class XfccMiddleware:
    """Puts the forwarded client certificate, and the client's address, into the ASGI scope."""

    def __init__(self, app: ASGIApp, secret: str, *, only_listener: bool = False) -> None:
        """Wrap the app; `secret` is the header value that only the TLS listener knows.

        With `only_listener`, what did not come through the listener is refused altogether (421):
        for an app on a unix socket, which others of its user find too.

        Raises:
            ValueError: the secret is empty: anybody could be the listener.
        """
        if not secret:
            raise ValueError("the edge's secret is empty")
        self._app = app
        self._secret = secret.encode()
        self._only_listener = only_listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without the listener's headers, and with what they say."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        ours = (SECRET_HEADER, FORWARDED_HEADER, _PEER_HEADER)
        inner = dict(scope)
        inner["headers"] = [(name, value) for name, value in headers if name not in ours]
        extensions = dict(scope.get("extensions") or {})
        extensions.pop(CLIENT_CERTIFICATE, None)
        inner["extensions"] = extensions
        if scope.get("client") is None:  # so it is on a unix socket
            inner["client"] = ("", 0)
        if self._is_from_listener(_only(headers, SECRET_HEADER)):
            inner["scheme"] = "https" if scope["type"] == "http" else "wss"
            inner["client"] = (_address(_only(headers, _PEER_HEADER)), 0)
            forwarded = _only(headers, FORWARDED_HEADER)
            chain = parse_forwarded(forwarded) if forwarded is not None else None
            if chain is not None:
                extensions[CLIENT_CERTIFICATE] = chain
        elif self._only_listener:
            await _misdirected(scope, send)
            return
        await self._app(inner, receive, send)

    def _is_from_listener(self, presented: bytes | None) -> bool:
        return presented is not None and hmac.compare_digest(presented, self._secret)


def _only(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    values = [value for name, value in headers if name == wanted]
    return values[0] if len(values) == 1 else None


def _address(value: bytes | None) -> str:
    """Return the one address that the header holds, if any: no hop before the listener counts."""
    try:
        return str(ipaddress.ip_address((value or b"").decode("ascii")))
    except ValueError:
        return ""


async def _misdirected(scope: Scope, send: Send) -> None:
    """Refuse: this is not the connection for that request (RFC 9110 section 15.5.20)."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def parse_forwarded(header: bytes) -> tuple[bytes, ...] | None:
    """Return the chain of an `x-forwarded-client-cert` of exactly one element, as DER, leaf first.

    More elements would be several proxies; there is one, which replaces whatever it was sent. The
    leaf comes from `Cert`; `Chain`, where there is one, must begin with the same certificate.
    """
    if len(header) > _MAX_HEADER:
        return None
    elements = split_elements(header)
    if elements is None or len(elements) != 1:
        return None
    fields = elements[0]
    leaf = _certificates(fields.get(b"cert"))
    if leaf is None or len(leaf) != 1:
        return None
    if b"chain" not in fields:
        return leaf
    chain = _certificates(fields[b"chain"])
    return chain if chain is not None and chain[0] == leaf[0] else None


def split_elements(header: bytes) -> list[dict[bytes, bytes]] | None:
    """Split the header into elements of key and value; None if it does not keep the grammar.

    Elements are separated by commas, pairs by semicolons; a value with either, or with an equals
    sign, is in double quotes, where a backslash escapes. Keys are folded to lower case; a key that
    comes twice in an element (`By`, `URI` and `DNS` may) keeps its first value, except
    those that we read, which make the whole header malformed.
    """
    elements: list[dict[bytes, bytes]] = []
    element: dict[bytes, bytes] = {}
    position = 0
    while (pair := _PAIR.match(header, position)) is not None:
        key, quoted, plain = pair.groups()
        key = key.lower()
        if key not in element:
            element[key] = plain if quoted is None else _ESCAPED.sub(rb"\1", quoted)
        elif key in (b"cert", b"chain"):
            return None
        ending = header[pair.end() : pair.end() + 1]
        if ending != b";":
            elements.append(element)
            element = {}
        if not ending:
            return elements
        position = pair.end() + 1
    return None


def _certificates(value: bytes | None) -> tuple[bytes, ...] | None:
    """Decode URL-encoded PEM; anything between or around the certificates makes it malformed."""
    if value is None or not _is_url_encoded(value):
        return None
    pem = unquote_to_bytes(value)
    if not 0 < pem.count(b"-----BEGIN ") <= _MAX_CHAIN:
        return None
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except Exception:  # noqa: BLE001 - the parser raises many kinds; malformed is as good as absent
        return None
    ders = tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    written = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    # What is written back must be what came: then there was nothing else in it.
    return ders if written == pem else None


def _is_url_encoded(value: bytes) -> bool:
    return all(
        len(part) >= 2 and _HEX.issuperset(part[:2])  # noqa: PLR2004 - two digits follow each percent
        for part in value.split(b"%")[1:]
    )
