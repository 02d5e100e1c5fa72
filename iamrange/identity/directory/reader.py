"""Reads entries and believes none that the signed head does not cover.

- Each read is of one snapshot: head, path, bucket and entry belong together.
- A head older than one that this process or the anchor has seen is a rollback; another head of
  the same version is a fork. What had been seen is noted before the read begins, because another
  thread's newer head is no reason to doubt this one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import sqlalchemy as sa

from iamrange.identity.directory import schema, tree
from iamrange.identity.directory.anchor import Anchor, Mark
from iamrange.identity.directory.encoding import (
    HEAD_CONTEXT,
    Head,
    entry_digest,
    head_document,
    read_entry,
    read_head,
)
from iamrange.identity.directory.entry_signatures import entry_signed
from iamrange.identity.directory.errors import TamperedError, unreadable_is_tampered
from iamrange.identity.directory.lookups import select_in

if TYPE_CHECKING:
    from collections.abc import Collection

    from iamrange.identity.directory.database import Database
    from iamrange.identity.directory.model import Agent
    from iamrange.identity.directory.signing import DirectoryPublicKey
    from iamrange.identity.directory.verified_tree import VerifiedTree

_HEAD, _NODE, _LEAF, _ENTRY = range(4)


@dataclass(frozen=True, slots=True)
class Entry:
    """An agent with its row's own bytes."""

    agent: Agent
    body: bytes
    signature: bytes


READ_HEAD = sa.select(schema.head.c.document, schema.head.c.signature)
_ENTRIES = (schema.entries.c.number, schema.entries.c.body, schema.entries.c.signature)


def _lookup() -> sa.CompoundSelect[int, int, bytes, bytes]:
    """Return the one statement of a lookup: one snapshot on every database, one round trip."""
    in_bucket = schema.leaves.c.bucket == sa.bindparam("bucket")
    nothing = sa.cast(sa.null(), sa.LargeBinary)
    path: list[sa.BindParameter[int]] = [sa.bindparam(name) for name in ("middle", "low")]
    return sa.union_all(
        sa.select(
            sa.literal_column(str(_HEAD)).label("kind"),
            schema.head.c.version,
            schema.head.c.document,
            schema.head.c.signature,
        ),
        sa.select(
            sa.literal_column(str(_NODE)),
            schema.nodes.c.node,
            schema.nodes.c.digests,
            nothing,
        ).where(schema.nodes.c.node.in_([sa.literal_column("0"), *path])),
        sa.select(
            sa.literal_column(str(_LEAF)),
            schema.leaves.c.number,
            schema.leaves.c.slot,
            schema.leaves.c.digest,
        ).where(in_bucket),
        sa.select(
            sa.literal_column(str(_ENTRY)),
            schema.entries.c.number,
            schema.entries.c.body,
            schema.entries.c.signature,
        )
        .join_from(schema.leaves, schema.entries, schema.entries.c.number == schema.leaves.c.number)
        .where(in_bucket, schema.leaves.c.slot == sa.bindparam("slot")),
    )


_LOOKUP = _lookup()


