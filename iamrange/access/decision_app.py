"""The decision service's face for Envoy's HTTP `ext_authz`: one call in, 200 or the refusal out.

- Envoy sends each request's own method, path and headers, and its whole body. Nobody else is
  believed: whoever lacks the edge's secret is answered 421, and nothing is decided.
- A refusal is the answer that the client gets: status, reason, challenges. 200 carries who calls,
  in headers that the edge sets in place of whatever the client sent.
- The client's 503 leaves here as 424: of a 5xx Envoy would forget the reason, and say that the
  decision service is away.
- Whatever is malformed or breaks is a refusal; nothing of the request is in an answer or a log.
- No routing and no request object: this is on the way of every call.
- The server that runs it must keep idle connections for longer than Envoy does (30 s): a connection
  that closes under a question is a 503 for the one who calls.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iamrange.access.canonical import OVERRIDES
from iamrange.access.decider import FAILED
from iamrange.access.evidence import AccessCall
from iamrange.identity.certificates.forwarded import (
    FORWARDED_HEADER,
    SECRET_HEADER,
    parse_forwarded,
)
from iamrange.identity.http import new_request_id

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from iamrange.access.decide import Decision
    from iamrange.access.decider import GatewayDecider

TARGET_HEADER: Final = b"x-iamrange-target"
"""The request target exactly as the client sent it, by the edge's word.

As `network` names it, like those below; a test holds the two against each other.
"""

REASON_HEADER: Final = "x-iamrange-reason"
UNAVAILABLE: Final = 503
HEARD_AS_503: Final = 424
"""By which the edge tells the client 503, with our reason and body (RFC 4918 section 11.4)."""

PARTIAL_HEADER: Final = b"x-envoy-auth-partial-body"
BODY_BYTES: Final = 1 << 20
_LOG: Final = logging.getLogger(__name__)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_OVERRIDES: Final = frozenset(name.encode() for name in OVERRIDES)
_SAFE: Final = "".join(chr(code) for code in range(0x20, 0x7F))
_EMPTY: Final[tuple[bytes, ...]] = ()
_LONGEST_AGENT: Final = 256


class DecisionApp:
    """The ASGI app."""

    def __init__(
        self,
        decider: GatewayDecider,
        secret: str,
        *,
        body_bytes: int = BODY_BYTES,
        in_threads: bool = False,
    ) -> None:
        """Take the decider and the secret that only the edge knows.

        `in_threads` keeps the event loop free while a store answers; stores in memory need none.

        Raises:
            ValueError: the secret is empty: anybody could be the edge.
        """
        if not secret:
            raise ValueError("the edge's secret is empty")
        self._decider = decider
        self._secret = secret.encode()
        self._body_bytes = body_bytes
        self._in_threads = in_threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide one call."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id = ""
        try:
            headers = _by_name(scope["headers"])
            request_id = _request_id(headers)
            if not self._is_edge(headers):
                await _refuse(send, 421, "not-the-edge", request_id)
                return
            body = await self._body(headers, receive)
            if body is None:
                await _refuse(send, 413, "body-too-long", request_id)
                return
            decision = await self._decision(_call(scope, headers, body, request_id))
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001 - whatever breaks in here must refuse
            # the type alone: a message could hold what the client sent
            _LOG.error("the decision service broke: %s", type(error).__name__)
            await _refuse(send, UNAVAILABLE, FAILED, request_id)
            return
        await _answer(send, decision)

    async def _decision(self, call: AccessCall) -> Decision:
        if self._in_threads:
            return await asyncio.to_thread(self._decider.decide, call)
        return self._decider.decide(call)

    def _is_edge(self, headers: dict[bytes, tuple[bytes, ...]]) -> bool:
        shown = headers.get(SECRET_HEADER, _EMPTY)
        return len(shown) == 1 and hmac.compare_digest(shown[0], self._secret)

    async def _body(
        self, headers: dict[bytes, tuple[bytes, ...]], receive: Receive
    ) -> bytes | None:
        """Return the whole body; None if it is longer, or cut off.

        Raises:
            _GoneError: the edge has gone away.
        """
        if headers.get(PARTIAL_HEADER, (b"false",)) != (b"false",):
            return None
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _GoneError
            body += bytes(message.get("body", b""))
            if len(body) > self._body_bytes:
                return None
            if not message.get("more_body"):
                return body


class _GoneError(Exception):
    """Nobody waits for the answer any more."""


def _by_name(raw: Any) -> dict[bytes, tuple[bytes, ...]]:  # noqa: ANN401 - ASGI's own
    found: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in raw:
        lower = name.lower()
        found[lower] = (*found[lower], value) if lower in found else (value,)
    return found


def _request_id(headers: dict[bytes, tuple[bytes, ...]]) -> str:
    """Return the edge's id for the request, by which its own log is found."""
    shown = headers.get(b"x-request-id", _EMPTY)
    text = shown[0].decode("latin-1") if len(shown) == 1 else ""
    return text if _REQUEST_ID.fullmatch(text) else new_request_id()


