"""How far the past is settled: up to where a store may forget.

- A wall clock that jumps ahead and comes back shall cost nothing: a moment is past only when the
  wall clock has been beyond it for a while of monotonic time.
- This spares needless refusals only. That nothing is reopened rests on the mark that each store
  keeps of how far it pruned.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLING: float = 10.0
"""Seconds that the wall clock must have stayed beyond a moment."""


class SettledPast:
    """Turns the moments that callers see into one before which everything is past."""

    def __init__(
        self, *, settling: float = SETTLING, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the monotonic clock; nothing is past yet."""
        self._settling = settling
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lowest: float | None = None
        self._since = 0.0
        self._settled = 0.0

    def see(self, now: float) -> float:
        """Note the wall clock; return the moment up to which entries may be forgotten."""
        with self._lock:
            moment = self._monotonic()
            if self._lowest is None:
                self._lowest, self._since = now, moment
            elif moment - self._since >= self._settling:
                # every look since then saw at least `lowest`
                self._settled, self._lowest, self._since = self._lowest, now, moment
            self._lowest = min(self._lowest, now)
            self._settled = min(self._settled, now)
            return self._settled
