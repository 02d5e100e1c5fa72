"""The rows of one write transaction, gathered and written together.

- Plain tuples to the driver: a bulk registration spends its time on what it must compute.
- Sorted by their keys: neighbours land on one page of the database.
- PostgreSQL takes new rows by COPY, and changed ones by COPY into a temporary table.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from iamrange.identity.directory import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import sqlalchemy as sa

    from iamrange.identity.directory.audit import AuditEvent
    from iamrange.identity.directory.model import Agent

Row = tuple[Any, ...]

_COPY_LEAST = 50
"""Fewer rows are not worth the round trips of a COPY."""


def entry_columns(agent: Agent) -> dict[str, Any]:
    """Return the columns that repeat the signed body, to filter by; scopes between spaces."""
    return {
        "version": agent.version,
        "owner": agent.owner,
        "project": agent.project,
        "state": agent.state.value,
        "expires": agent.expires,
        "scopes": _scopes_column(agent.scopes),
    }


@lru_cache(maxsize=1024)
def _scopes_column(scopes: frozenset[str]) -> str:
    return f" {' '.join(sorted(scopes))} "


class RowWriter:
    """Gathers rows in the order of their tables' columns, then writes them table by table."""

    def __init__(self, connection: sa.Connection) -> None:
        """Take the transaction's connection."""
        self._connection = connection
        self._entries: list[Row] = []
        self._new_entries: list[Row] = []
        self._leaves: list[Row] = []
        self._new_leaves: list[Row] = []
        self._keys: list[Row] = []
        self._nodes: list[Row] = []
        self._events: list[Row] = []

    def entry(self, agent: Agent, body: bytes, signature: bytes, leaf: Row, *, new: bool) -> None:
        """Add or replace an entry and its leaf."""
        entry = (
            agent.number,
            agent.version,
            body,
            signature,
            agent.owner,
            agent.project,
            agent.state.value,
            agent.expires,
            _scopes_column(agent.scopes),
        )
        (self._new_entries if new else self._entries).append(entry)
        (self._new_leaves if new else self._leaves).append(leaf)

    def keys(self, number: int, kids: Iterable[bytes]) -> None:
        """Add keys that are now taken."""
        for kid in kids:
            self._keys.append((kid, number))

    def nodes(self, nodes: Mapping[int, bytes]) -> None:
        """Add or replace tree nodes."""
        self._nodes = sorted(nodes.items())

    def events(self, events: Sequence[AuditEvent]) -> None:
        """Add events."""
        self._events = [
            (each.version, each.time, each.actor, each.action, each.agent, each.detail)
            for each in events
        ]

    def write(self) -> None:
        """Write all of it."""
        for rows in (self._leaves, self._new_leaves):
            rows.sort(key=lambda leaf: leaf[1])
        self._keys.sort()
        self._insert(schema.entries, self._new_entries)
        self._insert(schema.leaves, self._new_leaves)
        self._insert(schema.agent_keys, self._keys)
        self._insert(schema.events, self._events)
        self._upsert(schema.entries, self._entries)
        self._upsert(schema.leaves, self._leaves)
        self._upsert(schema.nodes, self._nodes)

    def _insert(self, table: sa.Table, rows: list[Row]) -> None:
        if not rows:
            return
        if self._connection.dialect.name != "sqlite" and len(rows) >= _COPY_LEAST:
            self._copy(table, table.name, rows)
        else:
            self._connection.exec_driver_sql(self._insert_text(table), rows)

    def _upsert(self, table: sa.Table, rows: list[Row]) -> None:
        if not rows:
            return
        keys = ", ".join(column.name for column in table.primary_key)
        changed = ", ".join(
            f"{column.name} = excluded.{column.name}"
            for column in table.columns
            if not column.primary_key
        )
        conflict = f" ON CONFLICT ({keys}) DO UPDATE SET {changed}"
        if self._connection.dialect.name != "sqlite" and len(rows) >= _COPY_LEAST:
            draft = f"draft_{table.name}"
            made = f"CREATE TEMPORARY TABLE IF NOT EXISTS {draft} (LIKE {table.name})"
            for statement in (f"{made} ON COMMIT DELETE ROWS", f"TRUNCATE {draft}"):
                self._connection.exec_driver_sql(statement)
            self._copy(table, draft, rows)
            self._connection.exec_driver_sql(
                f"INSERT INTO {table.name} SELECT * FROM {draft}{conflict}"  # noqa: S608 - the schema's own names
            )
        else:
            self._connection.exec_driver_sql(self._insert_text(table) + conflict, rows)

    def _insert_text(self, table: sa.Table) -> str:
        mark = "?" if self._connection.dialect.name == "sqlite" else "%s"
        names = ", ".join(column.name for column in table.columns)
        marks = ", ".join([mark] * len(table.columns))
        return f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - the schema's own names

    def _copy(self, table: sa.Table, target: str, rows: list[Row]) -> None:
        driver: Any = self._connection.connection.driver_connection
        dialect = self._connection.dialect
        kinds = [_KINDS[str(column.type.compile(dialect))] for column in table.columns]
        names = ", ".join(column.name for column in table.columns)
        text = f"COPY {target} ({names}) FROM STDIN (FORMAT BINARY)"
        with driver.cursor() as cursor, cursor.copy(text) as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)


_KINDS = {
    "BIGINT": "int8",
    "INTEGER": "int4",
    "BYTEA": "bytea",
    "TEXT": "text",
    "FLOAT": "float8",
    "DOUBLE PRECISION": "float8",
}
