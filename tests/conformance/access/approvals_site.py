"""The approvals' site on loopback; a header names the agent where no guard is under test."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests
import uvicorn
from starlette.responses import Response

from iamrange.access.approvals.api import SCOPE, ApprovalsApi
from iamrange.access.approvals.signing import sign_view
from iamrange.access.approvals.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from iamrange.identity.http import Guard
    from tests.conformance.access.approvals_lab import Lab

AS = "x-test-agent"


async def believes(request: Request, scope: str) -> str | Response:
    """Take the agent from a header."""
    assert scope == SCOPE
    return request.headers.get(AS) or Response(status_code=401)


@dataclass
class Site:
    """A running site."""

    lab: Lab
    url: str

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", headers=headers, timeout=20)

    def view(self, viewer: str, *, path: str = "/pending", method: str = "GET") -> str:
        key, now = self.lab.folk.keys[viewer], self.lab.clock.now()
        return sign_view(key, viewer=viewer, method=method, url=f"{self.url}{path}", now=now)


@dataclass
class Host:
    """A server on loopback whose app can be changed: starting one takes longer than most tests."""

    url: str
    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)

    def site(self, lab: Lab, guard: Guard = believes, origin: str | None = None) -> Site:
        """Serve this lab from now on."""
        origin = origin or self.url
        views = Views(lab.store, lab.folk, clock=lab.clock, origin=origin)
        self.app = ApprovalsApi(lab.approvals, views, guard=guard, origin=origin)
        return Site(lab, self.url)


@contextmanager
def hosting() -> Iterator[Host]:
    """Listen on a port that the kernel picks."""
    listener = socket.create_server(("127.0.0.1", 0))
    host = Host(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(host, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < end
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield host
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
