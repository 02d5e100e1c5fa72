"""The same tests on SQLite and on a real PostgreSQL, started for this run and stopped after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.core.clock import FixedClock
from iamrange.identity.directory import AuditEvent, Directory
from tests.conformance.directory.lab import NOW, Postgres, start_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = start_postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/directory.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.new_database()
    yield made
    server.give_back(made)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def events() -> list[AuditEvent]:
    return []


@pytest.fixture
def directory(
    url: str, tmp_path: Path, clock: FixedClock, events: list[AuditEvent]
) -> Iterator[Directory]:
    opened = Directory.open(url, tmp_path / "home", clock=clock, audit=events.append)
    yield opened
    opened.close()
