"""The hash tree over the audit log's lines (RFC 9162 section 2.1), grown line by line. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

EMPTY: Final = sha256(b"").digest()


class Tree:
    """The right edge of a tree: one digest for each bit that is set in its size."""

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        """Start empty, or from an edge of this size.

        Raises:
            ValueError: the edge is of another size.
        """
        if len(edge) != size.bit_count():
            raise ValueError(f"audit tree: expected {size.bit_count()} digests, got {len(edge)}")
        self.size = size
        self._edge = list(edge)

    @property
    def edge(self) -> tuple[bytes, ...]:
        """The digests, the largest subtree's first."""
        return tuple(self._edge)

    def add(self, line: bytes) -> None:
        """Add a leaf."""
        digest = sha256(b"\0" + line).digest()
        size = self.size
        while size & 1:
            digest = sha256(b"\1" + self._edge.pop() + digest).digest()
            size >>= 1
        self._edge.append(digest)
        self.size += 1

    def root(self) -> bytes:
        """Return the digest over everything."""
        if not self._edge:
            return EMPTY
        root = self._edge[-1]
        for digest in reversed(self._edge[:-1]):
            root = sha256(b"\1" + digest + root).digest()
        return root

    def copy(self) -> Tree:
        """Return the same again."""
        return Tree(self.size, self._edge)
