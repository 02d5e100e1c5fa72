"""The database under the directory: SQLite by default, PostgreSQL by URL.

- SQLite: WAL, synchronous FULL (what is acknowledged survives kill -9 and power loss), writers
  take the write lock when they begin. A file that was removed or replaced is noticed at the next
  use, and is never made anew by a reader.
- PostgreSQL: writers queue on the head's row; each read is one statement or one snapshot.
- Whatever the driver raises becomes `StoreDownError`, without statement, values or address.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from iamrange.identity.directory.errors import STORE
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_SECONDS = 10.0
_CONNECT_SECONDS = 5
_SCHEMA_LOCK = 0x1A34_D12E  # any number, as long as it is always this one
_CACHE_KIB = 32 * 1024
_CHECKPOINT_PAGES = 16 * 1024


class Database:
    """An engine that was set up for the directory, and its transactions."""

    def __init__(
        self, url: str | sa.URL | sa.Engine, *, busy: float = BUSY_SECONDS, store: str = STORE
    ) -> None:
        """Take a URL, or an engine of which the URL is used; `busy` is how long to wait for locks.

        `store` is what errors call it by.

        Raises:
            ValueError: it is neither a SQLite file nor PostgreSQL.
        """
        self.url = url.url if isinstance(url, sa.Engine) else sa.make_url(url)
        self._busy = busy
        self._store = store
        self._file: Path | None = None
        self._inode: tuple[int, int] | None = None
        self._process = os.getpid()
        backend = self.url.get_backend_name()
        if backend == "sqlite":
            if not self.url.database or self.url.database == ":memory:":
                raise ValueError("directory: a SQLite database expected a file")
            self._file = Path(self.url.database).absolute()
            self._engine = self._single = self._sqlite()
            self._writer = self._engine.execution_options(iamrange_writes=True)
        elif backend == "postgresql":
            self._engine = self._postgresql()
            # a driver-side setting: one statement is then one round trip
            self._single = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            # a writer that waited for the head's row must see what it waited for
            self._writer = self._engine.execution_options(isolation_level="READ COMMITTED")
        else:
            raise ValueError(f"directory: database expected sqlite or postgresql, got {backend!r}")

    @property
    def is_sqlite(self) -> bool:
        """Tell which of the two it is."""
        return self._file is not None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give one snapshot to read from.

        Raises:
            StoreDownError: the database is away.
        """
        with self._errors(), self._connection(self._engine) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def statement(self) -> Iterator[sa.Connection]:
        """Give a connection for one statement, which is a snapshot by itself.

        Raises:
            StoreDownError: the database is away.
        """
        with self._errors(), self._connection(self._single) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a transaction that no other writer shares; committed when the block ends.

        Raises:
            StoreDownError: the database is away, locked for too long, or full.
        """
        with self._errors(), self._connection(self._writer) as connection, connection.begin():
            yield connection

    def lock_schema(self, connection: sa.Connection) -> None:
        """Let one at a time make tables and the first head; freed with the transaction."""
        if not self.is_sqlite:  # where a writer is alone from its beginning
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def create_file(self) -> None:
        """Make an empty SQLite file, if there is none."""
        if self._file is not None and not self._file.exists():
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY, 0o600))
            except OSError as error:
                raise StoreDownError(self._store, type(error).__name__) from None

    def close(self) -> None:
        """Let all connections go; the next use opens new ones."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _connection(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        if os.getpid() != self._process:
            # connections do not survive a fork: the parent's stay the parent's
            self._engine.dispose(close=False)
            self._process = os.getpid()
        if self._file is not None:
            self._watch_file(self._file)
        with engine.connect() as connection:
            yield connection

    def _watch_file(self, file: Path) -> None:
        """Notice a file that went away or was replaced: open connections would not."""
        try:
            status = os.stat(file)  # noqa: PTH116 - on the path of every lookup
        except OSError:
            self._inode = None
            self._engine.dispose()
            raise StoreDownError(self._store, "the database file is gone") from None
        inode = (status.st_dev, status.st_ino)
        if self._inode != inode:
            if self._inode is not None:
                self._engine.dispose()
            self._inode = inode

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreDownError(self._store, _cause(error.orig)) from None
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreDownError(self._store, type(error).__name__) from None

    def _sqlite(self) -> sa.Engine:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                f"{Path(str(self._file)).as_uri()}?mode=rw",
                uri=True,
                timeout=self._busy,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                f"cache_size=-{_CACHE_KIB}",
                f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
            ):
                connection.execute(f"PRAGMA {pragma}")
            return connection

        engine = sa.create_engine(
            "sqlite+pysqlite://",
            creator=connect,
            poolclass=sa.pool.QueuePool,
            pool_size=8,
            max_overflow=24,
            hide_parameters=True,
        )

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get("iamrange_writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _postgresql(self) -> sa.Engine:
        url = self.url.set(drivername="postgresql+psycopg")
        arguments: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            # a server that vanished without a word is found out
            "keepalives_idle": _CONNECT_SECONDS,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": 2000 * _CONNECT_SECONDS,
            "options": f"-c lock_timeout={self._busy * 1000:.0f}",
        }
        return sa.create_engine(
            url,
            connect_args=arguments,
            isolation_level="REPEATABLE READ",
            pool_size=8,
            max_overflow=24,
            pool_pre_ping=False,
            hide_parameters=True,
        )


def _cause(error: BaseException | None) -> str:
    """Name a driver's error by its kind, which holds no values."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    return f"{type(error).__name__}{f' {name}' if name else ''}"
