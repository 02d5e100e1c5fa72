"""The directory's tables. Migrations (migrations/versions) make them; a test compares the two.

- `entries` grows at its end; `leaves` is the only index by id, and the tree's lowest level.
- Filter columns repeat what the signed body says; a reader compares them.
- `agent_keys` holds every key that was ever registered, so that none becomes another's.
"""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_REVISION = "0001"
"""The newest migration; a test compares it with the migrations folder."""

VERSION_TABLE = "directory_schema"

metadata = sa.MetaData()
# SQLite's own rowid is an INTEGER PRIMARY KEY only under exactly that type name
_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

head = sa.Table(
    "directory_head",
    metadata,
    sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True),
    sa.Column("version", _Big, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)

nodes = sa.Table(
    "directory_nodes",
    metadata,
    sa.Column("node", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digests", sa.LargeBinary, nullable=False),
)

leaves = sa.Table(
    "directory_leaves",
    metadata,
    sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.LargeBinary, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("number", _Big, nullable=False),
    sqlite_with_rowid=False,
)

entries = sa.Table(
    "directory_entries",
    metadata,
    sa.Column("number", _Big, primary_key=True, autoincrement=False),
    sa.Column("version", _Big, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Index("directory_entries_owner", "owner", "number"),
    sa.Index("directory_entries_project", "project", "number"),
    sa.Index("directory_entries_state", "state", "number"),
)

agent_keys = sa.Table(
    "directory_agent_keys",
    metadata,
    sa.Column("kid", sa.LargeBinary, primary_key=True),
    sa.Column("number", _Big, nullable=False),
    sqlite_with_rowid=False,
)

events = sa.Table(
    "directory_events",
    metadata,
    sa.Column("version", _Big, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
