"""The token service and a guarded service at their real names, behind real TLS and a proxy."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import requests
from starlette.responses import JSONResponse

from iamrange.identity.nonces import NonceSource
from iamrange.identity.protected import TokenVerifier
from iamrange.identity.protected_http import TokenGuard, admitted
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.memory import MemoryReplay
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.network.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.tokens.lab import House


async def who_am_i(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell a caller who it is taken for."""
    token = admitted(scope).token
    body = {"sub": token.subject, "actors": token.actors, "scopes": sorted(token.scopes)}
    await JSONResponse(body)(scope, receive, send)


def guarded(house: House, resource: str) -> TokenGuard:
    """Return a service that takes the house's tokens for this resource."""
    verifier = TokenVerifier(
        resource,
        keys=house.keys.key_set,
        replay=MemoryReplay(),
        revocation=DirectoryRevocation(house.agents, house.revocation, clock=house.clock),
        nonces=NonceSource(None, house.clock),
        clock=house.clock,
        records=house.records.append,
    )
    return TokenGuard(who_am_i, verifier)


class Network:
    """A loop of its own with an edge and a proxy; clients reach both by name."""

    def __init__(self, house: House, resources: tuple[str, ...], folder: Path) -> None:
        ca = CertificateAuthority.create("tokens")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(ca.pem)
        services = {resource: guarded(house, resource) for resource in resources}
        routes = [
            Route("auth.iamrange.example", house.service),
            *(Route(name.removeprefix("https://"), app) for name, app in services.items()),
        ]
        self._edge = Edge(routes, ca=ca)
        self._proxy: Proxy | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    async def _start(self) -> None:
        await self._edge.start()
        self._proxy = Proxy("agents", targets={"*": ("127.0.0.1", self._edge.port)})
        await self._proxy.start()

    async def _stop(self) -> None:
        if self._proxy is not None:
            await self._proxy.stop()
        await self._edge.stop()

    @property
    def proxy_url(self) -> str:
        assert self._proxy is not None
        return self._proxy.url

    def configure(self, session: requests.Session) -> requests.Session:
        """Let a session live in this network."""
        session.trust_env = False
        session.proxies = {"https": self.proxy_url}
        session.verify = str(self.ca_file)
        return session

    def session(self) -> requests.Session:
        """Return a plain session."""
        return self.configure(requests.Session())

    def close(self) -> None:
        """Stop everything."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
