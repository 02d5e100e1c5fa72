"""The attack table and the life of tokens, on a real directory in SQLite and in PostgreSQL."""

from __future__ import annotations

import shutil
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from iamrange.identity.access_token import ask_revocation
from iamrange.identity.directory.model import AgentKey, AgentSpec, AgentState, agent_id
from tests.conformance.directory.lab import Postgres, start_postgres
from tests.conformance.tokens.lab import ANALYST, WORKER, House, Party
from tests.conformance.tokens.sql_lab import SqlAgents, sql_house
from tests.conformance.tokens.test_attacks import CHANGING, ROWS, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REASONS_HERE = {"69 retired": "unknown-key"}
"""A real directory takes a retired agent's keys away."""
ONE_WAY = {"69 not yet active"}
"""No command leads back to it: it has a test of its own."""
DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = start_postgres()
    yield server
    server.kill()
    shutil.rmtree(server.folder)


def _url(database: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder}/directory.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(scope="module", params=DATABASES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Return a house for rows that change nobody's entry."""
    folder = tmp_path_factory.mktemp("shared")
    with sql_house(_url(request.param, request, folder), folder / "home") as house:
        yield house


@pytest.fixture(params=DATABASES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    with sql_house(_url(request.param, request, tmp_path), tmp_path / "home") as fresh:
        yield fresh


def check(house: House, row: Row) -> None:
    answer = house.send(row.make(house))
    reason = REASONS_HERE.get(row.name, row.reason)
    assert answer.verdict == (row.status, row.error, reason)
    assert "access_token" not in answer.body


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name not in CHANGING], ids=lambda row: row.name
)
def test_an_attack_gets_its_error(shared: House, row: Row) -> None:
    check(shared, row)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name in CHANGING - ONE_WAY], ids=lambda row: row.name
)
def test_an_attack_after_a_change_in_the_directory_gets_its_error(house: House, row: Row) -> None:
    check(house, row)


def test_69_an_agent_that_nobody_approved_gets_nothing(house: House) -> None:
    agents = house.agents
    assert isinstance(agents, SqlAgents)
    party = Party(agent_id("newcomer"))
    spec = AgentSpec(
        name="newcomer",
        owner="team",
        scopes=frozenset({"read:status"}),
        keys=(AgentKey.from_jwk(party.key.public_jwk()),),
    )
    agents.directory.register(spec, actor="test")
    assert house.post(party).verdict == (401, "invalid_client", "registered")
    agents.directory.activate(party.id, actor="test")
    assert house.post(party).status == 200


def _revoke(house: House) -> None:
    house.change(house.analyst, epoch=1)


def _quarantine(house: House) -> None:
    house.change(house.analyst, state=AgentState.QUARANTINED)


def _retire_the_actor(house: House) -> None:
    house.change(house.worker, state=AgentState.RETIRED)


def _take_a_scope_away(house: House) -> None:
    house.change(house.analyst, scopes=frozenset({"read:status"}))


@pytest.mark.parametrize("end", [_revoke, _quarantine, _retire_the_actor, _take_a_scope_away])
def test_69_a_change_in_the_directory_kills_the_exchanged_descendants(
    house: House, end: Callable[[House], None]
) -> None:
    child = house.exchange(house.worker, house.token()).body["access_token"]
    grandchild = house.exchange(house.third, child).body["access_token"]
    read = house.read(grandchild)
    assert read.actors[-1] == WORKER
    assert ask_revocation(read, house.revocation) is None
    end(house)
    dead = ask_revocation(read, house.revocation)
    assert dead is not None
    assert dead.code in {"epoch-raised", "agent-inactive"}


@pytest.mark.parametrize(
    "name",
    ["a\0b", "x" * 1000, "spiffe://\U0001f600", "'; DROP TABLE agents"],
    ids=["nul", "long", "beyond ascii", "sql"],
)
def test_no_name_of_a_client_breaks_the_store(house: House, name: str) -> None:
    stranger = Party(name)
    assert house.post(stranger).verdict == (401, "invalid_client", "unknown-key")
    header = "Basic " + b64encode(f"{quote(name, safe='')}:s".encode()).decode()
    by_header = house.post(
        headers={"authorization": header}, client_assertion=None, client_assertion_type=None
    )
    assert (by_header.status, by_header.body["error"]) == (401, "invalid_client")
    assert house.post().status == 200


def test_64_uses_of_one_assertion_at_once_give_one_token(house: House) -> None:
    assertion = house.analyst.assertion()
    requests = [house.request(client_assertion=assertion) for _ in range(64)]
    with ThreadPoolExecutor(16) as pool:
        statuses = [answer.status for answer in pool.map(house.service.answer, requests)]
    assert sorted(statuses) == [200] + [401] * 63


def test_a_used_assertion_stays_used_over_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/directory.db"
    with sql_house(url, tmp_path / "home") as before:
        parties, assertion = before.parties, before.analyst.assertion()
        assert before.post(client_assertion=assertion).status == 200
    with sql_house(url, tmp_path / "home", parties=parties) as after:
        assert after.post(client_assertion=assertion).verdict[2] == "replayed"


def test_while_postgresql_is_down_there_is_no_token_and_then_there_is(
    postgres: Postgres, tmp_path: Path
) -> None:
    with sql_house(postgres.new_database(), tmp_path / "home") as house:
        assert house.post().status == 200
        postgres.kill()
        try:
            answer = house.post()
            assert answer.verdict == (503, "temporarily_unavailable", "store-down")
        finally:
            postgres.start()
        assert house.post().status == 200
        assert house.records[-1].principal == ANALYST
