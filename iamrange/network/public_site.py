"""A web host on the open internet, where whoever has it may publish documents.

It stands for what an attacker runs for itself: an issuer is a discovery document and a key set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_LONGEST = 1 << 16
_MOST = 100


class PublicSite:
    """An ASGI app that keeps what is PUT to it and shows it to everybody."""

    def __init__(self) -> None:
        """Start with nothing published."""
        self._documents: dict[str, bytes] = {}
        self._app = Starlette(
            routes=[
                Route("/{path:path}", self._show, methods=["GET"]),
                Route("/{path:path}", self._publish, methods=["PUT"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def _show(self, request: Request) -> Response:
        document = self._documents.get(request.url.path)
        if document is None:
            return Response(status_code=404)
        return Response(document, media_type="application/json")

    async def _publish(self, request: Request) -> Response:
        path = request.url.path
        document = bytearray()
        async for chunk in request.stream():
            document += chunk
            if len(document) > _LONGEST:
                return Response(status_code=413)
        if path not in self._documents and len(self._documents) >= _MOST:
            return Response(status_code=507)
        self._documents[path] = bytes(document)
        return Response(status_code=204)
