"""Brings a database to this version's schema; safe when several processes start at once.

- A new database is made from the schema itself, and marked with its revision: alembic, a fifth
  of a second and 9 MiB to import, is for databases of older versions. A test holds both ways
  against each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from iamrange.identity.directory.errors import SchemaError
from iamrange.identity.directory.schema import SCHEMA_REVISION, VERSION_TABLE, metadata

if TYPE_CHECKING:
    from iamrange.identity.directory.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
# as alembic makes it
_version = sa.Table(
    VERSION_TABLE,
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def migrate(database: Database) -> None:
    """Make or upgrade the tables, unless they are as they should be.

    Raises:
        SchemaError: the database was made by a newer version.
        StoreDownError: the database is away.
    """
    database.create_file()
    with database.reading() as connection:
        if _revision(connection) == SCHEMA_REVISION:
            return
    with database.writing() as connection:
        database.lock_schema(connection)
        found = _revision(connection)
        if found is None:
            _create(connection)
        elif found != SCHEMA_REVISION:
            upgrade(connection, found)


def _create(connection: sa.Connection) -> None:
    # without a look at what is there: tables that nobody marked are nobody's to take over
    metadata.create_all(connection, checkfirst=False)
    _version.create(connection, checkfirst=False)
    connection.execute(_version.insert(), {"version_num": SCHEMA_REVISION})


def upgrade(connection: sa.Connection, found: str | None) -> None:
    """Run the migrations after `found`, or all of them.

    Raises:
        SchemaError: there is no migration of that name.
    """
    from alembic import command  # noqa: PLC0415 - needed once in a database's life
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found not in {None, "base"} | known:
        raise SchemaError(
            f"directory: schema expected {SCHEMA_REVISION!r} or older, got {found!r}: "
            "the database was made by a newer version"
        )
    command.upgrade(config, "head")


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(sa.select(_version.c.version_num)).scalar()
    # the table without a row is alembic's mark of a database before the first migration
    return "base" if revision is None else revision
