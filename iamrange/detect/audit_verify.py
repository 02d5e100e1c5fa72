"""Is the log what was written? The first record that is not, and how that shows. Pure but for I/O.

- By the seals each record is known to be the next one that the writer sealed: a record changed,
  moved, dropped or put in is named by its number.
- By the heads, whose key only the writer has: what was sealed with a stolen key after the last
  head that is kept elsewhere is named as far as the heads go.
- A log that does not begin at its first record is what was written only with a signed statement
  that those before were retired.
- Nothing is believed of the log's own folder but what the anchor vouches for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
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
    relied = [read_head(text, anchor) for text in kept]
    for head in relied:
        if not isinstance(head, Head):
            return Broken(record=0, flaw=Flaw.BAD_HEAD, detail=head.code)
    beside = (read_head(text, anchor) for text in heads if text.strip())
    known = sorted(
        (head for head in (*beside, *relied) if isinstance(head, Head)), key=lambda one: one.size
    )
    begins = None
    if retired is not None:
        said = read_boundary(retired, anchor.log, anchor.public_jwk, RETIRED)
        if isinstance(said, Refusal):
            return Broken(record=0, flaw=Flaw.BAD_RETIREMENT, detail=said.code)
        begins = said
    return _verified(_lines(log), anchor, known, begins)


def _verified(
    lines: Iterable[bytes], anchor: Anchor, heads: list[Head], begins: Boundary | None
) -> Verified | Broken:
    chain = Chain(anchor.first_key) if begins is None else begins.chain(anchor.first_key)
    tree, held = chain.tree, chain.tree.size
    first = held
    heads = [head for head in heads if head.size >= first]
    waiting = deque(head for head in heads if head.size)
    while waiting and waiting[0].size == first:
        if waiting.popleft().root != tree.root():
            return Broken(record=0, last=first, flaw=Flaw.REWRITTEN)
    for line in lines:
        size = tree.size
        read = _read(line, size)
        if isinstance(read, Broken):
            return read
        if not chain.takes(line, read):
            return Broken(record=size, flaw=Flaw.CHANGED)
        while waiting and waiting[0].size == tree.size:
            if waiting.popleft().root != tree.root():
                return Broken(record=held, last=size, flaw=Flaw.REWRITTEN)
            held = tree.size
    if waiting:
        detail = f"a head says {waiting[-1].size} records"
        return Broken(record=tree.size, flaw=Flaw.TRUNCATED, detail=detail)
    return Verified(
        size=tree.size,
        root=tree.root(),
        heads=len(heads),
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
