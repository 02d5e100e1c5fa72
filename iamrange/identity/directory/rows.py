"""The rows of one write transaction, gathered and written together.

- Sorted by their keys: neighbours land on one page of the database.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

from iamrange.identity.directory import schema, tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import sqlalchemy as sa

    from iamrange.identity.directory.audit import AuditEvent
    from iamrange.identity.directory.model import Agent


_TO_BASE64 = str.maketrans("-_", "+/")


def entry_columns(agent: Agent) -> dict[str, Any]:
    """Return the columns that repeat the signed body, to filter by; scopes between spaces."""
    return {
        "version": agent.version,
        "owner": agent.owner,
        "project": agent.project,
        "state": agent.state.value,
        "expires": agent.expires,
        "scopes": f" {' '.join(sorted(agent.scopes))} ",
    }


def kid_octets(kid: str) -> bytes:
    """Return a thumbprint as its 32 octets."""
    return a2b_base64(kid.translate(_TO_BASE64) + "=")


class RowWriter:
    """Gathers rows, then writes them table by table."""

    def __init__(self, connection: sa.Connection) -> None:
        """Take the transaction's connection."""
        self._connection = connection
        self._entries: list[dict[str, Any]] = []
        self._new_entries: list[dict[str, Any]] = []
        self._leaves: list[dict[str, Any]] = []
        self._new_leaves: list[dict[str, Any]] = []
        self._keys: list[dict[str, Any]] = []
        self._nodes: Mapping[int, bytes] = {}
        self._events: Sequence[AuditEvent] = ()

    def entry(  # noqa: PLR0913 - one row's parts
        self, agent: Agent, body: bytes, signature: bytes, slot: bytes, digest: bytes, *, new: bool
    ) -> None:
        """Add or replace an entry and its leaf."""
        entry = {
            "number": agent.number,
            "body": body,
            "signature": signature,
            **entry_columns(agent),
        }
        leaf = {
            "bucket": tree.bucket_of(slot),
            "slot": slot,
            "digest": digest,
            "number": agent.number,
        }
        if new:
            self._new_entries.append(entry)
            self._new_leaves.append(leaf)
        else:
            self._entries.append(entry)
            self._leaves.append(leaf)

    def keys(self, number: int, kids: Iterable[str]) -> None:
        """Add keys that are now taken."""
        self._keys.extend({"kid": kid_octets(kid), "number": number} for kid in kids)

    def nodes(self, nodes: Mapping[int, bytes]) -> None:
        """Add or replace tree nodes."""
        self._nodes = nodes

    def events(self, events: Sequence[AuditEvent]) -> None:
        """Add events."""
        self._events = events

    def write(self) -> None:
        """Write all of it."""
        self._new_leaves.sort(key=lambda leaf: leaf["slot"])
        self._keys.sort(key=lambda key: key["kid"])
        for table, rows in (
            (schema.entries, self._new_entries),
            (schema.leaves, self._new_leaves),
            (schema.agent_keys, self._keys),
            (schema.events, [event.as_json() for event in self._events]),
        ):
            if rows:
                self._connection.execute(table.insert(), rows)
        if self._entries:
            self._upsert(schema.entries, self._entries)
            self._upsert(schema.leaves, sorted(self._leaves, key=lambda leaf: leaf["slot"]))
        self._upsert(
            schema.nodes,
            [{"node": node, "digests": value} for node, value in sorted(self._nodes.items())],
        )

    def _upsert(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        dialect = self._connection.dialect.name
        insert = (sqlite if dialect == "sqlite" else postgresql).insert(table)
        key = [column.name for column in table.primary_key]
        values = {
            column.name: insert.excluded[column.name]
            for column in table.columns
            if column.name not in key
        }
        self._connection.execute(
            insert.on_conflict_do_update(index_elements=key, set_=values), rows
        )
