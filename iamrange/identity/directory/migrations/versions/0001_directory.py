"""The first tables: head, tree, entries, keys, events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "directory_head",
        sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True),
        sa.Column("version", _Big, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "directory_nodes",
        sa.Column("node", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digests", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "directory_leaves",
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.LargeBinary, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("number", _Big, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "directory_entries",
        sa.Column("number", _Big, primary_key=True, autoincrement=False),
        sa.Column("version", _Big, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("expires", sa.Float),
        sa.Column("scopes", sa.Text, nullable=False),
    )
    for column in ("owner", "project", "state"):
        op.create_index(f"directory_entries_{column}", "directory_entries", [column, "number"])
    op.create_table(
        "directory_agent_keys",
        sa.Column("kid", sa.LargeBinary, primary_key=True),
        sa.Column("number", _Big, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "directory_events",
        sa.Column("version", _Big, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
