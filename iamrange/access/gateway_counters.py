"""Counters of calls in this process: sliding windows, counted quickly.

- The windows are those of `identity.stores.limits`: the count before weighs less the more of the
  present window is over. A gateway asks four times a call, so there is nothing else in here.
- No wall clock counts. Keys are bounded; those beyond the bound share one window a rate, which
  refuses earlier, never later.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final

from iamrange.identity.stores.ports import Rate, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

_CAPACITY: Final = 100_000
_PAUSE: Final = 1.0
_OVERFLOW: Final = "*"
_ROUNDING: Final = 1e-6
"""Seconds: where there is room at a whole second exactly, floats may say so a moment later."""

_Window = tuple[int, int, int]
"""The number of the present window, the hits in the one before, and in the present one."""


class GatewayCounters:
    """A limiter of this process alone."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, capacity: int = _CAPACITY
    ) -> None:
        """Start with no hits."""
        self._monotonic = monotonic
        self._capacity = capacity
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, int], _Window] = {}
        self._looked_through = -math.inf

    def hit(self, key: str, rate: Rate) -> Wait | None:
        """Count a hit on the key; say how long to wait if it was one too many."""
        seconds, amount = rate.seconds, rate.amount
        moment = self._monotonic()
        number = int(moment // seconds)
        over = moment / seconds - number
        with self._lock:
            place = self._bounded((key, seconds), moment)
            seen, previous, current = self._windows.get(place, (number, 0, 0))
            if seen != number:
                previous, current = (current if seen == number - 1 else 0), 0
            if previous * (1 - over) + current + 1 <= amount:
                self._windows[place] = (number, previous, current + 1)
                return None
        return Wait(_wait(previous, current, amount, over, seconds))

    def _bounded(self, place: tuple[str, int], moment: float) -> tuple[str, int]:
        if place in self._windows or len(self._windows) < self._capacity:
            return place
        if moment - self._looked_through >= _PAUSE:
            # not for each stranger: looking through all of them takes long
            self._looked_through = moment
            self._windows = {
                one: held for one, held in self._windows.items() if moment < (held[0] + 2) * one[1]
            }
        return place if len(self._windows) < self._capacity else (_OVERFLOW, place[1])


def _wait(previous: int, current: int, amount: int, over: float, seconds: int) -> int:
    """Return after how many seconds there is room for a hit, if nobody else comes."""
    if current < amount and previous:
        needed = 1 - (amount - current - 1) / previous - over
    else:
        # the present window is full: once it is the one before, it must weigh less
        needed = 1 - over + max(0.0, 1 - (amount - 1) / current if current else 0.0)
    return max(1, min(2 * seconds, math.ceil(needed * seconds + _ROUNDING)))
