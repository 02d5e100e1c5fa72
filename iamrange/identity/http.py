"""What our endpoints share: who may, where work runs, reading a body, OAuth-style errors.

- The request id is made here; a client's own is never taken over.
- Error bodies say what kind of refusal it was, and never who is registered: that is in the record.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.jose.gate import DocumentError, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from iamrange.identity.stores.errors import StoreDownError

Guard = Callable[["Request", str], Awaitable[str | Response]]
"""(request, needed scope) -> the principal (a SPIFFE id), or the response that refuses."""

Runner = Callable[..., Awaitable[Any]]
"""Calls a function with arguments: in a thread, or at once."""

_BODY_LIMIT = 64 * 1024
_NO_STORE = {"Cache-Control": "no-store"}


def new_request_id() -> str:
    """Return a fresh request id."""
    return str(uuid.uuid4())


def runner(*, in_threads: bool) -> Runner:
    """Return what keeps the event loop free while a store answers, or what calls at once."""
    return run_in_threadpool if in_threads else _at_once


async def _at_once(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - the function's own
    return function(*arguments)


async def read_body(request: Request, limit: int) -> bytes | None:
    """Return the whole body, or None as soon as it is longer than the limit."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return body


async def read_object(request: Request) -> Mapping[str, Any] | None:
    """Return the JSON object of the body, or None if there is none within the limit.

    The token gate's own reader: a member that is given twice, or text that is no Unicode, is no
    request.
    """
    body = await read_body(request, _BODY_LIMIT)
    if body is None:
        return None
    try:
        value = read_json(body)
    except DocumentError:
        return None
    return value if isinstance(value, dict) else None


def answer(value: Mapping[str, Any], request_id: str) -> JSONResponse:
    """Return a success that no cache may keep (RFC 6749 section 5.1)."""
    return JSONResponse(dict(value), headers=_NO_STORE | {"X-Request-Id": request_id})


def refuse(status: int, error: str, description: str, request_id: str) -> JSONResponse:
    """Return an error as RFC 6749 section 5.2 shapes it, with the request id."""
    return JSONResponse(
        {"error": error, "error_description": description, "request_id": request_id},
        status_code=status,
        headers=_NO_STORE | {"X-Request-Id": request_id},
    )


async def http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method in the same shape as every other refusal."""
    del request
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these alone
    response = refuse(error.status_code, "not-found", error.detail, new_request_id())
    response.headers.update(error.headers or {})
    return response


def unavailable(error: StoreDownError, request_id: str) -> JSONResponse:
    """Return what a client is told when a store is away: nothing is decided, and it may retry."""
    description = f"the {error.store} cannot answer now"
    response = refuse(503, "temporarily_unavailable", description, request_id)
    response.headers["Retry-After"] = "1"
    return response


def down_record(
    request: Request, request_id: str, now: float, point: str, action: str
) -> DecisionRecord:
    """Return the record of a request that could not be decided."""
    return DecisionRecord(
        request_id=request_id,
        time=now,
        point=point,
        action=action,
        resource="",
        principal="",
        outcome=Outcome.DENY,
        reason="unreachable",
        layers=(LayerAnswer("store", Effect.DENY, "unreachable"),),
        source_ip=request.client.host if request.client else "",
        user_agent=request.headers.get("user-agent", "")[:256],
    )
