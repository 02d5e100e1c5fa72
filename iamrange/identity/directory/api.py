"""The directory's REST API (Starlette): routes from the declared operations.

- Who may is the guard's to say, a port: without one, everybody is refused. It answers before the
  body is read.
- A refusal of the directory is 400, 404 or 409 with its code; the directory away is 503.
- The actor of every change is the principal that the guard named.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from iamrange.identity.directory import api_values as values
from iamrange.identity.directory.api_bulk import run_bulk
from iamrange.identity.directory.api_requests import RequestError, check_body, read_query
from iamrange.identity.directory.errors import TamperedError
from iamrange.identity.directory.lifecycle import ROTATION_SETTLES
from iamrange.identity.directory.listing import AgentFilter
from iamrange.identity.directory.model import (
    DEFAULT_TENANT,
    AgentFieldError,
    AgentState,
    DirectoryRefusal,
    Kind,
    agent_id,
)
from iamrange.identity.directory.openapi import document
from iamrange.identity.directory.operations import JSON_LINES, OPERATIONS, Operation
from iamrange.identity.http import Guard, http_error, new_request_id, read_object, refuse, runner
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from iamrange.identity.directory.directory import Directory, Outcome

_NOT_FOUND = frozenset({"unknown-agent", "no-such-key"})
_NO_STORE = {"Cache-Control": "no-store"}


async def refuse_everybody(request: Request, scope: str) -> str | Response:
    """Be the guard where none was plugged in."""
    del request
    return refuse(401, "no-guard", f"nobody can show {scope!r} here", new_request_id())


class DirectoryApi:
    """The ASGI app."""

    def __init__(
        self, directory: Directory, *, guard: Guard = refuse_everybody, in_threads: bool = True
    ) -> None:
        """Take the directory, and who decides who may.

        `in_threads` keeps the event loop free while the database answers.
        """
        self._directory = directory
        self._run = runner(in_threads=in_threads)
        self._guard = guard
        self._document = document()
        self._app = Starlette(
            routes=[
                Route("/openapi.json", self._openapi),
                *(
                    Route(
                        operation.path,
                        partial(self._serve, operation),
                        methods=[operation.method],
                    )
                    for operation in OPERATIONS
                ),
            ],
            exception_handlers={HTTPException: http_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def _openapi(self, request: Request) -> Response:
        del request
        return JSONResponse(self._document)

    async def _serve(self, operation: Operation, request: Request) -> Response:
        request_id = new_request_id()
        principal = await self._guard(request, operation.scope)
        if isinstance(principal, Response):
            return principal
        try:
            query = read_query(operation, request.query_params.multi_items())
            if operation.body_type == JSON_LINES:
                return await self._bulk(request, principal, request_id)
            body: Mapping[str, Any] = {}
            if operation.body is not None:
                body = check_body(operation.body, await read_object(request))
            name = request.path_params.get("name", "")
            answer = await self._run(self._carry_out, operation, principal, name, query, body)
        except (RequestError, AgentFieldError) as error:
            return refuse(400, "malformed", str(error), request_id)
        except TamperedError as error:
            return refuse(503, "tampered", f"{error.row}: {error.detail}", request_id)
        except StoreDownError:
            return refuse(503, "unavailable", "the directory cannot answer now", request_id)
        if isinstance(answer, DirectoryRefusal):
            return refuse(_status(answer), answer.code, answer.detail, request_id)
        return JSONResponse(answer, headers=_NO_STORE | {"X-Request-Id": request_id})

    def _carry_out(
        self,
        operation: Operation,
        actor: str,
        name: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any],
    ) -> dict[str, Any] | DirectoryRefusal:
        directory = self._directory
        if operation.id == "listAgents":
            return self._list(query)
        if operation.id == "head":
            return values.head_to_json(directory.head())
        if operation.id == "events":
            found = directory.events(after=query["after"], limit=query["limit"])
            return {"events": [event.as_json() for event in found]}
        if operation.id == "register":
            spec = values.spec_from_json(body)
            activate = body.get("activate", False)
            return _shown(directory.register(spec, actor=actor, activate=activate))
        tenant, kind = query.get("tenant", DEFAULT_TENANT), Kind(query.get("kind", Kind.AGENT))
        identifier = agent_id(name, tenant, kind)
        if operation.id == "getAgent":
            return _shown(directory.get(identifier))
        return _shown(self._command(operation.id, identifier, actor, body))

    def _command(
        self, action: str, identifier: str, actor: str, body: Mapping[str, Any]
    ) -> Outcome:
        directory = self._directory
        version = body.get("expected_version")
        if action == "rotate":
            return directory.rotate(
                identifier,
                body["jwk"],
                overlap=body["overlap"],
                actor=actor,
                expected_version=version,
                settling=ROTATION_SETTLES,
            )
        if action == "withdraw":
            return directory.withdraw(
                identifier, body["kid"], actor=actor, expected_version=version
            )
        if action == "update":
            changes = values.changes_from_json(body)
            return directory.update(identifier, actor=actor, expected_version=version, **changes)
        if action == "recertify":
            return directory.recertify(
                identifier, expires=body["expires"], actor=actor, expected_version=version
            )
        simple = {
            "activate": directory.activate,
            "quarantine": directory.quarantine,
            "release": directory.release,
            "revoke": directory.revoke,
            "retire": directory.retire,
        }
        return simple[action](identifier, actor=actor, expected_version=version)

    def _list(self, query: Mapping[str, Any]) -> dict[str, Any]:
        where = AgentFilter(
            owner=query.get("owner"),
            project=query.get("project"),
            state=AgentState(query["state"]) if "state" in query else None,
            scope=query.get("scope"),
            expired=query.get("expired"),
        )
        page = self._directory.list(where, after=query["after"], limit=query["limit"])
        return values.page_to_json(page)

    async def _bulk(self, request: Request, actor: str, request_id: str) -> Response:
        result = await run_bulk(self._directory, request.stream(), actor=actor, run=self._run)
        return JSONResponse(
            values.bulk_to_json(result), headers=_NO_STORE | {"X-Request-Id": request_id}
        )


def _shown(outcome: Outcome | None) -> dict[str, Any] | DirectoryRefusal:
    if outcome is None:
        return DirectoryRefusal("unknown-agent", "there is no such agent")
    return outcome if isinstance(outcome, DirectoryRefusal) else values.agent_to_json(outcome)


def _status(refusal: DirectoryRefusal) -> int:
    if refusal.code in _NOT_FOUND:
        return 404
    return 400 if refusal.code.startswith("bad-") else 409
