"""A real PostgreSQL of our own on loopback, and agents to register."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from joserfc.jwk import ECKey

from iamrange.credentials.database.binary import find_postgres, find_user
from iamrange.credentials.database.errors import DatabaseMissingError
from iamrange.identity.directory import Agent, AgentKey, AgentSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.directory.lifecycle import Outcome

NOW = 1_800_000_000.0


@dataclass(slots=True)
class Postgres:
    """One server on loopback, in a folder of its own."""

    binaries: Path
    folder: Path
    port: int
    user: str | None
    durable: bool = False
    process: subprocess.Popen[bytes] | None = None
    made: int = 0
    emptied: list[str] = field(default_factory=list)

    def start(self) -> None:
        options: tuple[str, ...] = (
            "-p",
            str(self.port),
            "-h",
            "127.0.0.1",
            "-k",
            "",
            "-c",
            "max_wal_size=4GB",
        )
        if not self.durable:
            options += ("-c", "fsync=off")
        self.process = subprocess.Popen(  # noqa: S603 - a fixed command of a part that we found
            [self.binaries / "postgres", "-D", self.folder / "data", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self.user,
        )
        for _ in range(300):
            try:
                psycopg.connect(self.url("postgres", driver=""), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL did not come up")

    def kill(self) -> None:
        """End it at once, as a crash would: SIGQUIT takes its children along."""
        assert self.process is not None
        self.process.send_signal(3)
        self.process.wait(20)

    def remove(self) -> None:
        """Stop it, and leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)

    def url(self, database: str, driver: str = "+psycopg") -> str:
        return f"postgresql{driver}://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Give an empty database: one that was given back, or else a new one."""
        if self.emptied:
            return self.emptied.pop()
        self.made += 1
        name = f"directory_{self.made}"
        with psycopg.connect(self.url("postgres", driver=""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Empty a database for the next test: to make and to remove one takes seconds of disk."""
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        statements = (
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}",  # noqa: S608 - constants
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
        )
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
        self.emptied.append(url)


def start_postgres(*, durable: bool = False) -> Postgres:
    """Make a cluster and start it; not as root, whom PostgreSQL refuses."""
    try:
        binaries, user = find_postgres(), find_user()
    except DatabaseMissingError as error:
        pytest.skip(f"NO POSTGRESQL on this machine: {error}")
    folder = Path(tempfile.mkdtemp(prefix="iamrange-pg-"))
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
    subprocess.run(  # noqa: S603 - a fixed command of a part that we found
        [str(binaries / "initdb"), "-D", str(folder / "data"), *options],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd="/",
    )
    server = Postgres(binaries, folder, port, user, durable)
    server.start()
    return server


def new_jwk() -> dict[str, Any]:
    """Make a key pair, and return the public half."""
    return dict(ECKey.generate_key("P-256").as_dict(private=False))


def spec(name: str, *jwks: Mapping[str, object], **fields: Any) -> AgentSpec:  # noqa: ANN401 - any field
    """Return a valid spec; what is given differs from it."""
    keys = tuple(AgentKey.from_jwk(jwk) for jwk in (jwks or (new_jwk(),)))
    given: dict[str, Any] = {
        "owner": "team-a",
        "project": "apollo",
        "purpose": "reads things",
        "scopes": frozenset({"read:database", "write:logs"}),
        **fields,
    }
    return AgentSpec(name=name, keys=keys, **given)


def agent_of(outcome: Outcome | None) -> Agent:
    """Return the agent of a command that must have been carried out."""
    assert isinstance(outcome, Agent), outcome
    return outcome


def code_of(outcome: object) -> str | None:
    """Return a refusal's code."""
    return getattr(outcome, "code", None)
