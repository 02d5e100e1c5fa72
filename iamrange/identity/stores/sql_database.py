"""One database as the stores use it: statements that are compiled once, and one kind of error.

- SQLAlchemy describes tables, compiles statements and keeps the pool. What a verifier asks on
  every call goes to the driver's cursor: the layers between cost five times what SQLite does.
- Connections commit by themselves; a transaction is asked for by name.
- A database that is away, locked or full is a `StoreDownError`. It names the fault's class, never
  the URL, which may hold a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.sql_tables import INDEXES, METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import URL
    from sqlalchemy.sql import ClauseElement

_PATIENCE: Final = 2
"""Seconds to wait for a database before it counts as away."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement in the driver's own words; `names` are its parameters' where they have places.

    `given` are the values that the compiler gave parameters of its own.
    """

    text: str
    names: tuple[str, ...] | None
    given: Mapping[str, Any]

    def bound(self, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what the driver takes
        """Return the values as the driver takes them."""
        if self.given:
            values = {**self.given, **values}
        return values if self.names is None else [values[name] for name in self.names]


class Database:
    """A SQLite file or a PostgreSQL database with the stores' tables in it."""

    def __init__(self, database: Engine | str, store: str) -> None:
        """Connect, and make our tables where they are missing.

        Raises:
            StoreDownError: the database is away.
            ValueError: it is neither a SQLite file nor PostgreSQL.
        """
        self._store = store
        self.engine = _engine(database.url if isinstance(database, Engine) else make_url(database))
        self.dialect = self.engine.dialect.name
        errors: Any = self.engine.dialect.loaded_dbapi
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, errors.Error, UnicodeError)
        try:
            self._make_tables()
        except StoreDownError:
            # two processes that make a table at once: PostgreSQL lets one of them fail
            self._make_tables()

    def prepare(self, statement: ClauseElement) -> Prepared:
        """Compile a statement for this database's driver."""
        compiled: Any = statement.compile(dialect=self.engine.dialect)
        places = compiled.positiontup
        given = {name: value for name, value in compiled.params.items() if value is not None}
        return Prepared(str(compiled), None if places is None else tuple(places), given)

    def rows(self, statement: Prepared, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows, if it has any.

        Raises:
            StoreDownError: the database cannot answer.
        """
        return self._run([(statement, values)])[0]

    def in_turn(self, *work: tuple[Prepared, Mapping[str, Any]]) -> list[list[tuple[Any, ...]]]:
        """Run statements one after another until one gives no row; return the rows of each.

        Raises:
            StoreDownError: the database cannot answer.
        """
        return self._run(work)

    def atomically(self, first: Prepared, values: Mapping[str, Any], second: Prepared) -> None:
        """Run the first statement, and the second for the highest value that it returned.

        Raises:
            StoreDownError: the database cannot answer; neither has happened.
        """
        connection, cursor = self._cursor()
        try:
            # SQLite's plain BEGIN would let two writers read first and then wait for each other
            cursor.execute("BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN")
            cursor.execute(first.text, first.bound(values))
            found = cursor.fetchall()
            if found:
                cursor.execute(second.text, second.bound({"until": max(row[0] for row in found)}))
            cursor.execute("COMMIT")
        except self._errors as error:
            # whatever the connection is in the middle of ends with it
            raise self._down(error, connection) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        self.engine.dispose()

    def _run(
        self, work: Sequence[tuple[Prepared, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        connection, cursor = self._cursor()
        answers = []
        try:
            for statement, values in work:
                cursor.execute(statement.text, statement.bound(values))
                rows = cursor.fetchall() if cursor.description is not None else []
                answers.append(rows)
                if not rows:
                    break
            cursor.close()
        except self._errors as error:
            raise self._down(error, connection) from None
        finally:
            connection.close()
        return answers

    def _cursor(self) -> tuple[Any, Any]:
        try:
            connection = self.engine.raw_connection()
        except self._errors as error:
            raise self._down(error) from None
        return connection, connection.cursor()

    def _down(self, error: Exception, connection: Any = None) -> StoreDownError:  # noqa: ANN401 - a driver's own
        if connection is not None:
            gone = self._is_gone(error, connection)
            connection.invalidate()
            if gone:
                # the other connections of the pool went with the same server
                self.engine.dispose()
        return StoreDownError(self._store, type(error).__name__)

    def _is_gone(self, error: Exception, connection: Any) -> bool:  # noqa: ANN401 - same
        errors: Any = self.engine.dialect.loaded_dbapi
        if not isinstance(error, errors.Error):
            return False
        return self.engine.dialect.is_disconnect(error, connection.driver_connection, None)

    def _make_tables(self) -> None:
        try:
            with self.engine.begin() as connection:
                for table in METADATA.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                for index in INDEXES:
                    connection.execute(CreateIndex(index, if_not_exists=True))
        except self._errors as error:
            raise self._down(error) from None


def _engine(url: URL) -> Engine:
    backend = url.get_backend_name()
    if backend == "postgresql":
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        waits: dict[str, Any] = {
            "connect_timeout": _PATIENCE,
            "options": f"-c statement_timeout={_PATIENCE * 1000}",
        }
        size = {"pool_size": 10}
    elif backend == "sqlite" and url.database not in (None, "", ":memory:"):
        waits, size = {"timeout": _PATIENCE}, {}
    else:
        raise ValueError("stores: expected a SQLite file or PostgreSQL")
    engine = create_engine(
        url, connect_args=waits, pool_timeout=_PATIENCE, pool_reset_on_return=None, **size
    )
    event.listen(engine, "connect", _prepare_sqlite if backend == "sqlite" else _autocommit)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own
    """Let readers and one writer work side by side; a killed process loses nothing committed."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _autocommit(connection: Any, _record: object) -> None:  # noqa: ANN401 - same
    connection.autocommit = True
