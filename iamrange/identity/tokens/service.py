"""The token service as an ASGI app: paths, bodies and sockets; every decision is made elsewhere.

- The decisions are synchronous. With stores in this process they are made on the event loop; with
  stores behind a network `threads` keeps the loop free.
- The client's certificate comes from the ASGI scope alone, where the TLS listener's middleware put
  it; a header says nothing.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import honest
from iamrange.identity.certificates.forwarded import CLIENT_CERTIFICATE
from iamrange.identity.tokens.assertions import AssertionVerifier
from iamrange.identity.tokens.binding import Binder
from iamrange.identity.tokens.clients import ClientAuthenticator
from iamrange.identity.tokens.endpoint import TokenEndpoint
from iamrange.identity.tokens.exchange import Exchanger
from iamrange.identity.tokens.http import MAX_BODY, HttpRequest, HttpResponse, json_response
from iamrange.identity.tokens.judge import Judge
from iamrange.identity.tokens.limits import Limits
from iamrange.identity.tokens.management import TokenManagement
from iamrange.identity.tokens.metadata import (
    INTROSPECT_PATH,
    KEYS_PATH,
    METADATA_PATH,
    REGISTER_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    metadata,
    metadata_document,
)
from iamrange.identity.tokens.registration import RegistrationEndpoint
from iamrange.identity.tokens.settings import TokenSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink, Tamper
    from iamrange.identity.certificates.port import TrustBundle
    from iamrange.identity.directory.model import Agent, AgentSource
    from iamrange.identity.nonces import NonceSource
    from iamrange.identity.stores.ports import Limiter, ReplayStore, RevocationStore
    from iamrange.identity.tokens.keys import KeyDocument, TokenKeys
    from iamrange.jose import KeySet

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOG: Final = logging.getLogger(__name__)
_CACHED: Final = "public, max-age=60, must-revalidate"
"""A withdrawn key is forgotten by every cache within a minute."""


class TokenService:
    """The authorization server `https://auth.iamrange.example`."""

    def __init__(  # noqa: PLR0913 - keyword-only ports with defaults
        self,
        *,
        agents: AgentSource,
        keys: TokenKeys,
        replay: ReplayStore,
        revocation: RevocationStore,
        limiter: Limiter,
        nonces: NonceSource,
        resources: Mapping[str, frozenset[str] | None],
        clock: Clock,
        records: RecordSink,
        tamper: Tamper = honest,
        settings: TokenSettings | None = None,
        trust_bundle: Callable[[], TrustBundle] | None = None,
        svid_keys: Callable[[], KeySet] | None = None,
        cloud_minter: Callable[[Agent, str], str] | None = None,
        registrar: Callable[[Mapping[str, Any]], Agent | str] | None = None,
        introspectors: Mapping[str, frozenset[str]] | None = None,
        real_clock: Clock | None = None,
        threads: int = 0,
    ) -> None:
        """Take the ports; `resources` are URIs and the scopes that each understands, None: all.

        `real_clock` is by what proofs and assertions are judged, which clients date themselves;
        without it `clock` is. `introspectors` are the agents that may introspect the tokens of a
        resource. `threads` makes decisions in so many threads.

        Raises:
            ValueError: the settings ask for a port that is missing.
        """
        chosen = settings or TokenSettings()
        if chosen.unsafe_cloud_resources and cloud_minter is None:
            raise ValueError("unsafe_cloud_resources: expected a cloud_minter")
        if chosen.unsafe_open_registration and registrar is None:
            raise ValueError("unsafe_open_registration: expected a registrar")
        self._keys = keys
        self._judge = Judge(clock=clock, records=records, tamper=tamper)
        clients = ClientAuthenticator(
            agents=agents,
            assertions=AssertionVerifier(replay=replay, settings=chosen),
            clock=clock,
            real_clock=real_clock or clock,
            trust_bundle=trust_bundle,
            svid_keys=svid_keys,
            unsafe_ignores_withdrawal=chosen.unsafe_ignores_withdrawal,
        )
        limits = Limits(limiter=limiter, settings=chosen)
        token = TokenEndpoint(
            clients=clients,
            binder=Binder(replay=replay, nonces=nonces, settings=chosen),
            exchanger=Exchanger(agents=agents, keys=keys, revocation=revocation, settings=chosen),
            limits=limits,
            keys=keys,
            nonces=nonces,
            resources=resources,
            settings=chosen,
            clock=clock,
            real_clock=real_clock or clock,
            judge=self._judge,
            cloud_minter=cloud_minter,
        )
        management = TokenManagement(
            clients=clients,
            limits=limits,
            keys=keys,
            revocation=revocation,
            clock=clock,
            judge=self._judge,
            introspectors=introspectors or {},
        )
        registration = RegistrationEndpoint(
            limits=limits, settings=chosen, judge=self._judge, registrar=registrar
        )
        document = metadata(
            resources, chosen, certificates=trust_bundle is not None, svids=svid_keys is not None
        )
        self._metadata = metadata_document(document)
        self._decisions: dict[str, Callable[[HttpRequest], HttpResponse]] = {
            TOKEN_PATH: token.answer,
            REVOKE_PATH: management.revoke,
            INTROSPECT_PATH: management.introspect,
            REGISTER_PATH: registration.answer,
        }
        self._documents: dict[str, Callable[[], KeyDocument]] = {
            METADATA_PATH: lambda: self._metadata,
            KEYS_PATH: keys.document,
        }
        self._pool = ThreadPoolExecutor(threads, "tokens") if threads else None

    @property
    def tamper(self) -> Tamper:
        """The seam by which a rogue service is made."""
        return self._judge.tamper

    @tamper.setter
    def tamper(self, tamper: Tamper) -> None:
        self._judge.tamper = tamper

    def close(self) -> None:
        """End the decision threads, where there are any."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = await _read(scope, receive)
        if request is not None:
            await _send(await self._answer(request), request, send)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        decide = self._decisions.get(request.path)
        if decide is not None:
            if request.method != "POST":
                return _not_allowed("POST")
            return _closed(decide, request)
        document = self._documents.get(request.path)
        if document is None:
            return json_response(404, {"error": "not_found"})
        if request.method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        return _document_response(document(), request)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if self._pool is None:
            return self.answer(request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.answer, request)


