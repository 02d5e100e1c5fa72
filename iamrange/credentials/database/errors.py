"""What can be wrong with the range's own database."""

from __future__ import annotations


class DatabaseError(Exception):
    """The database cannot be had; `reason` is a stable code."""

    reason = "database-broken"


class DatabaseMissingError(DatabaseError):
    """There is no PostgreSQL that this machine can run; the message names the way out."""

    reason = "database-missing"


class DatabaseStartError(DatabaseError):
    """PostgreSQL did not come up; the message says what it said."""

    reason = "database-did-not-start"
