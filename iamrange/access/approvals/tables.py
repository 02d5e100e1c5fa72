"""The approvals' tables, in a database of their own or beside the directory's."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()
_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

REQUESTS: Final = sa.Table(
    "approval_requests",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("body_length", _Big, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("created", _Big, nullable=False),
    sa.Column("expires", _Big, nullable=False),
    # what is the same request, whoever asks how often
    sa.Column("same", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("jws", sa.Text),
    sa.Column("approver", sa.Text),
    sa.Column("verdict", sa.Text),
    sa.Column("jti", sa.Text),
    sa.Column("decided", sa.Float(53)),
    sa.Column("used", sa.Float(53)),
    sa.Column("polled", sa.Float(53)),
    sa.Column("interval", sa.Integer, nullable=False),
    sa.Index("approval_requests_state", "state", "created"),
    sa.Index("approval_requests_agent", "agent", "created"),
    sa.Index("approval_requests_same", "same", "created"),
)

SIGNATURES: Final = sa.Table(
    "approval_signatures",
    METADATA,
    sa.Column("signer", sa.Text, primary_key=True),
    sa.Column("jti", sa.Text, primary_key=True),
    sa.Column("expires", sa.Float(53), nullable=False),
    sa.Index("approval_signatures_expires", "expires"),
)
