"""How often an agent calls: windows of one length, learned by the hour of the day.

- Two slots an hour, for working days and weekends; where a slot has seen little, all hours decide.
- Robust: a window counts at most for `CLIP` times what was usual, so that no burst teaches much.
- A window in which something was accused teaches nothing at all.
"""

from __future__ import annotations

import math
from typing import Any, Final

HOUR: Final = 3600.0
DAY: Final = 86_400.0
_WEEKEND: Final = 5
_FIRST_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday; Monday is 0
FACTOR: Final = 6.0
"""A rate that is up by 500 % is six times the usual."""

SPREAD: Final = 8.0
"""Bursts are usual for some: so many mean deviations above the mean are too."""

CLIP: Final = 3.0
_SLOTS: Final = 48
_SLOWEST: Final = 0.05
_ENOUGH: Final = 8
"""Windows after which a mean is worth something."""


class Mean:
    """An online mean with its mean deviation: the latest twenty values count for most of it."""

    __slots__ = ("count", "deviation", "mean")

    def __init__(self, mean: float = 0.0, deviation: float = 0.0, count: int = 0) -> None:
        """Take what was learned before."""
        self.mean, self.deviation, self.count = mean, deviation, count

    def learn(self, value: float) -> None:
        """Take one value, clipped to what can be believed."""
        if self.count:
            value = min(value, CLIP * self.mean + CLIP)
        self.count += 1
        weight = max(1 / self.count, _SLOWEST)
        self.deviation += weight * (abs(value - self.mean) * (self.count > 1) - self.deviation)
        self.mean += weight * (value - self.mean)

    @property
    def enough(self) -> bool:
        """Tell whether it rests on enough values."""
        return self.count >= _ENOUGH


def slot_of(moment: float) -> int:
    """Return the slot of a moment: its hour (UTC), plus 24 on a weekend."""
    day = math.floor(moment / DAY)
    hour = int((moment - day * DAY) // HOUR)
    return hour + 24 * ((day + _FIRST_WEEKDAY) % 7 >= _WEEKEND)


class Rate:
    """One agent's calls in windows of `length` seconds. `floor` is never too many."""

    __slots__ = (
        "_accepted",
        "_before",
        "_count",
        "_index",
        "_spoiled",
        "floor",
        "length",
        "overall",
        "slots",
    )

    def __init__(self, length: float, floor: int) -> None:
        """Start with nothing learned."""
        self.length, self.floor = length, floor
        self.overall = Mean()
        self.slots: dict[int, Mean] = {}
        self.forget_open()

    def forget_open(self) -> None:
        """Forget the window that is open, and the one before."""
        self._index = -1
        self._count = self._before = self._accepted = 0
        self._spoiled = False

    def count(self, moment: float) -> float:
        """Count one call; return how many there were in the `length` seconds up to it.

        The window before counts by the part of it that lies in them: no edge of a window hides
        half a burst. A moment before the open window is taken for one in it.
        """
        index = max(int(moment // self.length), self._index)
        if index != self._index:
            self._close(index)
        self._count += 1
        into = min(max(moment / self.length - index, 0.0), 1.0)
        return self._count + self._before * (1 - into)

    def _close(self, index: int) -> None:
        if self._accepted and not self._spoiled:
            self.overall.learn(self._accepted)
            slot = slot_of(self._index * self.length)
            self.slots.setdefault(slot, Mean()).learn(self._accepted)
        self._before = self._count if index == self._index + 1 else 0
        self._index, self._count, self._accepted, self._spoiled = index, 0, 0, False

    def accept(self) -> None:
        """Let the call just counted be learned once its window is over."""
        self._accepted += 1

    def spoil(self) -> None:
        """Have the open window teach nothing."""
        self._spoiled = True

    def usual(self, moment: float) -> Mean:
        """Return what is usual at this hour."""
        slot = self.slots.get(slot_of(moment))
        return slot if slot is not None and slot.enough else self.overall

    def limit(self, moment: float) -> float:
        """Return how many calls in a window are still ordinary, by what was learned."""
        usual = self.usual(moment)
        return max(self.floor, FACTOR * usual.mean, usual.mean + SPREAD * usual.deviation)

    def worked(self, moment: float) -> bool:
        """Tell whether the agent was ever at work in this hour, or the one before or after."""
        base = slot_of(moment)
        day = base - base % 24
        return any(day + (base + step) % 24 in self.slots for step in (-1, 0, 1))

    def to_json(self) -> dict[str, Any]:
        """Return what was learned and the open window as JSON-ready values."""
        return {
            "overall": _values(self.overall),
            "slots": {str(slot): _values(mean) for slot, mean in self.slots.items()},
            "open": [self._index, self._count, self._before, self._accepted, self._spoiled],
        }

    def take(self, value: dict[str, Any]) -> None:
        """Go on with what `to_json` made.

        Raises:
            KeyError, TypeError, ValueError: it is nothing of the kind.
        """
        self.overall = _mean(value["overall"])
        self.slots = {_slot(slot): _mean(mean) for slot, mean in value["slots"].items()}
        *counts, spoiled = value["open"]
        self._index, self._count, self._before, self._accepted = map(int, counts)
        self._spoiled = bool(spoiled)


def number(value: object) -> float:
    """Return a number as it was kept.

    Raises:
        ValueError: it is none, or nothing that was ever counted or measured.
    """
    found = float(value) if isinstance(value, (int, float)) else math.nan
    if not (math.isfinite(found) and found >= 0):
        raise ValueError("expected a number from 0")
    return found


def _mean(value: Any) -> Mean:  # noqa: ANN401 - any JSON value
    mean, deviation, count = map(number, value)
    return Mean(mean, deviation, int(count))


def _slot(text: str) -> int:
    slot = int(text)
    if slot not in range(_SLOTS):
        raise ValueError("expected an hour of a working day or a weekend")
    return slot


def _values(mean: Mean) -> list[float]:
    return [mean.mean, mean.deviation, mean.count]
