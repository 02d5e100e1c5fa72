"""Run by alembic: on the connection and in the transaction that `migrate` hands over."""

from __future__ import annotations

from alembic import context

from iamrange.identity.directory.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
