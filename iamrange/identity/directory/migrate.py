"""Brings a database to this version's schema; safe when several processes start at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from iamrange.identity.directory.errors import SchemaError
from iamrange.identity.directory.schema import SCHEMA_REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from iamrange.identity.directory.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"


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
        if found != SCHEMA_REVISION:
            _upgrade(connection, found)


def _upgrade(connection: sa.Connection, found: str | None) -> None:
    # a fifth of a second to import, and needed once in a database's life
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"directory: schema expected {SCHEMA_REVISION!r} or older, got {found!r}: "
            "the database was made by a newer version"
        )
    command.upgrade(config, "head")


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    table = sa.table(VERSION_TABLE, sa.column("version_num"))
    revision: str | None = connection.execute(sa.select(table.c.version_num)).scalar()
    return revision