def _call(
    scope: Scope, headers: dict[bytes, tuple[bytes, ...]], body: bytes, request_id: str
) -> AccessCall:
    return AccessCall(
        method=scope["method"],
        host=_texts(headers, b"host"),
        target=_target(scope, headers),
        authorization=_texts(headers, b"authorization"),
        dpop=_texts(headers, b"dpop"),
        certificate=_certificate(headers.get(FORWARDED_HEADER, _EMPTY)),
        peer=_address(headers.get(b"x-forwarded-for", _EMPTY)),
        request_id=request_id,
        approval_id=_texts(headers, b"approval-id"),
        body=body,
        user_agent=", ".join(_texts(headers, b"user-agent"))[:_LONGEST_AGENT],
        cookies=_texts(headers, b"cookie"),
        content_type=", ".join(_texts(headers, b"content-type")),
        content_coding=_texts(headers, b"content-encoding"),
        overrides=tuple(name.decode() for name in _OVERRIDES & headers.keys()),
    )


def _target(scope: Scope, headers: dict[bytes, tuple[bytes, ...]]) -> str:
    """Return the target as it came: by the edge's word, else as this server has it.

    An HTTP server cuts off a fragment and reads an absolute form: the edge's word is exact. What a
    server gives as `path` is decoded already, and is another target.
    """
    told = headers.get(TARGET_HEADER)
    if told is not None:
        return told[0].decode("latin-1") if len(told) == 1 else ""
    target: str = (scope.get("raw_path") or b"").decode("latin-1")
    query = scope.get("query_string", b"")
    return f"{target}?{query.decode('latin-1')}" if query else target


def _texts(headers: dict[bytes, tuple[bytes, ...]], name: bytes) -> tuple[str, ...]:
    values = headers.get(name)
    return tuple(value.decode("latin-1") for value in values) if values else ()


@lru_cache(maxsize=4096)
def _address(shown: tuple[bytes, ...]) -> str:
    """Return the one address that the edge saw; none where there are more: hops do not count."""
    try:
        return str(ipaddress.ip_address(shown[0].decode("ascii"))) if len(shown) == 1 else ""
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def _certificate(shown: tuple[bytes, ...]) -> bytes | None:
    """Return the client's certificate in DER; malformed is as good as absent."""
    chain = parse_forwarded(shown[0]) if len(shown) == 1 else None
    return chain[0] if chain else None


async def _answer(send: Send, decision: Decision) -> None:
    if decision.allow:
        headers = [
            (b"content-length", b"0"),
            *((name.lower().encode(), _value(value)) for name, value in decision.headers),
            *((name.encode(), _value(value)) for name, value in decision.identity),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    told = {"error": decision.error, "error_description": decision.description}
    told["approvals_endpoint"] = decision.pointer
    await _refuse(
        send, decision.status, decision.reason, decision.request_id, told, decision.headers
    )


async def _refuse(  # noqa: PLR0913, PLR0917 - an answer's parts
    send: Send,
    status: int,
    reason: str,
    request_id: str,
    told: dict[str, str] | None = None,
    more: tuple[tuple[str, str], ...] = (),
) -> None:
    content = {name: value for name, value in (told or {"error": _ERRORS[status]}).items() if value}
    body = json.dumps({**content, "reason": reason, "request_id": request_id}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
        (REASON_HEADER.encode(), reason.encode()),
        *((name.lower().encode(), _value(value)) for name, value in more),
    ]
    shown = HEARD_AS_503 if status == UNAVAILABLE else status
    await send({"type": "http.response.start", "status": shown, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_ERRORS: Final = {
    413: "invalid_request",
    421: "invalid_request",
    UNAVAILABLE: "temporarily_unavailable",
}


def _value(text: str) -> bytes:
    """Return a header's value; what would end or fold it is written as an escape."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return quote(text, safe=_SAFE).encode()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
