"""Where an audit log is: what its next record is sealed with, and the tree over all before. Pure.

Who writes, who recovers and who verifies goes along a log with this, record by record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.detect.audit_seal import EPOCH, FIRST, key_after, line_of, seal_of
from iamrange.detect.audit_tree import Tree

if TYPE_CHECKING:
    from iamrange.detect.audit_seal import Line


class Chain:
    """A log up to one of its records; its `size` is that of its tree."""

    __slots__ = ("before", "key", "tree")

    def __init__(self, key: bytes, before: bytes = FIRST, tree: Tree | None = None) -> None:
        """Start at the first record, or where a log was: its key, last seal and tree."""
        self.key = key
        self.before = before
        self.tree = Tree() if tree is None else tree

    def copy(self) -> Chain:
        """Return the same again."""
        return Chain(self.key, self.before, self.tree.copy())

    def sealed(self, body: bytes) -> bytes:
        """Go on by a new record; return its line."""
        seal = seal_of(self.key, self.before, self.tree.size, body)
        line = line_of(body, self.tree.size, seal)
        self._go_on(line, seal)
        return line

    def takes(self, line: bytes, read: Line) -> bool:
        """Go on by a record that is there, and tell whether it was sealed to be the next.

        `read` is the line taken apart; its number is the caller's to compare.
        """
        if seal_of(self.key, self.before, self.tree.size, read.body) != read.seal:
            return False
        self._go_on(line, read.seal)
        return True

    def _go_on(self, line: bytes, seal: bytes) -> None:
        self.tree.add(line)
        self.before = seal
        if self.tree.size % EPOCH == 0:
            self.key = key_after(self.key)
