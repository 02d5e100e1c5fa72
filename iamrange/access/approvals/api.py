"""`https://approvals.iamrange.example`: agents ask and poll, people read and decide.

- `POST /requests` takes {"method", "url", "content_type", "body" or "body_base64"}: the call as it
  will be made, whole. The answer names the `approval_id`, which is polled at `GET /requests/ID`
  and then presented in the header `approval-id` of that very call.
- Agents show a token (the guard is a port); people are never given one: what they send is signed
  by their own key, for one request or one look.
- Polling answers as CIBA does (OpenID CIBA Core section 11): 400 with `authorization_pending`,
  `slow_down`, `access_denied` or `expired_token`, and the interval.
- Whoever knows a request's id may read it: 192 random bits, which its agent and people have. The
  list of ids is for people who sign for it.
- Nothing here goes by a cookie, so no other site can make a browser decide; requests that say
  that they come from another site are refused all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from iamrange.access.approvals import page
from iamrange.access.approvals.api_bodies import BodyError, decision_in, read_call
from iamrange.access.approvals.model import ApprovalRefusal, ApprovalState
from iamrange.access.approvals.reasons import Reason, status
from iamrange.identity.http import (
    Guard,
    answer,
    http_error,
    new_request_id,
    read_object,
    refuse,
    runner,
    unavailable,
)
from iamrange.identity.names import service_resource
from iamrange.identity.protected_http import metadata_route
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from iamrange.access.approvals.model import ApprovalRequest
    from iamrange.access.approvals.ports import Polled
    from iamrange.access.approvals.service import Approvals
    from iamrange.access.approvals.views import Views

APPROVALS: Final = service_resource("approvals")
SCOPE: Final = "ask:approvals"
"""What an agent's token for approvals must hold."""

_CIBA: Final = {
    ApprovalState.PENDING: ("authorization_pending", Reason.PENDING),
    ApprovalState.DENIED: ("access_denied", Reason.DENIED),
    ApprovalState.EXPIRED: ("expired_token", Reason.EXPIRED),
    ApprovalState.USED: ("invalid_grant", Reason.USED),
}