def _closed(decide: Callable[[HttpRequest], HttpResponse], request: HttpRequest) -> HttpResponse:
    """Decide; whatever breaks in there refuses."""
    try:
        return decide(request)
    except Exception as error:  # noqa: BLE001 - a token service that breaks must not answer 500
        # the type alone: a message could hold what the client sent
        _LOG.error("decision at %s broke: %s", request.path, type(error).__name__)
        body = {
            "error": "temporarily_unavailable",
            "error_description": "the service cannot decide now, try again",
        }
        return json_response(503, body, (("retry-after", "1"),))


def _not_allowed(allowed: str) -> HttpResponse:
    return json_response(405, {"error": "method_not_allowed"}, (("allow", allowed),))


def _document_response(document: KeyDocument, request: HttpRequest) -> HttpResponse:
    headers = (("cache-control", _CACHED), ("etag", document.etag))
    given = ",".join(request.header(b"if-none-match"))
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    if document.etag in tags or "*" in tags:
        return HttpResponse(status=304, headers=headers)
    content = (("content-type", "application/json"), *headers)
    return HttpResponse(status=200, body=document.body, headers=content)


async def _read(scope: Scope, receive: Receive) -> HttpRequest | None:
    """Return the request, or None if the client went away."""
    body: bytes | None = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk: bytes = message.get("body", b"")
        # what is too long is not read on
        body = None if body is None or len(body) + len(chunk) > MAX_BODY else body + chunk
        more = message.get("more_body", False)
        if body is None:
            break
    extensions = scope.get("extensions") or {}
    client = scope.get("client")
    return HttpRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b""),
        headers=tuple(scope["headers"]),
        body=body,
        peer=client[0] if client else "",
        certificates=tuple(extensions.get(CLIENT_CERTIFICATE, ())),
    )


async def _send(response: HttpResponse, request: HttpRequest, send: Send) -> None:
    body = b"" if request.method == "HEAD" else response.body
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    headers.append((b"content-length", str(len(response.body)).encode()))
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
