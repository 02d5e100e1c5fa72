"""Rates, counted by the `limits` library: in Redis or Valkey, or in this process.

- Limits alone may degrade: while the server is away each process counts for itself, and tries the
  server again every second.
- No wall clock counts: the server's own time to live, or this process's monotonic clock.
- Local counters are bounded; keys beyond the bound share one, which refuses earlier, never later.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import RedisStorage, SlidingWindowCounterSupport, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

from iamrange.identity.stores.ports import Rate, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE: Final = 0.25
_RETRY_AFTER: Final = 1.0
_CAPACITY: Final = 100_000
_OVERFLOW: Final = "*"


class MonotonicCounters(Storage, SlidingWindowCounterSupport):
    """Sliding windows of this process. The library's own go by the wall clock and know no bound."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, capacity: int = _CAPACITY
    ) -> None:
        """Start empty."""
        super().__init__(None)
        self._monotonic = monotonic
        self._capacity = capacity
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int, int, int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return what this storage may raise: nothing of its own."""
        return StorageError

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count the hits if the weighted windows have room for them."""
        with self._lock:
            key = self._bounded(key)
            number, previous, current, part = self._window(key, expiry)
            if previous * (1 - part) + current + amount > limit:
                return False
            self._windows[key] = (expiry, number, previous, current + amount)
            return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the counts of the previous and current window, and how long they matter."""
        with self._lock:
            _, previous, current, part = self._window(self._bounded(key), expiry)
        left = (1 - part) * expiry
        return previous, left if previous else 0.0, current, left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key."""
        del expiry
        self.clear(key)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count hits in the current window."""
        with self._lock:
            key = self._bounded(key)
            number, previous, current, _ = self._window(key, expiry)
            self._windows[key] = (expiry, number, previous, current + amount)
            return current + amount

    def get(self, key: str) -> int:
        """Return the count of the current window."""
        return self._windows.get(key, (0, 0, 0, 0))[3]

    def get_expiry(self, key: str) -> float:
        """Return when the current window ends, by the wall clock."""
        expiry, number, _, _ = self._windows.get(key, (0, 0, 0, 0))
        return time.time() + max(0.0, (number + 1) * expiry - self._monotonic())

    def check(self) -> bool:
        """Tell that the storage works."""
        return True

    def reset(self) -> int:
        """Forget everything."""
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._windows.pop(key, None)

    def _window(self, key: str, expiry: int) -> tuple[int, int, int, float]:
        """Return the window's number, the counts before and in it, and how much of it is over."""
        moment = self._monotonic()
        number = int(moment // expiry)
        _, seen, previous, current = self._windows.get(key, (expiry, number, 0, 0))
        if seen != number:
            previous, current = (current if seen == number - 1 else 0), 0
        return number, previous, current, (moment % expiry) / expiry

    def _bounded(self, key: str) -> str:
        if key in self._windows or len(self._windows) < self._capacity:
            return key
        moment = self._monotonic()
        self._windows = {
            one: held for one, held in self._windows.items() if moment < (held[1] + 2) * held[0]
        }
        return key if len(self._windows) < self._capacity else _OVERFLOW


class LocalLimiter:
    """Rates of this process alone."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, capacity: int = _CAPACITY
    ) -> None:
        """Start with no hits."""
        counters = MonotonicCounters(monotonic=monotonic, capacity=capacity)
        self._strategy = SlidingWindowCounterRateLimiter(counters)

    def hit(self, key: str, rate: Rate) -> Wait | None:
        """Count a hit on the key; say how long to wait if it was one too many."""
        return _hit(self._strategy, key, rate)


class SharedLimiter:
    """Rates of all processes that share a server; each process's own while it is away."""

    def __init__(
        self,
        url: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        namespace: str = "limits",
    ) -> None:
        """Take the server's URL (`redis://`, `redis+unix://`); connect on first use."""
        # a process that counts for itself alone needs no client: it is 8 MiB
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        options: dict[str, Any] = {
            "socket_timeout": _PATIENCE,
            "socket_connect_timeout": _PATIENCE,
            # the client's own retries would hold a request for seconds
            "retry": Retry(NoBackoff(), 0),
        }
        # the library knows sockets under a name of its own
        url = f"redis+{url}" if url.startswith("unix://") else url
        storage = RedisStorage(
            url, wrap_exceptions=True, key_prefix=f"iamrange:{namespace}", **options
        )
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._local = LocalLimiter(monotonic=monotonic)
        self._monotonic = monotonic
        self._away_until = -math.inf

    @property
    def degraded(self) -> bool:
        """Tell whether this process counts for itself at the moment."""
        return self._monotonic() < self._away_until

    def hit(self, key: str, rate: Rate) -> Wait | None:
        """Count a hit on the key; say how long to wait if it was one too many."""
        if not self.degraded:
            try:
                return _hit(self._shared, key, rate)
            except (StorageError, OSError):
                self._away_until = self._monotonic() + _RETRY_AFTER
        return self._local.hit(key, rate)


def _hit(strategy: SlidingWindowCounterRateLimiter, key: str, rate: Rate) -> Wait | None:
    # whoever chooses a key shall not choose its length, nor what separates its parts
    name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    item = RateLimitItemPerSecond(rate.amount, rate.seconds)
    if strategy.hit(item, name):
        return None
    left = strategy.get_window_stats(item, name).reset_time - time.time()
    return Wait(max(1, min(rate.seconds, math.ceil(left))))