class ApprovalsApi:
    """The ASGI app."""

    def __init__(
        self,
        approvals: Approvals,
        views: Views,
        *,
        guard: Guard,
        origin: str = APPROVALS,
        in_threads: bool = True,
    ) -> None:
        """Take the service, who may look, who tells agents apart, and our own origin."""
        self._approvals = approvals
        self._views = views
        self._guard = guard
        self._origin = origin
        self._run = runner(in_threads=in_threads)
        routes = (
            Route("/requests", self._ask, methods=["POST"]),
            Route("/requests/{id}", self._poll, methods=["GET"]),
            Route("/requests/{id}/decision", self._decide, methods=["POST"]),
            Route("/now", self._moment, methods=["GET"]),
            Route("/pending", self._pending, methods=["GET"]),
            Route("/review/{id}/request", self._read, methods=["GET"]),
            Route("/review/{id}", self._review, methods=["GET"]),
            Route("/", self._front, methods=["GET"]),
            Route("/static/{name}", page.asset, methods=["GET"]),
            metadata_route(origin, scopes={SCOPE}),
        )
        self._app = Starlette(routes=routes, exception_handlers={HTTPException: http_error})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def _ask(self, request: Request) -> Response:
        request_id = new_request_id()
        agent = await self._guard(request, SCOPE)
        if isinstance(agent, Response):
            return agent
        try:
            call = await read_call(request, self._approvals.settings.body_limit)
            asked = await self._run(self._approvals.ask, agent, call)
        except BodyError as error:
            return _refused(error.refusal, request_id)
        except StoreDownError as error:
            return unavailable(error, request_id)
        if isinstance(asked, ApprovalRefusal):
            return _refused(asked, request_id)
        return answer(self._for_agent(asked), request_id)

    async def _poll(self, request: Request) -> Response:
        request_id = new_request_id()
        agent = await self._guard(request, SCOPE)
        if isinstance(agent, Response):
            return agent
        try:
            polled = await self._run(self._approvals.poll, agent, request.path_params["id"])
        except StoreDownError as error:
            return unavailable(error, request_id)
        if isinstance(polled, ApprovalRefusal):
            return _refused(polled, request_id)
        return self._polled(polled, request_id)

    def _polled(self, polled: Polled, request_id: str) -> Response:
        found = polled.request
        if found.state is ApprovalState.APPROVED and not polled.too_fast:
            return answer(self._for_agent(found), request_id)
        error, reason = _CIBA.get(found.state, ("slow_down", Reason.SLOW_DOWN))
        if polled.too_fast and found.state in {ApprovalState.PENDING, ApprovalState.APPROVED}:
            error, reason = "slow_down", Reason.SLOW_DOWN
        body = {
            "error": error,
            "reason": reason.value,
            "state": found.state.value,
            "interval": found.interval,
            "request_id": request_id,
        }
        headers = {"Cache-Control": "no-store", "X-Request-Id": request_id}
        if reason in {Reason.PENDING, Reason.SLOW_DOWN}:
            headers["Retry-After"] = str(found.interval)
        return JSONResponse(body, status_code=400, headers=headers)

    async def _decide(self, request: Request) -> Response:
        request_id = new_request_id()
        if self._elsewhere(request):
            return refuse(403, "cross-site", "decisions come from this site alone", request_id)
        signed = decision_in(request, await read_object(request))
        if signed is None:
            detail = 'expected application/json: {"decision": JWS}'
            return refuse(400, Reason.MALFORMED, detail, request_id)
        try:
            decided = await self._run(self._approvals.decide, request.path_params["id"], signed)
        except StoreDownError as error:
            return unavailable(error, request_id)
        if isinstance(decided, ApprovalRefusal):
            return _refused(decided, request_id)
        return answer(decided.as_json(), request_id)

    async def _moment(self, request: Request) -> Response:
        """Say what time it is here: a signature must not be older than its request."""
        del request
        return answer({"now": self._now()}, new_request_id())

    async def _pending(self, request: Request) -> Response:
        request_id = new_request_id()
        try:
            viewer = await self._run(
                self._views.viewer, request.headers.getlist("authorization"), "GET", "/pending"
            )
            if isinstance(viewer, ApprovalRefusal):
                return _refused(viewer, request_id)
            waiting = await self._run(lambda: self._approvals.pending(approver=viewer))
        except StoreDownError as error:
            return unavailable(error, request_id)
        requests = [each.as_json() for each in waiting]
        return answer({"now": self._now(), "requests": requests}, request_id)

    async def _read(self, request: Request) -> Response:
        request_id = new_request_id()
        try:
            found = await self._run(self._approvals.get, request.path_params["id"])
        except StoreDownError as error:
            return unavailable(error, request_id)
        if found is None:
            return _refused(ApprovalRefusal(Reason.UNKNOWN), request_id)
        return answer({"now": self._now(), "request": found.as_json()}, request_id)

    async def _review(self, request: Request) -> Response:
        try:
            found = await self._run(self._approvals.get, request.path_params["id"])
        except StoreDownError:
            return page.away()
        return page.missing() if found is None else page.review(found, self._now())

    async def _front(self, request: Request) -> Response:
        del request
        return page.front(self._now())

    def _for_agent(self, request: ApprovalRequest) -> dict[str, Any]:
        now = self._now()
        return {
            "approval_id": request.id,
            "state": request.state.value,
            "expires": request.expires,
            "expires_in": max(0, request.expires - now),
            "interval": request.interval,
            "method": request.method,
            "url": request.url,
            "body_sha256": request.body_sha256,
            "review": f"{self._origin}/review/{request.id}",
        }

    def _elsewhere(self, request: Request) -> bool:
        origins = request.headers.getlist("origin")
        if origins and origins != [self._origin]:
            return True
        return request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}

    def _now(self) -> int:
        return int(self._approvals.clock.now())


def _refused(refusal: ApprovalRefusal, request_id: str) -> JSONResponse:
    response = refuse(status(refusal.reason), refusal.reason, refusal.detail, request_id)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response
