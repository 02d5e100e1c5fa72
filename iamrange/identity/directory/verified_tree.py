"""The part of the hash tree that was read and checked under one signed root.

- A node is kept only after its digest matched its parent's, up to the root.
- Not safe for threads: its owner holds a lock, or it is used once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iamrange.identity.directory import schema, tree
from iamrange.identity.directory.errors import TamperedError
from iamrange.identity.directory.lookups import select_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import sqlalchemy as sa

Leaves = dict[bytes, tuple[bytes, int]]
"""slot -> (entry digest, number)"""

_LEAVES = (schema.leaves.c.bucket, *(schema.leaves.c[n] for n in ("slot", "digest", "number")))
_NODES = (schema.nodes.c.node, schema.nodes.c.digests)


@dataclass(slots=True)
class VerifiedTree:
    """Nodes that are proven under `root`."""

    root: bytes = tree.EMPTY_ROOT
    nodes: dict[int, bytes] = field(default_factory=dict)
    kept: dict[int, Leaves] | None = None
    """Buckets that stay as they are while one transaction lasts: a writer's."""

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
        found = read_nodes(connection, missing)
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
        kept = {} if self.kept is None else self.kept
        missing = [bucket for bucket in buckets if bucket not in kept]
        self.load(connection, {number for bucket in missing for number in tree.path_of(bucket)})
        found: dict[int, Leaves] = {bucket: {} for bucket in missing}
        for bucket, slot, digest, number in select_in(connection, _LEAVES, _LEAVES[0], missing):
            found[bucket][slot] = (digest, number)
        for bucket, leaves in found.items():
            if bucket_digest(leaves) != tree.expected_bucket(bucket, self.nodes):
                raise TamperedError(f"bucket {bucket}", "is not what the signed head covers")
        kept.update(found)
        return {bucket: kept[bucket] for bucket in buckets}

    def _expected(self, number: int) -> bytes:
        if number == 0:
            return self.root
        parent, place = tree.parent_of(number)
        return tree.child(self.nodes[parent], place)


def bucket_digest(leaves: Leaves) -> bytes:
    """Return a bucket's digest."""
    if not leaves:
        return tree.EMPTY_BUCKET
    return tree.bucket_digest([(slot, digest) for slot, (digest, _) in leaves.items()])


def read_nodes(connection: sa.Connection, numbers: Collection[int]) -> dict[int, bytes]:
    """Read nodes as they are, unchecked."""
    return dict(select_in(connection, _NODES, _NODES[0], numbers))
