"""One connection to Redis or Valkey: short timeouts, reconnects alone, one kind of error.

- A server that would throw our keys away when its memory is full is refused: what it evicts would
  be forgotten silently.
- The adapter remembers the name that the store was born with, so that a store which came back
  empty is told from one that was never used.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE: Final = 0.5
"""Seconds to wait for the server before it counts as away."""


class RedisStore:
    """Runs scripts against one namespace of a server."""

    def __init__(self, client: redis.Redis | str, *, store: str, namespace: str) -> None:
        """Take a client, or a URL (`redis://`, `rediss://`, `unix://`); connect on first use."""
        self._store = store
        self._client = _client(client) if isinstance(client, str) else client
        self._prefix = f"{{iamrange:{namespace}}}"
        self._scripts: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._checked = False
        self.born = ""

    def run(self, script: str, arguments: Sequence[str | bytes | float]) -> Any:  # noqa: ANN401 - Lua's own types
        """Run a script on this namespace.

        Raises:
            StoreDownError: the server is away, full, or one that forgets.
        """
        try:
            if not self._checked:
                self._check()
            return self._script(script)(keys=[self._prefix], args=list(arguments))
        except (redis.RedisError, OSError, UnicodeError) as error:
            self._checked = False
            raise StoreDownError(self._store, type(error).__name__) from None

    def identity(self, lost_until: float) -> tuple[str, str, float]:
        """Return the arguments by which a script tells whether the store lost its memory."""
        return self.born, secrets.token_hex(8), lost_until

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._client.close()

    def _script(self, script: str) -> Any:  # noqa: ANN401 - redis publishes no type for it
        with self._lock:
            if script not in self._scripts:
                self._scripts[script] = self._client.register_script(script)
            return self._scripts[script]

    def _check(self) -> None:
        memory: Any = self._client.info("memory")
        policy = str(memory.get("maxmemory_policy", ""))
        if policy.startswith("allkeys") and int(memory.get("maxmemory", 0)) > 0:
            raise StoreDownError(self._store, f"the server evicts keys ({policy})")
        self._checked = True


def _client(url: str) -> redis.Redis:
    # a connection that broke while it was idle is tried again once; a timeout is not
    return redis.Redis.from_url(
        url,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        max_connections=64,
    )
