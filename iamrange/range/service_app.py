"""A service that agents work with: it keeps one latest record, for whoever's token reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from iamrange.identity.protected_http import TokenGuard, metadata_route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from iamrange.identity.protected import TokenVerifier
    from iamrange.range.services import Service

RECORDS = ("/latest", "/newest")
"""Two addresses of one thing below `/records`, as services often have them."""


class ServiceApp:
    """The ASGI app of one service."""

    def __init__(self, service: Service, verifier: TokenVerifier) -> None:
        """Take the service's own verifier."""
        self.record = ""
        latest = Starlette(routes=[Route(path, self._latest, methods=["GET"]) for path in RECORDS])
        # in the loop itself: a world's process has one thread, since it forks
        guarded = TokenGuard(latest, verifier, scopes={service.reads}, in_threads=False)
        self._app = Starlette(
            routes=[
                metadata_route(service.resource, scopes=service.scopes),
                Mount("/records", guarded),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def _latest(self, _: Request) -> Response:
        return JSONResponse({"value": self.record})
