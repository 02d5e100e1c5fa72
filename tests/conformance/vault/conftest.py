"""A real vault in the test's own loop; its sockets lie in a folder with a short path."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from iamrange.core.clock import SystemClock
from iamrange.credentials.database.binary import find_postgres
from iamrange.credentials.database.door import Database
from iamrange.credentials.database.errors import DatabaseMissingError
from iamrange.credentials.database.holdings import MANAGER, DatabaseState
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


CREATION = (
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' "
    'IN ROLE "agent-one"'
)
REVOCATION = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
    'DROP ROLE IF EXISTS "{{name}}"',
)


class DatabaseLab(Lab):
    """The same with a PostgreSQL behind the vault, which holds what two agents read."""

    def __init__(self, folder: Path, database: Path) -> None:
        super().__init__(folder)
        self.held = DatabaseState()
        self.held.plant("agent-one", "nonce of one")
        self.held.plant("agent-two", "nonce of two")
        self.connects: list[DecisionRecord] = []
        self.database = Database(
            self.held, database, clock=SystemClock(), records=self.connects.append
        )
        self.vault = Vault(
            self.state,
            folder,
            address="https://vault.iamrange.example",
            environment=lambda: {"NO_PROXY": "*", **self.database.environment},
            clock=SystemClock(),
            records=self.records.append,
            databases=self.database,
        )

    async def prepare_database(self, *, lease: str = "60s", longest: str = "120s") -> None:
        """Have the engine, one connection, and a role of it."""
        await self.call("POST", "sys/mounts/database", {"type": "database"})
        connection = {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": "postgresql://{{username}}:{{password}}@/records",
            "username": MANAGER,
            "allowed_roles": ["one"],
            "password_authentication": "scram-sha-256",
            "username_template": "agent-one-{{random 16}}",
            "verify_connection": False,
        }
        role = {
            "db_name": "records",
            "creation_statements": [CREATION],
            "revocation_statements": REVOCATION,
            "default_ttl": lease,
            "max_ttl": longest,
        }
        for path, body in (("config/records", connection), ("roles/one", role)):
            status, answer, _ = await self.call("POST", f"database/{path}", body)
            assert status == 204, answer

    async def made(self) -> tuple[dict[str, str], str]:
        """Have a login made; return it, and its lease."""
        status, answer, _ = await self.call("GET", "database/creds/one")
        assert status == 200, answer
        data = answer["data"]
        login = {"user": data["username"], "password": data["password"]}
        return login, str(answer["lease_id"])

    async def enter(self, **login: str) -> psycopg.AsyncConnection[Answer]:
        """Connect through the door, as psycopg does by itself."""
        environment = self.database.environment
        place = {"host": environment["PGHOST"], "port": environment["PGPORT"]}
        where = make_conninfo("", **{"dbname": "records", **place, **login})
        return await psycopg.AsyncConnection.connect(where, autocommit=True)

    async def read(self, login: dict[str, str], schema: str = "agent-one") -> str:
        """Read what lies in a schema, in a session of its own."""
        async with await self.enter(**login) as session:
            query = sql.SQL("SELECT value FROM {}.records").format(sql.Identifier(schema))
            found = await session.execute(query)
            return str((await found.fetchone() or [""])[0])

    async def manage(self, statement: str) -> list[Answer]:
        """Carry a statement out as the login that the vault has."""
        async with await self.enter(user=MANAGER, password=self.held.password) as session:
            found = await session.execute(statement.encode())
            return await found.fetchall() if found.description else []


@pytest.fixture
def in_database_lab(
    folder: Path,
) -> Iterator[Callable[[Callable[[Answer], Awaitable[None]]], None]]:
    try:
        find_openbao()
        find_postgres()
    except (VaultMissingError, DatabaseMissingError) as error:
        pytest.skip(str(error))
    database = Path(tempfile.mkdtemp(prefix="d-"))

    def run(test: Callable[[Answer], Awaitable[None]]) -> None:
        async def whole() -> None:
            lab = DatabaseLab(folder, database)
            await lab.database.start()
            await lab.vault.start()
            try:
                await test(lab)
            finally:
                await lab.vault.stop()
                await lab.database.stop()

        asyncio.run(whole())

    yield run
    shutil.rmtree(database)


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
