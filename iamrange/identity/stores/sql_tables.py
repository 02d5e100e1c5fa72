"""The stores' tables, in any database that holds the directory: SQLite or PostgreSQL.

- Tables of their own, made when they are missing; nothing of the directory's is touched.
- A database that is away, locked or full is a `StoreDownError`. It names the fault's class, never
  the URL, which may hold a password.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE: Final = 2
"""Seconds to wait for a database before it counts as away."""

_METADATA: Final = MetaData()
USED: Final = Table(
    "replay_used",
    _METADATA,
    Column("key", LargeBinary(20), primary_key=True),
    Column("expires", Float(53), nullable=False),
)
REVOKED: Final = Table(
    "revoked_tokens",
    _METADATA,
    Column("jti", String(256), primary_key=True),
    Column("expires", Float(53), nullable=False),
)
EPOCHS: Final = Table(
    "revoked_epochs",
    _METADATA,
    Column("agent_id", String(256), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)
FORGOTTEN: Final = Table(
    "store_forgotten",
    _METADATA,
    Column("store", String(32), primary_key=True),
    Column("until", Float(53), nullable=False),
)
TABLES: Final = tuple(table.name for table in _METADATA.sorted_tables)
_INDEXES: Final = (
    Index("replay_used_expires", USED.c.expires),
    Index("revoked_tokens_expires", REVOKED.c.expires),
)


def open_database(database: Engine | str, store: str) -> Engine:
    """Return an engine on the database, with our tables in it.

    Raises:
        StoreDownError: the database is away.
        ValueError: it is neither SQLite nor PostgreSQL.
    """
    engine = database if isinstance(database, Engine) else _engine(database)
    if engine.dialect.name not in ("sqlite", "postgresql"):
        raise ValueError(f"store {store!r}: expected SQLite or PostgreSQL")
    try:
        _make_tables(engine)
    except StoreDownError:
        # two processes that make a table at once: PostgreSQL lets one of them fail
        _make_tables(engine)
    return engine


def _make_tables(engine: Engine) -> None:
    with answering("tables"), engine.begin() as connection:
        for table in _METADATA.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
        for index in _INDEXES:
            connection.execute(CreateIndex(index, if_not_exists=True))


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        waits = {
            "connect_timeout": _PATIENCE,
            "options": f"-c statement_timeout={_PATIENCE * 1000}",
        }
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(parsed, connect_args=waits, pool_timeout=_PATIENCE, pool_size=10)
    engine = create_engine(parsed, connect_args={"timeout": _PATIENCE}, pool_timeout=_PATIENCE)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own
    """Let readers and one writer work side by side; a killed process loses nothing committed."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


@contextmanager
def answering(store: str) -> Iterator[None]:
    """Turn whatever a database raises into the one error of stores.

    Raises:
        StoreDownError: it raised.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreDownError(store, type(error).__name__) from None


def inserting(engine: Engine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert of this database's dialect, which knows what a conflict is."""
    if engine.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def advancing(engine: Engine, store: str, until: float) -> Any:  # noqa: ANN401 - a statement
    """Return the statement that notes how far a store forgot; never less than before."""
    insert = inserting(engine, FORGOTTEN).values(store=store, until=until)
    return insert.on_conflict_do_update(
        index_elements=[FORGOTTEN.c.store],
        set_={"until": insert.excluded.until},
        where=insert.excluded.until > FORGOTTEN.c.until,
    )
