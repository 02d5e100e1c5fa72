"""A world's database: started when it is asked, each fork's own, ended with its world."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from iamrange.core.decision import Outcome
from iamrange.credentials.database.binary import find_postgres
from iamrange.credentials.database.errors import DatabaseMissingError
from iamrange.range.config import WorldConfig
from iamrange.range.world import CommandRefusedError, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    try:
        find_postgres()
    except DatabaseMissingError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def base() -> Iterator[World]:
    with World.start(WorldConfig(run_id="test")) as world:
        yield world


def servers(world: World) -> list[psutil.Process]:
    children = psutil.Process(world.pid).children()
    return [child for child in children if child.name() == "postgres"]


def runs(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that nobody has asked about its end does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def visit(world: World) -> None:
    """Come with a login that nobody has: refused by the database itself."""
    environment = world.environment()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=environment["PGHOST"],
            port=environment["PGPORT"],
            dbname="records",
            user="nobody",
            password="guessed",
        )


def test_fork_has_a_database_of_its_own_that_runs_once_it_is_asked(base: World) -> None:
    base.control("plant_in_database", reader="agent-one", value="nonce")
    assert servers(base) == []
    with base.fork() as fork:
        assert fork.environment()["PGPORT"] != base.environment()["PGPORT"]
        visit(fork)
        (server,) = servers(fork)
        folder = server.cmdline()[2]
        assert servers(base) == []
        last = fork.records_since()[0][-1]
        assert (last.point, last.outcome, last.reason) == (
            "database.connect",
            Outcome.DENY,
            "login-unknown",
        )
        everything = [server, *server.children(recursive=True)]
    assert not [process for process in everything if runs(process)]
    assert not Path(folder).exists()


def test_database_of_a_world_that_was_killed_ends_with_it() -> None:
    world = World.start(WorldConfig(run_id="test"))
    try:
        visit(world)
        (server,) = servers(world)
        folder = server.cmdline()[2]
        everything = [server, *server.children(recursive=True)]
        psutil.Process(world.pid).kill()
        deadline = time.monotonic() + 10
        while any(map(runs, everything)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        world.stop()
    assert not Path(folder).exists()


def test_value_that_fits_into_no_statement_is_refused_where_it_is_planted(base: World) -> None:
    with (
        base.fork() as fork,
        pytest.raises(CommandRefusedError, match="without control characters"),
    ):
        fork.control("plant_in_database", reader="agent-one", value="two\nlines")


def test_fork_of_a_world_whose_database_runs_leaves_that_one_alone(base: World) -> None:
    visit(base)
    (running,) = servers(base)
    with base.fork() as fork:
        assert servers(fork) == []
        visit(fork)
        (own,) = servers(fork)
        assert own.pid != running.pid
    assert runs(running)
    visit(base)
    assert servers(base) == [running]
