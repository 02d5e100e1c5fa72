"""What stands in the place of a secret: its kind, and a keyed hash by which lines are joined. Pure.

- One secret has one hash, however it was written down; nobody without the key can try guesses.
- A mark holds no secret, whoever wrote it: one that a stranger made up is left as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.credentials.scan.finding import Hasher

HASH_CHARACTERS: Final = 16
UNREAD: Final = "unread"
"""The kind of a text that could not be looked at as a whole: all of it goes."""

MARK: Final = re.compile(r"\[redacted:[a-z0-9-]{1,40}:[0-9a-f]{16}\]")


def mark(kind: str, secret: str, hasher: Hasher) -> str:
    """Return the mark of a secret."""
    return f"[redacted:{kind}:{hasher.of(secret)[:HASH_CHARACTERS]}]"


def outside_marks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a span that no mark covers."""
    # a mark may begin before the span and reach into it
    least = max(0, start - _LONGEST)
    for found in MARK.finditer(text, least):
        if found.start() >= end:
            break
        if found.end() <= start:
            continue
        if start < found.start():
            yield start, found.start()
        start = max(start, found.end())
    if start < end:
        yield start, end


_LONGEST: Final = len("[redacted::]") + 40 + HASH_CHARACTERS
