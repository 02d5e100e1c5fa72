"""A real vault in the test's own loop; its sockets lie in a folder with a short path."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.clock import SystemClock
from iamrange.credentials.errors import VaultMissingError
from iamrange.credentials.vault.access import VaultAccess
from iamrange.credentials.vault.app import Vault, VaultState
from iamrange.credentials.vault.binary import find_openbao
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from iamrange.core.decision import DecisionRecord

# messages and answers are JSON
Answer = Any


class Lab:
    """A vault, its administrator, and what it recorded."""

    def __init__(self, folder: Path, state: VaultState | None = None) -> None:
        self.folder = folder
        self.state = state or VaultState()
        self.records: list[DecisionRecord] = []
        self.vault = Vault(
            self.state,
            folder,
            address="https://vault.iamrange.example",
            environment=lambda: {"NO_PROXY": "*"},
            clock=SystemClock(),
            records=self.records.append,
        )

    async def call(
        self,
        method: str,
        path: str,
        body: Answer = None,
        *,
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Send one request through the app, as a client would; return status, body, headers."""
        token = self.state.administrator if token is None else token
        sent = [(b"x-vault-token", token.encode("latin-1"))]
        sent += [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
        raw = f"/v1/{path}".encode()
        scope = {
            "type": "http",
            "method": method,
            "path": raw.decode(),
            "raw_path": raw,
            "query_string": b"",
            "headers": sent,
            "client": ("127.0.0.1", 1),
        }
        answers: list[Any] = []

        async def receive() -> Answer:
            return {"type": "http.request", "body": json.dumps(body).encode() if body else b""}

        async def send(message: Answer) -> None:
            answers.append(message)

        await self.vault(scope, receive, send)
        start, rest = answers
        text = rest["body"]
        return (
            start["status"],
            json.loads(text) if text else {},
            {n.decode(): v.decode() for n, v in start["headers"]},
        )

    async def prepare(self) -> None:
        """Have a store with one secret, and a token that may read it and nothing else."""
        await self.call("POST", "sys/mounts/agents", {"type": "kv", "options": {"version": "2"}})
        status = 0
        while status != 200:
            status, _, _ = await self.call("POST", "agents/data/one", {"data": {"value": "nonce"}})
        rules = 'path "agents/data/one" { capabilities = ["read"] }'
        await self.call("PUT", "sys/policies/acl/one", {"policy": rules})

    async def login(self, **options: Answer) -> str:
        """Return a token of an agent's, as a login gives it."""
        asked = {"policies": ["one"], "no_default_policy": True, "ttl": "60s", **options}
        _, answer, _ = await self.call("POST", "auth/token/create-orphan", asked)
        return str(answer["auth"]["client_token"])


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="v-"))
    yield made / "v"
    shutil.rmtree(made)


@pytest.fixture
def running() -> list[Lab]:
    """Hold the lab that runs, for a test that has to do with its server itself."""
    return []


@pytest.fixture
def of_lab(running: list[Lab]) -> Callable[[], Lab]:
    return lambda: running[0]


@pytest.fixture
def in_lab(folder: Path, running: list[Lab]) -> Callable[[Callable[[Lab], Awaitable[None]]], None]:
    try:
        find_openbao()
    except VaultMissingError as error:
        pytest.skip(str(error))

    def run(test: Callable[[Lab], Awaitable[None]]) -> None:
        async def whole() -> None:
            lab = Lab(folder)
            running[:] = [lab]
            await lab.vault.start()
            try:
                await test(lab)
            finally:
                await lab.vault.stop()

        asyncio.run(whole())

    return run


@pytest.fixture
def over_http(
    in_lab: Callable[[Callable[[Lab], Awaitable[None]]], None],
) -> Callable[[Callable[[VaultAccess], None]], None]:
    """Run a test with an administrator's access, in a thread: the vault's loop is the test's."""

    def run(test: Callable[[VaultAccess], None]) -> None:
        async def whole(lab: Lab) -> None:
            await lab.prepare()
            edge = Edge([Route("*", lab.vault)], ca=None)
            await edge.start()
            access = VaultAccess(
                address=f"http://127.0.0.1:{edge.port}",
                token=lab.state.administrator,
                direct=True,
            )
            try:
                await asyncio.to_thread(test, access)
            finally:
                await edge.stop()

        in_lab(whole)

    return run
