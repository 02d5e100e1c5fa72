"""What a service asks at each request: agents by id, from memory, never older than a bound.

- Fast while nothing changes: one look at the clock, one at a dict.
- Once in `staleness` seconds the signed head is read. When it moved, the hash tree says which
  buckets differ, and only what lies in those is forgotten: a change feed that cannot lie.
- The database away: `StoreDownError`, until it answers again; asked once in `staleness` seconds,
  so that those who wait for it do not wait one after another.
- Tampering found: what was remembered is forgotten, and everybody is proven anew. Each agent is
  proven by itself, so that a row that is not right takes nobody else along.
- The bound is kept on a clock that nobody can set back.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from iamrange.identity.directory import tree
from iamrange.identity.directory.errors import TamperedError
from iamrange.identity.directory.field_rules import is_agent_id
from iamrange.identity.directory.verified_tree import VerifiedTree, read_nodes
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa

    from iamrange.core.clock import Clock
    from iamrange.identity.directory.anchor import Mark
    from iamrange.identity.directory.directory import Directory
    from iamrange.identity.directory.model import Agent
    from iamrange.identity.directory.reader import Entry

STALENESS = 0.25


class DirectoryView:
    """A cache of verified agents; safe for threads."""

    def __init__(
        self,
        directory: Directory,
        *,
        clock: Clock | None = None,
        staleness: float = STALENESS,
        limit: int = 100_000,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the directory; `limit` bounds how many agents are remembered.

        `clock` judges expiry in `active`; `ticks` measures staleness.
        """
        self._directory = directory
        self._clock = clock or directory.clock
        self._staleness = staleness
        self._limit = limit
        self._ticks = ticks
        self._lock = threading.Lock()
        self._tree = VerifiedTree(root=b"")
        self._agents: dict[str, Agent] = {}
        self._absent: dict[str, None] = {}
        self._in_bucket: dict[int, set[str]] = {}
        self._fresh_until = float("-inf")
        self._version = -1
        self._down: StoreDownError | None = None
        self._ask_again = float("-inf")

    @property
    def version(self) -> int:
        """The version of the newest head that this view has believed; -1 before the first."""
        return self._version

    def by_id(self, agent_id: str) -> Agent | None:
        """Return the agent with exactly this SPIFFE id, or None.

        Raises:
            TamperedError: the table is not what the directory signed.
            StoreDownError: the database is away.
        """
        if self._ticks() >= self._fresh_until:
            self._refresh()
        try:
            return self._agents[agent_id]
        except KeyError:
            return self._load(agent_id)

    def active(self, agent_id: str) -> Agent | None:
        """Return the agent only if it may be given anything now.

        Raises:
            TamperedError, StoreDownError: as `by_id`.
        """
        agent = self.by_id(agent_id)
        return agent if agent is not None and agent.usable(self._clock.now()) else None

    def _refresh(self) -> None:
        with self._lock:
            started = self._ticks()
            if started < self._fresh_until:
                return
            with self._reading():
                pass
            self._fresh_until = started + self._staleness

    def _load(self, identifier: str) -> Agent | None:
        if identifier in self._absent or not is_agent_id(identifier):
            return None
        slot = tree.slot_of(identifier)
        with self._lock, self._reading() as connection:
            reader = self._directory.reader
            entry = reader.entries(connection, self._tree, [slot]).get(slot)
            return self._remember(identifier, tree.bucket_of(slot), entry)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """Give a snapshot at the newest head, unless it is known that there is none to have."""
        if self._down is not None and self._ticks() < self._ask_again:
            raise self._down
        try:
            floor = self._directory.reader.floor()
            with self._directory.database.reading() as connection:
                try:
                    self._advance(connection, floor)
                except TamperedError as error:
                    self._rest(error)
                    raise
                self._down = None
                yield connection
        except TamperedError:
            self._forget()
            raise
        except StoreDownError as error:
            self._rest(error)
            raise

    def _rest(self, error: StoreDownError) -> None:
        """Answer the same for a while, without asking."""
        again = "it was away a moment ago"
        tampered = isinstance(error, TamperedError)
        self._down = error if tampered else StoreDownError(error.store, again)
        self._ask_again = self._ticks() + self._staleness

    def _remember(self, identifier: str, bucket: int, entry: Entry | None) -> Agent | None:
        # those who are not there have a bound of their own: asking for many evicts nobody
        agent = None if entry is None else entry.agent
        if agent is None:
            if len(self._absent) >= self._limit:
                self._drop(next(iter(self._absent)))
            self._absent[identifier] = None
        else:
            if len(self._agents) >= self._limit:
                self._drop(next(iter(self._agents)))
            self._agents[identifier] = agent
        self._in_bucket.setdefault(bucket, set()).add(identifier)
        return agent

    def _drop(self, identifier: str) -> None:
        bucket = tree.bucket_of(tree.slot_of(identifier))
        self._in_bucket[bucket].discard(identifier)
        if not self._in_bucket[bucket]:
            del self._in_bucket[bucket]
        self._agents.pop(identifier, None)
        self._absent.pop(identifier, None)

    def _advance(self, connection: sa.Connection, floor: Mark | None) -> None:
        """Move to the newest head, and forget what it changed."""
        head = self._directory.reader.head(connection, floor)
        if head.root != self._tree.root:
            if self._tree.nodes:
                self._follow(connection, head.root)
            self._tree.root = head.root
        self._version = head.version

    def _follow(self, connection: sa.Connection, root: bytes) -> None:
        """Go down the tree where it differs from what is remembered; all of it or nothing."""
        before = self._tree.nodes
        after: dict[int, bytes] = {}
        buckets: list[int] = []
        expected = {0: root}
        while expected:
            # below a node that was never read, nothing is remembered
            known = [number for number in expected if number in before]
            found = read_nodes(connection, known)
            below: dict[int, bytes] = {}
            for number in known:
                children = found.get(number) or tree.empty_node(number)
                if tree.node_digest(children) != expected[number]:
                    raise TamperedError(f"node {number}", "is not what the signed head covers")
                after[number] = children
                for place in tree.differing(before[number], children):
                    under = tree.child_of(number, place)
                    if under is None:
                        buckets.append(tree.bucket_at(number, place))
                    else:
                        below[under] = tree.child(children, place)
            expected = below
        before.update(after)
        for bucket in buckets:
            self._forget_bucket(bucket)

    def _forget_bucket(self, bucket: int) -> None:
        for identifier in self._in_bucket.pop(bucket, ()):
            self._agents.pop(identifier, None)
            self._absent.pop(identifier, None)

    def _forget(self) -> None:
        self._fresh_until = float("-inf")
        self._agents.clear()
        self._absent.clear()
        self._in_bucket.clear()
        self._tree = VerifiedTree(root=b"")
