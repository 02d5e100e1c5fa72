"""A Google Cloud behind TLS and a CONNECT proxy, and an issuer it can fetch keys from.

Clients run in this process and reach it on Google's own host names, unpatched.
"""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from iamrange.clouds.fetch import Fetched, FetchError
from iamrange.clouds.gcp.cloud import GcpCloud
from iamrange.core.clock import OffsetClock
from iamrange.core.decision import DecisionRecord, LayerAnswer, honest
from iamrange.jose import SigningKey
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Route
from iamrange.network.environment import client_environment
from iamrange.network.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

ORGANIZATION = "123456789012"
PROJECT, NUMBER = "acme-lab", "1234567890"
OTHER_PROJECT, OTHER_NUMBER = "acme-security", "1234567891"
ISSUER = "https://idp.agents.example"
_ISSUER_KEY = SigningKey.generate("RS256")
Anything = Any
Token = str | None


@dataclass
class Issuer:
    """A fake issuer: it starts valid and implements the fetcher's own port."""

    key: SigningKey = _ISSUER_KEY
    down: set[str] = field(default_factory=set)
    published: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    async def fetch(self, url: str) -> Fetched:
        self.fetched.append(url)
        host = "/".join(url.split("/")[:3])
        if host in self.down:
            raise FetchError("unreachable")
        suffix = "/.well-known/openid-configuration"
        if url.endswith(suffix):
            issuer = url.removesuffix(suffix)
            body: dict[str, Any] = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}
        else:
            body = {"keys": self.published.get(host, [self.key.public_jwk()])}
        return Fetched(200, json.dumps(body).encode(), (), trusted=True)


@dataclass
class World:
    """What a test may touch."""

    cloud: GcpCloud
    clock: OffsetClock
    issuer: Issuer
    records: list[DecisionRecord]
    token: str
    other_token: str
    rogue: dict[tuple[str, str], LayerAnswer]
    session: requests.Session

    def rest(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        token: Token = "admin",  # noqa: S107 - a word, no password
    ) -> requests.Response:
        """Call the API as the administrator, or with another token, or without one."""
        headers = {}
        if token is not None:
            headers["Authorization"] = f"Bearer {self.token if token == 'admin' else token}"
        return self.session.request(method, url, json=body, headers=headers, timeout=10)

    def done(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        """Call the API as the administrator and insist on success."""
        answer = self.rest(method, url, body)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def last(self, point: str) -> DecisionRecord:
        """Return the newest record of a decision point."""
        return next(record for record in reversed(self.records) if record.point == point)


class _Loop:
    """The world's event loop in a thread of the test's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work: Anything) -> Anything:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class _Network:
    """Edge and proxy, made once; the cloud behind them is changed for each test."""

    def __init__(self, folder: Path) -> None:
        self.cloud: GcpCloud | None = None
        self._loop = _Loop()
        authority = CertificateAuthority.create("test")
        ca_file = folder / "ca.pem"
        ca_file.write_text(authority.pem)
        self._edge = Edge([Route("*", self._app)], ca=authority)
        self._loop.run(self._edge.start())
        targets = {"*.googleapis.com": ("127.0.0.1", self._edge.port)}
        self._proxy = Proxy("test", targets=targets)
        self._loop.run(self._proxy.start())
        self.environment = client_environment(self._proxy.url, str(ca_file))

    async def _app(self, scope: Anything, receive: Anything, send: Anything) -> None:
        assert self.cloud is not None
        await self.cloud(scope, receive, send)

    def stop(self) -> None:
        with suppress(TimeoutError):
            self._loop.run(self._proxy.stop())
        self._loop.run(self._edge.stop())
        self._loop.stop()


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Network]:
    made = _Network(tmp_path_factory.mktemp("gcp"))
    yield made
    made.stop()


@pytest.fixture
def world(network: _Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)
    clock, issuer = OffsetClock(), Issuer()
    records: list[DecisionRecord] = []
    rogue: dict[tuple[str, str], LayerAnswer] = {}

    def tamper(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        return honest(point, tuple(rogue.get((point, layer.layer), layer) for layer in layers))

    cloud = GcpCloud(clock=clock, records=records.append, fetcher=issuer, tamper=tamper)
    cloud.create_organization(ORGANIZATION)
    token = cloud.create_project(PROJECT, NUMBER, organization=ORGANIZATION)
    other = cloud.create_project(OTHER_PROJECT, OTHER_NUMBER, organization=ORGANIZATION)
    network.cloud = cloud
    with requests.Session() as session:
        yield World(cloud, clock, issuer, records, token, other, rogue, session)
