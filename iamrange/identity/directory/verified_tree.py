"""The part of the hash tree that was read and checked under one signed root.

- A node is kept only after its digest matched its parent's, up to the root.
- Not safe for threads: its owner holds a lock, or it is used once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from iamrange.identity.directory import tree
from iamrange.identity.directory.errors import TamperedError
from iamrange.identity.directory.schema import leaves as leaves_table
from iamrange.identity.directory.schema import nodes as nodes_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

Value = TypeVar("Value")
CHUNK = 500
"""Values in one IN list; SQLite's old limit of parameters is 999."""

Leaves = dict[bytes, tuple[bytes, int]]
"""slot -> (entry digest, number)"""

_NODES = sa.select(nodes_table.c.node, nodes_table.c.digests).where(
    nodes_table.c.node.in_(sa.bindparam("wanted", expanding=True))
)
_LEAVES = sa.select(
    leaves_table.c.bucket, leaves_table.c.slot, leaves_table.c.digest, leaves_table.c.number
).where(leaves_table.c.bucket.in_(sa.bindparam("wanted", expanding=True)))


def chunks(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Cut values into lists that fit into one statement."""
    rest = iter(values)
    while part := list(itertools.islice(rest, CHUNK)):
        yield part


@dataclass(slots=True)
class VerifiedTree:
    """Nodes that are proven under `root`."""

    root: bytes = tree.EMPTY_ROOT
    nodes: dict[int, bytes] = field(default_factory=dict)

    def at(self, root: bytes) -> None:
        """Start anew under another root; under the same, keep what was checked."""
        if root != self.root:
            self.root = root
            self.nodes = {}

    def load(self, connection: sa.Connection, numbers: Iterable[int]) -> None:
        """Read nodes that are not here yet, and check them.

        Raises:
            TamperedError: one is not what its parent says.
        """
        missing = sorted({number for number in numbers if number not in self.nodes})
        found = dict(read_nodes(connection, missing))
        # a parent's number is lower than its children's: it is checked before them
        for number in missing:
            children = found.get(number) or tree.empty_node(number)
            if tree.node_digest(children) != self._expected(number):
                raise TamperedError(f"node {number}", "is not what the signed head covers")
            self.nodes[number] = children

    def leaves(self, connection: sa.Connection, buckets: Collection[int]) -> dict[int, Leaves]:
        """Read whole buckets, and check them.

        Raises:
            TamperedError: one is not what the tree says.
        """
        self.load(connection, {number for bucket in buckets for number in tree.path_of(bucket)})
        found: dict[int, Leaves] = {bucket: {} for bucket in buckets}
        for wanted in chunks(found):
            for bucket, slot, digest, number in connection.execute(_LEAVES, {"wanted": wanted}):
                found[bucket][slot] = (digest, number)
        for bucket, pairs in found.items():
            digest = tree.bucket_digest((slot, entry) for slot, (entry, _) in pairs.items())
            if digest != tree.expected_bucket(bucket, self.nodes):
                raise TamperedError(f"bucket {bucket}", "is not what the signed head covers")
        return found

    def _expected(self, number: int) -> bytes:
        if number == 0:
            return self.root
        parent, place = tree.parent_of(number)
        return tree.child(self.nodes[parent], place)


def read_nodes(connection: sa.Connection, numbers: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """Read nodes as they are, unchecked."""
    for wanted in chunks(numbers):
        yield from (
            (row.node, row.digests) for row in connection.execute(_NODES, {"wanted": wanted})
        )
