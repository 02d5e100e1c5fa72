"""Kill -9, a full disk, two at once, and schemas of other times."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from iamrange.identity.directory import (
    AgentState,
    Directory,
    DirectoryKey,
    DirectoryKeyError,
    SchemaError,
    TamperedError,
    schema,
)
from iamrange.identity.directory.database import Database
from iamrange.identity.directory.migrate import MIGRATIONS, upgrade
from iamrange.identity.stores.errors import StoreDownError
from tests.conformance.directory import writer_process
from tests.conformance.directory.lab import agent_of, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.directory.lab import Postgres

WHOLE_SCHEMA = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master",
    "postgresql": """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,
            column_default
        FROM information_schema.columns WHERE table_schema = 'public';
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public';
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
}
ROUNDS = 5
ROOT = Path(__file__).parents[3]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(
    started: list[subprocess.Popen[str]], url: str, home: Path, *what: str
) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(Path(writer_process.__file__)), url, str(home), *what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    started.append(process)
    return process


def killed_after(process: subprocess.Popen[str], lines: int, pause: float) -> list[list[Any]]:
    """Let it acknowledge some, kill it at a random moment after, return all it acknowledged."""
    assert process.stdout is not None
    heard = [process.stdout.readline() for _ in range(lines)]
    time.sleep(pause)
    process.kill()
    # from the same reader: `communicate` would skip what that has buffered
    rest = process.stdout.read()
    process.wait()
    # the last line may be cut by the kill
    whole = "".join(heard) + rest[: rest.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def test_kill_9_loses_nothing_acknowledged_and_brings_nothing_back(
    url: str, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    chance = random.Random(5)  # noqa: S311 - moments to kill at
    home = tmp_path / "home"
    acknowledged: dict[str, tuple[int, int, str]] = {}
    for turn in range(ROUNDS):
        process = start(started, url, home, "life", str(turn))
        for name, epoch, version, kid in killed_after(process, 5, chance.uniform(0, 0.15)):
            acknowledged[name] = (epoch, version, kid)
        with closing(Directory.open(url, home)) as directory:
            head = directory.verify()
            for name, (epoch, version, kid) in acknowledged.items():
                agent = agent_of(directory.get(name))
                assert (agent.epoch, agent.version) >= (epoch, version)
                assert agent.version > version or agent.keys[0].kid == kid
                if epoch == 2:
                    assert agent.state is AgentState.QUARANTINED
            assert head.version >= max(version for _, version, _ in acknowledged.values())
            assert [e.version for e in directory.events(limit=1000)] == list(
                range(1, min(head.version, 1000) + 1)
            )
    assert len(acknowledged) >= ROUNDS


def test_a_bulk_registration_that_was_killed_goes_on(
    url: str, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    home = tmp_path / "home"
    told = killed_after(start(started, url, home, "bulk", "x"), 2, 0.02)
    with closing(Directory.open(url, home)) as directory:
        count = directory.verify().count
        assert count >= told[-1][0]
        assert count % 100 == 0
        assert count < 2000
        again = directory.register_many(writer_process.many("x"), actor="tester")
        assert (again.unchanged, again.changed, again.refused) == (count, 2000 - count, 0)
        assert directory.verify().count == 2000


def test_of_two_processes_that_rotate_at_once_one_wins(
    url: str, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    home = tmp_path / "home"
    with closing(Directory.open(url, home)) as directory:
        version = agent_of(directory.register(spec("raced"), actor="tester")).version
        racers = [start(started, url, home, "race", str(version)) for _ in range(3)]
        for racer in racers:
            assert racer.stdout is not None
            assert json.loads(racer.stdout.readline()) == ["ready"]
        answers = [json.loads(racer.communicate("go\n")[0]) for racer in racers]
        assert sorted(answers) == [
            ["Agent", None],
            ["DirectoryRefusal", "conflict"],
            ["DirectoryRefusal", "conflict"],
        ]
        assert agent_of(directory.get("raced")).version == version + 1
        directory.verify()


def test_a_full_disk_is_store_down_and_what_was_there_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with closing(Directory.open(f"sqlite:///{tmp_path}/d.db", home)) as directory:
        agent_of(directory.register(spec("first"), actor="tester"))
        written = max(path.stat().st_size for path in tmp_path.glob("d.db*"))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (written + 8192, before[1]))
        try:
            with pytest.raises(StoreDownError):
                directory.register_many(
                    [spec(f"more-{number}") for number in range(50)], actor="tester"
                )
            assert agent_of(directory.get("first")).version == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert agent_of(directory.register(spec("second"), actor="tester")).version == 2
        assert directory.verify().count == 2


def test_many_that_open_a_new_database_at_once_agree(url: str, tmp_path: Path) -> None:
    def open_one(number: int) -> str:
        with closing(Directory.open(url, tmp_path / "home")) as directory:
            agent_of(directory.register(spec(f"opener-{number}"), actor="tester"))
            return directory.head().kid

    with ThreadPoolExecutor(6) as pool:
        kids = set(pool.map(open_one, range(6)))
    assert len(kids) == 1
    with closing(Directory.open(url, tmp_path / "home")) as directory:
        assert directory.verify().count == 6


def test_a_newer_schema_is_refused_and_left_alone(url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    Directory.open(url, home).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - a constant
    with pytest.raises(SchemaError, match="newer version"):
        Directory.open(url, home)
    with engine.begin() as connection:
        found = connection.execute(sa.text(f"SELECT version_num FROM {schema.VERSION_TABLE}"))  # noqa: S608 - a constant
        assert found.scalar() == "9999"
    engine.dispose()


def test_the_migrations_make_exactly_the_declared_tables(url: str, tmp_path: Path) -> None:
    Directory.open(url, tmp_path / "home").close()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.SCHEMA_REVISION]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def whole_schema(url: str) -> set[tuple[object, ...]]:
    """Return what the database itself says of its tables, columns, indexes and constraints."""
    engine = sa.create_engine(url)
    statements = WHOLE_SCHEMA[engine.dialect.name].split(";")
    with engine.connect() as connection:
        rows = [row for text in statements for row in connection.exec_driver_sql(text)]
    engine.dispose()
    return {
        tuple(" ".join(each.split()) if isinstance(each, str) else each for each in row)
        for row in rows
    }


def test_the_migrations_and_the_schema_make_the_same_database(
    url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    Directory.open(url, tmp_path / "home").close()
    other = f"sqlite:///{tmp_path}/other.db"
    if not url.startswith("sqlite"):
        server: Postgres = request.getfixturevalue("postgres")
        other = server.new_database()
    database = Database(other)
    database.create_file()
    with database.writing() as connection:
        upgrade(connection, None)
    database.close()
    made = whole_schema(url)
    assert made == whole_schema(other)
    # all that the declared tables have is there to be compared
    told = " ".join(str(each) for row in made for each in row)
    for table in schema.metadata.tables.values():
        assert table.name in told
        assert all(str(index.name) in told for index in table.indexes)
    engine = sa.create_engine(other)
    with engine.connect() as connection:
        text = sa.text(f"SELECT version_num FROM {schema.VERSION_TABLE}")  # noqa: S608 - a constant
        assert connection.execute(text).scalars().all() == [schema.SCHEMA_REVISION]
    engine.dispose()
    # and a directory opens on what the migrations have made
    with closing(Directory.open(other, tmp_path / "other-home")) as directory:
        assert directory.verify().count == 0


def test_a_new_database_is_made_without_alembic(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from iamrange.identity.directory import Directory\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "Directory.open(f'sqlite:///{home}/d.db', home).close()\n"
        "assert (home / 'd.db').stat().st_size\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_table_that_nobody_marked_is_left_alone(url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE directory_nodes (mine INTEGER)"))
    before = whole_schema(url)
    with pytest.raises(StoreDownError):
        Directory.open(url, tmp_path / "home")
    assert whole_schema(url) == before
    engine.dispose()


def test_another_key_than_the_tables_is_refused(url: str, tmp_path: Path) -> None:
    Directory.open(url, tmp_path / "home").close()
    with pytest.raises(TamperedError, match="not signed"):
        Directory.open(url, tmp_path / "elsewhere")


def test_a_key_file_that_others_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "directory.key"
    key = DirectoryKey.load_or_create(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert DirectoryKey.load_or_create(file).kid == key.kid
    assert file.read_bytes().hex() not in repr(key)
    file.chmod(0o640)
    with pytest.raises(DirectoryKeyError, match="0600"):
        DirectoryKey.load(file)
    file.chmod(0o600)
    file.write_bytes(b"short")
    with pytest.raises(DirectoryKeyError, match="32 bytes"):
        DirectoryKey.load(file)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/d"])
def test_a_database_that_it_cannot_keep_its_word_on_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        Directory.open(url, tmp_path)
