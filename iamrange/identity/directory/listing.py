"""Lists of agents and events, page by page, each row verified.

- Pages go by `number`, the order of registration: a page is never shifted by what is added.
- A page's rows are proven by the signed head. Without a filter a missing row shows too, since
  numbers have no gaps; what a filter misses because a column was changed, `verify` finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from iamrange.identity.directory import schema, tree
from iamrange.identity.directory.audit import AuditEvent
from iamrange.identity.directory.encoding import entry_digest, read_entry
from iamrange.identity.directory.errors import TamperedError, unreadable_is_tampered
from iamrange.identity.directory.rows import entry_columns
from iamrange.identity.directory.verified_tree import VerifiedTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.identity.directory.model import Agent, AgentState
    from iamrange.identity.directory.reader import Reader

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFilter:
    """Which agents are meant; what is None does not matter."""

    owner: str | None = None
    project: str | None = None
    state: AgentState | None = None
    scope: str | None = None
    expired: bool | None = None

    @property
    def empty(self) -> bool:
        """Tell whether all agents are meant."""
        return self == AgentFilter()

    def conditions(self, now: float) -> list[sa.ColumnElement[bool]]:
        """Return the filter as conditions on the entries' columns."""
        columns = schema.entries.c
        found: list[sa.ColumnElement[bool]] = []
        if self.owner is not None:
            found.append(columns.owner == self.owner)
        if self.project is not None:
            found.append(columns.project == self.project)
        if self.state is not None:
            found.append(columns.state == self.state.value)
        if self.scope is not None:
            found.append(columns.scopes.contains(f" {self.scope} ", autoescape=True))
        if self.expired is not None:
            over = sa.and_(columns.expires.is_not(None), columns.expires <= now)
            found.append(over if self.expired else sa.not_(over))
        return found


EVERYONE = AgentFilter()


@dataclass(frozen=True, slots=True)
class Page:
    """Agents in the order of registration; `next` is where the following page starts."""

    agents: tuple[Agent, ...]
    next: int | None


def select_rows(
    where: AgentFilter, *, after: int, limit: int, now: float
) -> sa.Select[tuple[object, ...]]:
    """Return the statement for a page's rows."""
    return (
        sa.select(schema.entries)
        .where(schema.entries.c.number > after, *where.conditions(now))
        .order_by(schema.entries.c.number)
        .limit(limit)
    )


def verified_rows(
    connection: sa.Connection, verified: VerifiedTree, rows: Sequence[sa.Row[tuple[object, ...]]]
) -> list[Agent]:
    """Return the rows' agents, each proven by the tree, its columns compared.

    Raises:
        TamperedError: names the first row that is not what the directory signed.
    """
    agents: list[Agent] = []
    for row in rows:
        try:
            agent = read_entry(row.body)
        except (ValueError, KeyError, TypeError) as error:
            kind = type(error).__name__
            raise TamperedError(f"entry number {row.number}", f"unreadable: {kind}") from None
        agents.append(agent)
    slots = [tree.slot_of(agent.id) for agent in agents]
    leaves = verified.leaves(connection, {tree.bucket_of(slot) for slot in slots})
    for agent, slot, row in zip(agents, slots, rows, strict=True):
        leaf = leaves[tree.bucket_of(slot)].get(slot)
        proof = (entry_digest(row.body, row.signature), row.number)
        if leaf != proof or agent.number != row.number:
            raise TamperedError(f"entry {agent.id!r}", "added, changed, swapped or rolled back")
        for column, value in entry_columns(agent).items():
            if getattr(row, column) != value:
                detail = f"column {column!r} is not what was signed"
                raise TamperedError(f"entry {agent.id!r}", detail)
    return agents


def read_page(reader: Reader, where: AgentFilter, *, after: int, limit: int, now: float) -> Page:
    """Read one page.

    Raises:
        TamperedError: a row of it is not what the directory signed.
        StoreDownError: the database is away.
    """
    limit = max(1, min(limit, MAX_PAGE))
    floor = reader.floor()
    with reader.database.reading() as connection, unreadable_is_tampered("entries"):
        head = reader.head(connection, floor)
        rows = connection.execute(select_rows(where, after=after, limit=limit, now=now)).all()
        agents = verified_rows(connection, VerifiedTree(root=head.root), rows)
    numbers = [agent.number for agent in agents]
    if where.empty:
        first = max(after, 0) + 1
        expected = list(range(first, min(first + limit, head.count + 1)))
        if numbers != expected:
            gone = next((n for n in expected if n not in set(numbers)), first)
            raise TamperedError(f"entry number {gone}", "deleted")
    return Page(tuple(agents), numbers[-1] if len(numbers) == limit else None)


def read_events(reader: Reader, *, after: int, limit: int) -> tuple[AuditEvent, ...]:
    """Read events in the order of their versions.

    Raises:
        StoreDownError: the database is away.
    """
    statement = (
        sa.select(schema.events)
        .where(schema.events.c.version > after)
        .order_by(schema.events.c.version)
        .limit(max(1, min(limit, MAX_PAGE)))
    )
    with reader.database.statement() as connection, unreadable_is_tampered("events"):
        return tuple(AuditEvent(**row._asdict()) for row in connection.execute(statement))
