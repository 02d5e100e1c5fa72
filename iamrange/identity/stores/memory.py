"""The stores of one process, in memory."""

from __future__ import annotations

import heapq
import threading
import time
from typing import TYPE_CHECKING

from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.horizon import SETTLING, SettledPast
from iamrange.identity.stores.keys import replay_key
from iamrange.identity.stores.ports import RevocationState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BATCH = 64


class MemoryReplay:
    """Used proofs in memory; beyond its capacity it refuses rather than forgets."""

    def __init__(
        self,
        *,
        capacity: int = 1_000_000,
        settling: float = SETTLING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bound the memory."""
        self._capacity = capacity
        self._past = SettledPast(settling=settling, monotonic=monotonic)
        self._lock = threading.Lock()
        self._used: set[bytes] = set()
        self._queue: list[tuple[float, bytes]] = []
        self._forgotten_until = 0.0

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        """Spend the jti within its scope; True means first use.

        Raises:
            StoreDownError: the store is full.
        """
        key = replay_key(scope, jti)
        past = self._past.see(now)
        with self._lock:
            self._prune(past, _BATCH)
            if key in self._used or expires <= self._forgotten_until:
                return False
            if len(self._used) >= self._capacity:
                self._prune(past, len(self._used))
                if len(self._used) >= self._capacity:
                    raise StoreDownError("replay", "full")
            self._used.add(key)
            heapq.heappush(self._queue, (expires, key))
            return True

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        """Tell whether `insert` would answer False; spend nothing."""
        with self._lock:
            return replay_key(scope, jti) in self._used or expires <= self._forgotten_until

    def __len__(self) -> int:
        """Count what is remembered."""
        return len(self._used)

    def _prune(self, past: float, most: int) -> None:
        """Forget some of what is past: a little at each call, so that no call takes long."""
        while most > 0 and self._queue and self._queue[0][0] < past:
            expires, key = heapq.heappop(self._queue)
            self._used.discard(key)
            self._forgotten_until = max(self._forgotten_until, expires)
            most -= 1


class MemoryRevocation:
    """Revoked tokens and raised epochs in memory."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        capacity: int = 1_000_000,
        settling: float = SETTLING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the wall clock, by which revocations of dead tokens are forgotten."""
        self._now = now
        self._capacity = capacity
        self._past = SettledPast(settling=settling, monotonic=monotonic)
        self._lock = threading.Lock()
        self._revoked: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        self._epochs: dict[str, int] = {}
        self._forgotten_until = 0.0

    def revoke(self, jti: str, *, expires: float) -> None:
        """Revoke one token, which expires then by itself.

        Raises:
            StoreDownError: the store is full.
        """
        past = self._past.see(self._now())
        with self._lock:
            self._prune(past)
            if jti not in self._revoked and len(self._revoked) >= self._capacity:
                raise StoreDownError("revocation", "full")
            if expires > self._revoked.get(jti, 0.0):
                self._revoked[jti] = expires
                heapq.heappush(self._queue, (expires, jti))

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        """Kill the agent's tokens of lower epochs."""
        with self._lock:
            self._epochs[agent_id] = max(epoch, self._epochs.get(agent_id, epoch))

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        """Return what is known against these agents and token ids."""
        with self._lock:
            return RevocationState(
                epochs={one: self._epochs[one] for one in agents if one in self._epochs},
                revoked=frozenset(jti for jti in jtis if jti in self._revoked),
                forgotten_until=self._forgotten_until,
            )

    def _prune(self, past: float) -> None:
        while self._queue and self._queue[0][0] < past:
            expires, jti = heapq.heappop(self._queue)
            if self._revoked.get(jti) == expires:
                del self._revoked[jti]
            self._forgotten_until = max(self._forgotten_until, expires)
