"""The stores' tables, in any database that holds the directory: SQLite or PostgreSQL.

- Tables of their own, made when they are missing; nothing of the directory's is touched.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite

METADATA: Final = MetaData()
USED: Final = Table(
    "replay_used",
    METADATA,
    Column("key", LargeBinary(20), primary_key=True),
    Column("expires", Float(53), nullable=False),
)
REVOKED: Final = Table(
    "revoked_tokens",
    METADATA,
    Column("jti", String(256), primary_key=True),
    Column("expires", Float(53), nullable=False),
)
EPOCHS: Final = Table(
    "revoked_epochs",
    METADATA,
    Column("agent_id", String(256), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)
FORGOTTEN: Final = Table(
    "store_forgotten",
    METADATA,
    Column("store", String(32), primary_key=True),
    Column("until", Float(53), nullable=False),
)
"""How far each store has pruned."""

TABLES: Final = tuple(table.name for table in METADATA.sorted_tables)
INDEXES: Final = (
    Index("replay_used_expires", USED.c.expires),
    Index("revoked_tokens_expires", REVOKED.c.expires),
)


def inserting(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert of this dialect, which knows what a conflict is."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
