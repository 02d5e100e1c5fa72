"""A protected resource over HTTP: a guard for ASGI apps, and the resource's metadata (RFC 9728).

- `TokenGuard` stands before a route's endpoint or a whole app. What it admits finds the token in
  `admitted(scope)`; what it denies never reaches the app.
- The URL that a proof must name is the resource's own origin with the path as it came: a Host
  header of the client's choosing is not asked.
- A client's certificate is taken from where the listener's own middleware puts it, nowhere else.
- Whatever goes wrong in here refuses with 503; nothing of the request is in an answer or a log.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from iamrange.identity.challenges import UNAVAILABLE, metadata_url
from iamrange.identity.dpop import ALGORITHMS
from iamrange.identity.http import new_request_id
from iamrange.identity.names import AUTH_ISSUER
from iamrange.identity.presentation import Call
from iamrange.identity.protected import Admitted, Denied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from iamrange.identity.protected import TokenVerifier

CERTIFICATE_EXTENSION: Final = "iamrange.client_certificate"
_ADMITTED: Final = "iamrange.admitted"
_FORM: Final = b"application/x-www-form-urlencoded"
_FORM_LIMIT: Final = 64 * 1024
_TOO_LARGE: Final = Denied(status=413, error="invalid_request", description="the form is too large")
_LOG: Final = logging.getLogger(__name__)


def admitted(scope: Scope) -> Admitted:
    """Return what the guard admitted.

    Raises:
        KeyError: no guard stood before this app.
    """
    found: Admitted = scope[_ADMITTED]
    return found


class TokenGuard:
    """Lets through to an app what a verifier admits; an app and a Starlette endpoint itself."""

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        *,
        scopes: Iterable[str] | Callable[[Scope], Iterable[str]] = (),
        in_threads: bool = True,
    ) -> None:
        """Take the app, its verifier, and the scopes that it needs, or how to tell them.

        `in_threads` keeps the event loop free while a store answers; stores in memory need none.
        """
        self._app = app
        self._verifier = verifier
        self._scopes = scopes if callable(scopes) else frozenset(scopes)
        self._in_threads = in_threads
        parts = urlsplit(verifier.resource)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request; hand it on or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # a websocket has no place for a proof that could be asked for again
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id = new_request_id()
        form = await _form(scope, receive)
        if form is None:
            too_large = replace(_TOO_LARGE, headers=(self._verifier.nonce_header,))
            await _deny(too_large, request_id)(scope, receive, send)
            return
        answer = await self._judge(scope, form, request_id)
        if isinstance(answer, Denied):
            await _deny(answer, request_id)(scope, receive, send)
            return
        scope[_ADMITTED] = answer
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await self._app(scope, _again(form, receive), _adding(headers, send))

    async def principal(self, request: Request) -> str | Response:
        """Return whom the request's token lets act here, or the answer that refuses.

        For apps that ask for themselves, and whose requests are no forms.
        """
        request_id = new_request_id()
        answer = await self._judge(request.scope, b"", request_id)
        if isinstance(answer, Denied):
            return _deny(answer, request_id)
        return answer.token.acting

    async def _judge(self, scope: Scope, form: bytes, request_id: str) -> Admitted | Denied:
        try:
            call = self._call(scope, form, request_id)
            if self._in_threads:
                return await run_in_threadpool(self._verifier.verify, call)
            return self._verifier.verify(call)
        except Exception as error:  # noqa: BLE001 - whatever breaks in a guard must refuse
            # the type alone: a message could hold what the client sent
            _LOG.error("verifier of %s broke: %s", self._origin, type(error).__name__)
            return Denied(
                status=UNAVAILABLE.status,
                error=UNAVAILABLE.error,
                description=UNAVAILABLE.description,
            )

    def _call(self, scope: Scope, form: bytes, request_id: str) -> Call:
        named: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            named.setdefault(name.lower(), []).append(value.decode("latin-1"))
        scopes = self._scopes(scope) if callable(self._scopes) else self._scopes
        certificates = (scope.get("extensions") or {}).get(CERTIFICATE_EXTENSION) or (None,)
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        return Call(
            method=scope["method"],
            url=self._origin + path.decode("latin-1").partition("?")[0],
            authorization=tuple(named.get(b"authorization", ())),
            dpop=tuple(named.get(b"dpop", ())),
            query=scope.get("query_string", b"").decode("latin-1"),
            form=form.decode("latin-1"),
            cookies=tuple(named.get(b"cookie", ())),
            certificate=certificates[0],
            scopes=frozenset(scopes),
            peer=(scope.get("client") or ("",))[0],
            user_agent=", ".join(named.get(b"user-agent", ()))[:256],
            request_id=request_id,
        )


async def _form(scope: Scope, receive: Receive) -> bytes | None:
    """Read the body where it is a form, to look for a token in it; None if it is too large."""
    types = [value for name, value in scope["headers"] if name.lower() == b"content-type"]
    if not any(value.strip().lower().startswith(_FORM) for value in types):
        return b""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > _FORM_LIMIT:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


def _again(form: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the form that was read already, then what follows."""
    if not form:
        return receive
    unread: list[Message] = [{"type": "http.request", "body": form, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return receive_again


def _adding(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return send_more


def _deny(answer: Denied, request_id: str) -> JSONResponse:
    body = {"error": answer.error, "error_description": answer.description}
    response = JSONResponse(
        {name: value for name, value in body.items() if value} | {"request_id": request_id},
        status_code=answer.status,
        headers={"Cache-Control": "no-store", "X-Request-Id": request_id},
    )
    for name, value in answer.headers:
        response.headers.append(name, value)
    if answer.status == UNAVAILABLE.status:
        response.headers["Retry-After"] = "1"
    return response


def request_guard(
    verifier: TokenVerifier, *, in_threads: bool = True
) -> Callable[[Request, str], Awaitable[str | Response]]:
    """Return a guard that is asked with a request and the one scope that it needs."""
    guards: dict[str, TokenGuard] = {}

    async def guard(request: Request, scope: str) -> str | Response:
        if scope not in guards:
            guards[scope] = TokenGuard(_nobody, verifier, scopes={scope}, in_threads=in_threads)
        return await guards[scope].principal(request)

    return guard


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand where an app would: a guard that is only asked hands nothing on."""


def metadata(resource: str, *, scopes: Iterable[str], issuer: str = AUTH_ISSUER) -> dict[str, Any]:
    """Return a resource's metadata document (RFC 9728 section 2)."""
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": sorted(scopes),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        # a token is bound to a key or to a certificate: to one of them, so neither is a must
        "dpop_bound_access_tokens_required": False,
        "tls_client_certificate_bound_access_tokens": True,
    }


def metadata_route(resource: str, *, scopes: Iterable[str], issuer: str = AUTH_ISSUER) -> Route:
    """Return the route of a resource's metadata."""
    document = metadata(resource, scopes=scopes, issuer=issuer)

    async def answer(_request: Request) -> JSONResponse:
        return JSONResponse(document, headers={"Cache-Control": "max-age=300"})

    return Route(urlsplit(metadata_url(resource)).path, answer, methods=["GET"])
