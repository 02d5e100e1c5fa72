"""Is the log what was written? The first record that is not, and how that shows. Pure but for I/O.

- By the seals each record is known to be the next one that the writer sealed: a record changed,
  moved, dropped or put in is named by its number.
- By the heads, whose key only the writer has: what was sealed with a stolen key after the last
  head that is kept elsewhere is named as far as the heads go. Who stole that key may have signed
  those beside the log anew: they tell nothing against one that was kept elsewhere.
- A log that does not begin at its first record is what was written only with a signed statement
  that those before were retired.
- Nothing is believed of the log's own folder but what the anchor vouches for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from iamrange.detect.audit_boundary import RETIRED, Boundary, read_boundary
from iamrange.detect.audit_chain import Chain
from iamrange.detect.audit_head import Head, read_head
from iamrange.detect.audit_seal import MAX_LINE, read_line
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from iamrange.detect.audit_head import Anchor
    from iamrange.detect.audit_seal import Line
    from iamrange.detect.audit_tree import Tree


class Flaw(StrEnum):
    """How a log is seen not to be what was written."""

    MALFORMED = "malformed"
    """The line is no record."""
    OUT_OF_ORDER = "out-of-order"
    """The record has another number: one was dropped, moved or put in here."""
    CHANGED = "changed"
    """The seal does not hold: the record, or its place, is another."""
    TRUNCATED = "truncated"
    """A head says that there were more records."""
    REWRITTEN = "rewritten"
    """A head says that what stands here up to it was something else."""
    HALF_WRITTEN = "half-written"
    """The last line has no end: its writer crashed, and acknowledged nothing of it."""
    BAD_RETIREMENT = "bad-retirement"
    """What says that older records were deleted on purpose is not signed for this log."""
    BAD_HEAD = "bad-head"
    """A head that somebody relies on is not one of this log's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A log that is what was written: so many records, and what all of them come to.

    `heads` are those that hold; what is older than the first record cannot be compared.
    """

    size: int
    root: bytes
    heads: int
    begins: int = 0
    """The first record that is there: those before it were retired on purpose."""
    retired_at: int | None = None
    """When, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first record that is not what was written.

    Where heads alone tell, it is one of `record` to `last`.
    """

    record: int
    flaw: Flaw
    detail: str = ""
    last: int | None = None

    def __str__(self) -> str:
        """Say it."""
        which = f"record {self.record}"
        if self.last is not None and self.last != self.record:
            which = f"records {self.record} to {self.last}"
        return f"{which}: {self.flaw}{f' ({self.detail})' if self.detail else ''}"


def verify(
    log: BinaryIO,
    anchor: Anchor,
    heads: Iterable[str] = (),
    *,
    kept: Iterable[str] = (),
    retired: str | None = None,
) -> Verified | Broken:
    """Verify a log from its first line to its last.

    `retired` is the statement that older records were deleted on purpose: the log begins there.

    `heads` are those that lie beside the log: what cannot be read there is left out, since whoever
    changes the log can drop them. `kept` are heads that were kept elsewhere: each must hold.
    """
    known: list[_Known] = []
    for text in kept:
        relied = read_head(text, anchor)
        if isinstance(relied, Refusal):
            return Broken(record=0, flaw=Flaw.BAD_HEAD, detail=relied.code)
        known.append(_Known(relied.size, relied.root, relied=True))
    for text in heads:
        beside = read_head(text, anchor) if text.strip() else None
        if isinstance(beside, Head):
            known.append(_Known(beside.size, beside.root, relied=False))
    known.sort(key=lambda one: one.size)
    begins = None
    if retired is not None:
        said = read_boundary(retired, anchor.log, anchor.public_jwk, RETIRED)
        if isinstance(said, Refusal):
            return Broken(record=0, flaw=Flaw.BAD_RETIREMENT, detail=said.code)
        begins = said
    return _verified(_lines(log), anchor, known, begins)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a head says; `relied` tells that it was kept elsewhere."""

    size: int
    root: bytes
    relied: bool


class _Heads:
    """Heads by their size, and up to which record they hold."""

    def __init__(self, known: Iterable[_Known], first: int) -> None:
        """Take those that say something of a log that begins at this record."""
        self._waiting = deque(head for head in known if head.size and head.size >= first)
        self.count = len(self._waiting)
        self._relied = self._any = first

    @property
    def next(self) -> int:
        """The size that the next one is of; -1: there is none."""
        return self._waiting[0].size if self._waiting else -1

    @property
    def last(self) -> int:
        """The size that the last one is of."""
        return self._waiting[-1].size

    def compare(self, tree: Tree) -> Broken | None:
        """Compare those that are of this size; return which records are others, if they say so."""
        root = tree.root()
        beside, relied = set[bool](), set[bool]()
        while self.next == tree.size:
            head = self._waiting.popleft()
            (relied if head.relied else beside).add(head.root == root)
        if relied == {True} or (not relied and beside == {True}):
            self._any = tree.size
            self._relied = tree.size if relied else self._relied
            return None
        # those beside that agree, or contradict each other, were signed anew
        record = self._any if beside == {False} else self._relied
        return Broken(record=record, last=tree.size - 1, flaw=Flaw.REWRITTEN)


def _verified(
    lines: Iterable[bytes], anchor: Anchor, known: list[_Known], begins: Boundary | None
) -> Verified | Broken:
    chain = Chain(anchor.first_key) if begins is None else begins.chain(anchor.first_key)
    tree = chain.tree
    first = tree.size
    heads = _Heads(known, first)
    if heads.next == first and (before := heads.compare(tree)) is not None:
        return replace(before, record=0)
    due = heads.next
    for line in lines:
        size = tree.size
        read = _read(line, size)
        if isinstance(read, Broken):
            return read
        if not chain.takes(line, read):
            return Broken(record=size, flaw=Flaw.CHANGED)
        if tree.size == due:
            if (broken := heads.compare(tree)) is not None:
                return broken
            due = heads.next
    if due >= 0:
        detail = f"a head says {heads.last} records"
        return Broken(record=tree.size, flaw=Flaw.TRUNCATED, detail=detail)
    return Verified(
        size=tree.size,
        root=tree.root(),
        heads=heads.count,
        begins=first,
        retired_at=None if begins is None else begins.time,
    )


def _read(line: bytes, size: int) -> Line | Broken:
    """Read a line as the record of that number."""
    if not line.endswith(b"\n"):
        flaw = Flaw.HALF_WRITTEN if len(line) <= MAX_LINE else Flaw.MALFORMED
        return Broken(record=size, flaw=flaw)
    read = read_line(line)
    if read is None:
        return Broken(record=size, flaw=Flaw.MALFORMED)
    if read.sequence != size:
        detail = f"it says that it is {read.sequence}"
        return Broken(record=size, flaw=Flaw.OUT_OF_ORDER, detail=detail)
    return read


def _lines(log: BinaryIO) -> Iterator[bytes]:
    """Yield lines, none of which is read further than a record may be long."""
    while line := log.readline(MAX_LINE + 1):
        yield line
