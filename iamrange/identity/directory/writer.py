"""Writes entries, tree, head and events in one transaction; one writer at a time.

- A writer believes no more than a reader: all that it builds on was checked under the signed
  head first, so that a write never signs what somebody else put there.
- The events go to the audit sink after the commit, in order; the anchor rises after it too.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from iamrange.identity.directory import schema, tree
from iamrange.identity.directory.audit import AuditEvent, AuditSink
from iamrange.identity.directory.encoding import (
    HEAD_CONTEXT,
    Head,
    entry_body,
    entry_digest,
    head_document,
)
from iamrange.identity.directory.entry_signatures import sign_entries
from iamrange.identity.directory.errors import DirectoryKeyError, TamperedError
from iamrange.identity.directory.lookups import select_in
from iamrange.identity.directory.reader import mark_of
from iamrange.identity.directory.rows import RowWriter
from iamrange.identity.directory.verified_tree import Leaves, VerifiedTree, bucket_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from iamrange.core.clock import Clock
    from iamrange.identity.directory.model import Agent
    from iamrange.identity.directory.reader import Entry, Reader
    from iamrange.identity.directory.signing import DirectoryKey

_LOCKED_HEAD = sa.select(schema.head.c.document, schema.head.c.signature).with_for_update()
_KEYS = (schema.agent_keys.c.kid, schema.agent_keys.c.number)


@dataclass(frozen=True, slots=True)
class Change:
    """One agent's new state. `before` is None for a new one; `spec` its spec's canonical text.

    `new_keys` are the octets of the thumbprints of keys that are new with it.
    """

    before: Agent | None
    after: Agent
    action: str
    detail: str = ""
    spec: str | None = None
    new_keys: tuple[bytes, ...] = ()


class Transaction:
    """One write transaction: reads under the verified head, and at most one `put`."""

    def __init__(self, writer: Writer, connection: sa.Connection, head: Head, now: float) -> None:
        """Take the verified head; made by `Writer.begin` only."""
        self._writer = writer
        self.connection = connection
        self.head = head
        self.now = now
        self.events: list[AuditEvent] = []

    def read(self, slots: Collection[bytes]) -> dict[bytes, Entry]:
        """Read agents by slot; those that there are.

        Raises:
            TamperedError: what was read is not what the directory signed.
        """
        return self._writer.reader.entries(self.connection, self._writer.verified, slots)

    def key_owners(self, kids: Collection[bytes]) -> dict[bytes, int]:
        """Return the numbers of the agents that these keys are, or were, registered for."""
        return dict(select_in(self.connection, _KEYS, _KEYS[0], kids))

    def put(self, changes: Sequence[Change], *, actor: str) -> list[Agent]:
        """Sign and write the changes; return the agents with their new versions.

        Raises:
            TamperedError: what would be built on is not what the directory signed.
        """
        slots = [tree.slot_of(each.after.id) for each in changes]
        buckets = [tree.bucket_of(slot) for slot in slots]
        leaves = self._writer.verified.leaves(self.connection, set(buckets))
        rows = RowWriter(self.connection)
        agents = self._numbered(changes)
        bodies = [
            entry_body(agent, change.spec) for agent, change in zip(agents, changes, strict=True)
        ]
        signatures = sign_entries(self._writer.key, bodies)
        for change, agent, slot, bucket, body, signature in zip(
            changes, agents, slots, buckets, bodies, signatures, strict=True
        ):
            digest = entry_digest(body, signature)
            new = change.before is None
            if new == (slot in leaves[bucket]):
                raise TamperedError(f"entry {agent.id!r}", "changed while it was written")
            leaves[bucket][slot] = (digest, agent.number)
            leaf = (bucket, slot, digest, agent.number)
            rows.entry(agent, body, signature, leaf, new=new)
            rows.keys(agent.number, change.new_keys)
            self.events.append(
                AuditEvent(
                    version=agent.version,
                    time=self.now,
                    actor=actor,
                    action=change.action,
                    agent=agent.id,
                    detail=change.detail,
                )
            )
        new_agents = sum(change.before is None for change in changes)
        version, count = self.head.version + len(changes), self.head.count + new_agents
        self._seal(rows, leaves, version, count)
        return agents

    def _numbered(self, changes: Sequence[Change]) -> list[Agent]:
        """Return the agents with their versions and, where they are new, their numbers."""
        version, count = self.head.version, self.head.count
        agents: list[Agent] = []
        for change in changes:
            version += 1
            if change.before is None:
                place = count = count + 1
            else:
                place = change.before.number
            agent = change.after
            if (agent.version, agent.number) != (version, place):
                agent = replace(agent, version=version, number=place)
            agents.append(agent)
        return agents

    def _seal(self, rows: RowWriter, leaves: dict[int, Leaves], version: int, count: int) -> None:
        verified = self._writer.verified
        root, touched = tree.replace_buckets(
            verified.nodes,
            {bucket: bucket_digest(pairs) for bucket, pairs in leaves.items()},
        )
        verified.root = root
        rows.nodes({node: verified.nodes[node] for node in touched})
        rows.events(self.events)
        rows.write()
        self.head = self._writer.write_head(
            self.connection, version=version, count=count, root=root, now=self.now
        )


class Writer:
    """The one who signs. `verified` is the part of the tree that it has checked or made."""

    def __init__(
        self, reader: Reader, key: DirectoryKey | None, clock: Clock, audit: AuditSink | None
    ) -> None:
        """Take the ports; without the private key nothing can be written."""
        self.reader = reader
        self.verified = VerifiedTree()
        self._key = key
        self._clock = clock
        self._audit = audit
        self._lock = threading.Lock()

    @property
    def key(self) -> DirectoryKey:
        """The private key.

        Raises:
            DirectoryKeyError: this directory only reads.
        """
        if self._key is None:
            raise DirectoryKeyError("directory: opened without its private key, so it only reads")
        return self._key

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Lock, check the head, and give the transaction; committed when the block ends.

        Raises:
            TamperedError: the head is not the directory's, or rolled back.
            StoreDownError: the database is away, locked for too long, or full.
        """
        _ = self.key  # asks for it now, before anything is locked
        with self._lock:
            floor = self.reader.floor()
            kept = False
            try:
                with self.reader.database.writing() as connection:
                    row = connection.execute(_LOCKED_HEAD).first()
                    if row is None:
                        raise TamperedError("head", "is gone")
                    head = self.reader.accept(row.document, row.signature, floor)
                    self.verified.at(head.root)
                    self.verified.kept = {}
                    transaction = Transaction(self, connection, head, self._clock.now())
                    yield transaction
                kept = True
            finally:
                self.verified.kept = None
                if not kept:
                    # what was not committed was never so
                    self.verified.at(b"")
            if transaction.events:
                self._committed(transaction)

    def write_head(  # noqa: PLR0913 - the head's own members
        self,
        connection: sa.Connection,
        *,
        version: int,
        count: int,
        root: bytes,
        now: float,
        first: bool = False,
    ) -> Head:
        """Sign a head and write it."""
        head = Head(version=version, count=count, time=now, root=root, kid=self.key.kid)
        document = head_document(head)
        values = {
            "version": version,
            "document": document,
            "signature": self.key.sign(HEAD_CONTEXT + document),
        }
        if first:
            connection.execute(schema.head.insert(), {"one": 1, **values})
        else:
            connection.execute(schema.head.update().where(schema.head.c.one == 1), values)
        return head

    def _committed(self, transaction: Transaction) -> None:
        mark = mark_of(transaction.head)
        self.reader.note(mark)
        self.reader.anchor.raise_to(mark)
        if self._audit is not None:
            for event in transaction.events:
                self._audit(event)