class Reader:
    """Verified reads of one database."""

    def __init__(self, database: Database, key: DirectoryPublicKey, anchor: Anchor) -> None:
        """Take the database, the directory's public key, and the anchor."""
        self.database = database
        self.key = key
        self.anchor = anchor
        self._lock = threading.Lock()
        self._seen: Mark | None = None
        self._known: tuple[bytes, bytes, Head] | None = None

    def floor(self) -> Mark | None:
        """Return the newest head that is known of: to be asked before a read begins.

        Raises:
            StoreDownError: the anchor cannot be read.
        """
        anchored, seen = self.anchor.read(), self._seen
        if anchored is None or (seen is not None and seen.version >= anchored.version):
            return seen
        return anchored

    def accept(self, document: bytes, signature: bytes, floor: Mark | None) -> Head:
        """Check a head as it was read.

        Raises:
            TamperedError: it is not the directory's, or older than one that was seen.
        """
        known = self._known
        if known is not None and known[0] == document and known[1] == signature:
            head = known[2]
        else:
            head = self._verified_head(document, signature)
        digest = sha256(document).hexdigest()
        if floor is not None:
            if head.version < floor.version:
                detail = f"rolled back: expected version {floor.version} or later"
                raise TamperedError("head", f"{detail}, got {head.version}")
            if head.version == floor.version and digest != floor.digest:
                raise TamperedError("head", f"two heads have version {head.version}")
        self.note(Mark(head.version, digest))
        self._known = (document, signature, head)
        return head

    def note(self, mark: Mark) -> None:
        """Remember the newest head that was seen."""
        with self._lock:
            if self._seen is None or mark.version > self._seen.version:
                self._seen = mark

    def head(self, connection: sa.Connection, floor: Mark | None) -> Head:
        """Read and check the head.

        Raises:
            TamperedError: it is gone, not the directory's, or rolled back.
        """
        row = connection.execute(READ_HEAD).first()
        if row is None:
            raise TamperedError("head", "is gone")
        with unreadable_is_tampered("head"):
            return self.accept(row.document, row.signature, floor)

    def lookup(self, identifier: str) -> tuple[Head, Entry | None]:
        """Read one agent by its id, or prove that there is none.

        Raises:
            TamperedError: what was read is not what the directory signed.
            StoreDownError: the database is away.
        """
        slot = tree.slot_of(identifier)
        with unreadable_is_tampered(f"entry {identifier!r}"):
            return self._read_one(identifier, slot)

    def _read_one(self, identifier: str, slot: bytes) -> tuple[Head, Entry | None]:
        bucket = tree.bucket_of(slot)
        _, middle, low = tree.path_of(bucket)
        floor = self.floor()
        parameters = {"bucket": bucket, "slot": slot, "middle": middle, "low": low}
        with self.database.statement() as connection:
            rows = connection.execute(_LOOKUP, parameters).all()
        row_name = f"entry {identifier!r}"
        head: Head | None = None
        nodes: dict[int, bytes] = {}
        pairs: dict[bytes, bytes] = {}
        entry: tuple[bytes, bytes] | None = None
        for kind, number, first, second in rows:
            if kind == _HEAD:
                head = self.accept(first, second, floor)
            elif kind == _NODE:
                nodes[number] = first
            elif kind == _LEAF:
                pairs[first] = second
            else:
                entry = (first, second)
        if head is None:
            raise TamperedError("head", "is gone")
        wrong = tree.wrong_node(head.root, bucket, nodes)
        if wrong is not None:
            raise TamperedError(row_name, f"tree node {wrong} is not what the signed head covers")
        if tree.bucket_digest(pairs.items()) != tree.expected_bucket(bucket, nodes):
            raise TamperedError(row_name, "added, deleted or rolled back: its bucket differs")
        if slot not in pairs:
            return head, None
        if entry is None:
            raise TamperedError(row_name, "deleted")
        body, own = entry
        return head, self.entry(identifier, body, own, expected=pairs[slot])

    def entry(self, identifier: str, body: bytes, signature: bytes, *, expected: bytes) -> Entry:
        """Check one entry against the tree's digest and its own signature.

        Raises:
            TamperedError: it is not what the directory signed for this id.
        """
        row_name = f"entry {identifier!r}"
        if entry_digest(body, signature) != expected:
            raise TamperedError(row_name, "changed, swapped or rolled back to an older version")
        if not entry_signed(self.key, signature, body):
            raise TamperedError(row_name, "not signed by the directory's key")
        return Entry(_agent(row_name, body, identifier), body, signature)

    def entries(
        self, connection: sa.Connection, verified: VerifiedTree, slots: Collection[bytes]
    ) -> dict[bytes, Entry]:
        """Read many entries, each proven by the tree; slots without an agent are left out.

        The tree's digest covers body and signature, so the signatures need no second look.

        Raises:
            TamperedError: what was read is not what the directory signed.
        """
        with unreadable_is_tampered("entries"):
            return self._read_many(connection, verified, slots)

    def _read_many(
        self, connection: sa.Connection, verified: VerifiedTree, slots: Collection[bytes]
    ) -> dict[bytes, Entry]:
        buckets = {tree.bucket_of(slot) for slot in slots}
        leaves = verified.leaves(connection, buckets)
        wanted: dict[int, tuple[bytes, bytes]] = {}
        for slot in slots:
            leaf = leaves[tree.bucket_of(slot)].get(slot)
            if leaf is not None:
                wanted[leaf[1]] = (slot, leaf[0])
        found: dict[bytes, Entry] = {}
        rows = select_in(connection, _ENTRIES, _ENTRIES[0], wanted)
        for number, body, signature in rows:
            slot, digest = wanted[number]
            if entry_digest(body, signature) != digest:
                raise TamperedError(f"entry number {number}", "changed, swapped or rolled back")
            found[slot] = Entry(_agent(f"entry number {number}", body), body, signature)
        gone = next((n for n, (slot, _) in wanted.items() if slot not in found), None)
        if gone is not None:
            raise TamperedError(f"entry number {gone}", "deleted")
        return found

    def _verified_head(self, document: bytes, signature: bytes) -> Head:
        if not self.key.verifies(signature, HEAD_CONTEXT + document):
            raise TamperedError("head", f"not signed by the directory's key {self.key.kid}")
        try:
            return read_head(document)
        except (ValueError, KeyError, TypeError) as error:
            raise TamperedError("head", type(error).__name__) from None


def mark_of(head: Head) -> Mark:
    """Return what is remembered of a head."""
    return Mark(head.version, sha256(head_document(head)).hexdigest())


def _agent(row: str, body: bytes, identifier: str | None = None) -> Agent:
    try:
        agent = read_entry(body)
    except (ValueError, KeyError, TypeError) as error:
        raise TamperedError(row, f"unreadable: {type(error).__name__}") from None
    if identifier is not None and agent.id != identifier:
        raise TamperedError(row, "swapped with another agent's")
    return agent
