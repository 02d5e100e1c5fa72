"""A service behind the gateway: it keeps a few things, and trusts its sidecar.

- Whoever comes was let in by the sidecar, and who asks is what the gateway says in `x-agent-id`.
- Like many frameworks it resolves a path before it looks it up; and it reads the first of several
  headers. Neither matters while the gateway does its part.
- What belongs to one agent is given to that agent only: a decision of the service's own.
"""

from __future__ import annotations

import posixpath
import uuid
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.responses import JSONResponse
from starlette.routing import Router

from iamrange.core.decision import (
    DecisionRecord,
    Effect,
    LayerAnswer,
    Outcome,
    RecordSink,
    Tamper,
    honest,
)
from iamrange.identity.protected_http import metadata_route
from iamrange.range.service_log import LONGEST_BODY
from iamrange.range.services import RECORD

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from iamrange.core.clock import Clock
    from iamrange.range.service_log import ServiceLog
    from iamrange.range.services import Service

POINT = "service.record"
AGENT_HEADER = b"x-agent-id"
SAME_RECORD = "/records/newest"
"""Another address of the latest record, as services often have them."""

WRITES = frozenset({"POST", "PUT", "PATCH"})
ENTRIES = ("logs", "GET", "/entries/latest")
"""Where the services' log is read."""


async def _body(receive: Receive) -> bytes:
    """Read the body, and keep of it what is logged at most."""
    kept = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        kept = (kept + part)[: LONGEST_BODY + 1]
        if message["type"] != "http.request" or not message.get("more_body"):
            return kept


class ServiceApp:
    """The ASGI app of one service."""

    def __init__(
        self,
        service: Service,
        *,
        clock: Clock,
        records: RecordSink,
        log: ServiceLog,
        tamper: Tamper = honest,
    ) -> None:
        """Start with nothing kept. `log` is what all services write, and one of them serves."""
        self._service = service
        self._clock = clock
        self._records = records
        self._tamper = tamper
        self._log = log
        self._kept: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._metadata = Router([metadata_route(service.resource, scopes=service.scopes)])

    def keep(self, path: str, value: str, *, owner: str | None = None) -> None:
        """Keep a value under a path; with an owner it is that agent's alone."""
        self._kept[path] = value
        if owner is not None:
            self._owners[path] = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["path"].startswith("/.well-known/"):
            await self._metadata(scope, receive, send)
            return
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = posixpath.normpath(unquote(raw.decode("latin-1")).replace(";", "/"))
        agent = next((v.decode("latin-1") for n, v in scope["headers"] if n == AGENT_HEADER), "")
        body = await _body(receive) if scope["method"] in WRITES else None
        answer = self._answer(scope["method"], path, agent)
        self._log.called(
            self._service.name,
            scope["method"],
            path,
            agent=agent,
            status=answer.status_code,
            time=self._clock.now(),
            headers=scope["headers"],
            body=body,
        )
        await answer(scope, receive, send)

    def _answer(self, method: str, path: str, agent: str) -> JSONResponse:
        path = RECORD if path == SAME_RECORD else path
        if (self._service.name, method, path) == ENTRIES:
            return JSONResponse({"value": self._log.text()})
        value = self._kept.get(path)
        if value is None:
            return JSONResponse({"error": "not_found"}, 404)
        owner = self._owners.get(path)
        if owner is not None and not self._is_owner(method, path, owner, agent):
            return JSONResponse({"error": "another_agents_record"}, 403)
        return JSONResponse({"value": value})

    def _is_owner(self, method: str, path: str, owner: str, agent: str) -> bool:
        good = agent == owner
        answer = LayerAnswer(
            "owner",
            Effect.ALLOW if good else Effect.DENY,
            "own-record" if good else "another-agents-record",
        )
        layers = self._tamper(POINT, (answer,))
        allowed = not any(layer.refuses for layer in layers)
        self._records(
            DecisionRecord(
                request_id=str(uuid.uuid4()),
                time=self._clock.now(),
                point=POINT,
                action=method,
                resource=f"{self._service.resource}{path}",
                principal=agent,
                outcome=Outcome.ALLOW if allowed else Outcome.DENY,
                reason=answer.reason,
                layers=layers,
            )
        )
        return allowed
