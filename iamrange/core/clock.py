"""The one clock that ages tokens, sessions and keys.

- Every process of a world reads time through this port; only the runner moves it.
- Request signatures and TLS are judged in real time, because unmodified clients sign with it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """A source of the present moment."""

    def now(self) -> float:
        """Return seconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()


@dataclass(slots=True)
class OffsetClock:
    """The machine's time moved by `offset` seconds, which the runner may change."""

    offset: float = 0.0

    def now(self) -> float:
        """Return seconds since the Unix epoch, moved by the offset."""
        return time.time() + self.offset


@dataclass(slots=True)
class FixedClock:
    """A moment that stands still; for tests and for published vectors."""

    moment: float

    def now(self) -> float:
        """Return the fixed moment."""
        return self.moment
