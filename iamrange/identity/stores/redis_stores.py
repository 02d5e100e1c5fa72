"""Used proofs and revocations in Redis or Valkey: for many processes and machines.

- Revocations that must survive the server want its append-only file; without it, a server that
  restarts costs one refusal of everything that was issued before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from iamrange.identity.names import ACCESS_TOKEN_LIFE
from iamrange.identity.stores import redis_scripts
from iamrange.identity.stores.horizon import SETTLING, SettledPast
from iamrange.identity.stores.keys import replay_key, storable
from iamrange.identity.stores.ports import RevocationState
from iamrange.identity.stores.redis_client import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis

_BUCKET: Final = 60
_BATCH: Final = 1000


class RedisReplay:
    """Used proofs in Redis or Valkey.

    Uses of different lifetimes want a namespace each: when the server lost its memory, everything
    is refused that could have been used before, and the longest lifetime says how long that is.
    """

    def __init__(
        self,
        server: redis.Redis | str,
        *,
        namespace: str = "replay",
        settling: float = SETTLING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a client or a URL; connect on first use."""
        self._redis = RedisStore(server, store="replay", namespace=namespace)
        self._past = SettledPast(settling=settling, monotonic=monotonic)
        self._longest = 0.0

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        """Spend the jti within its scope; True means first use.

        Raises:
            StoreDownError: the server cannot answer.
        """
        self._longest = max(self._longest, expires - now)
        asked = (
            replay_key(scope, jti),
            _BUCKET,
            expires,
            self._past.see(now),
            *self._redis.identity(now + self._longest),
        )
        fresh, born = self._redis.run(redis_scripts.INSERT, asked)
        self._redis.born = _text(born)
        return bool(fresh)

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        """Tell whether `insert` would answer False; spend nothing.

        Raises:
            StoreDownError: the server cannot answer.
        """
        return bool(self._redis.run(redis_scripts.SEEN, (replay_key(scope, jti), expires)))

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._redis.close()


class RedisRevocation:
    """Revoked tokens and raised epochs in Redis or Valkey."""

    def __init__(  # noqa: PLR0913 - each has its default; tests give the clocks
        self,
        server: redis.Redis | str,
        *,
        namespace: str = "revocation",
        now: Callable[[], float] = time.time,
        token_life: float = ACCESS_TOKEN_LIFE,
        settling: float = SETTLING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a client or a URL; connect on first use."""
        self._redis = RedisStore(server, store="revocation", namespace=namespace)
        self._now = now
        self._token_life = token_life
        self._past = SettledPast(settling=settling, monotonic=monotonic)

    def revoke(self, jti: str, *, expires: float) -> None:
        """Revoke one token, which expires then by itself.

        Raises:
            StoreDownError: the server cannot answer.
        """
        now = self._now()
        asked = (*self._identity(now), jti, expires, self._past.see(now), _BATCH)
        self._redis.born = _text(self._redis.run(redis_scripts.REVOKE, asked))

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        """Kill the agent's tokens of lower epochs.

        Raises:
            StoreDownError: the server cannot answer.
        """
        asked = (*self._identity(self._now()), agent_id, epoch)
        self._redis.born = _text(self._redis.run(redis_scripts.RAISE, asked))

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        """Return what is known against these agents and token ids.

        Raises:
            StoreDownError: the server cannot answer.
        """
        agents, jtis = storable(agents), storable(jtis)
        identity = self._identity(self._now())
        asked: list[str | float] = [*identity, len(agents), *agents, *jtis]
        born, forgotten, found = self._redis.run(redis_scripts.ASK, asked)
        self._redis.born = _text(born)
        epochs, revoked = found[: len(agents)], found[len(agents) :]
        return RevocationState(
            epochs={a: int(e) for a, e in zip(agents, epochs, strict=True) if e is not None},
            revoked=frozenset(j for j, s in zip(jtis, revoked, strict=True) if s is not None),
            forgotten_until=float(forgotten),
        )

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._redis.close()

    def _identity(self, now: float) -> tuple[str, str, float]:
        # a token that was issued before the memory was lost is dead by then
        return self._redis.identity(now + self._token_life)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
