"""The adapters of the stores as tests open them: each opening is another process's adapter."""

# ruff: noqa: ANN401 - options are handed on as they are
from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.redis_stores import RedisReplay, RedisRevocation
from iamrange.identity.stores.sql import SqlReplay, SqlRevocation
from iamrange.identity.stores.sql_tables import TABLES

if TYPE_CHECKING:
    from iamrange.identity.stores.ports import ReplayStore, RevocationStore

_NUMBERS = itertools.count()


class Stores(Protocol):
    """Opens stores over one backing store: each call is another process's adapter."""

    def replay(self, **options: Any) -> ReplayStore: ...
    def revocation(self, **options: Any) -> RevocationStore: ...


@dataclass
class Ticks:
    """A monotonic clock that a test moves."""

    moment: float = 1000.0

    def __call__(self) -> float:
        return self.moment


class InMemory:
    def replay(self, **options: Any) -> ReplayStore:
        return MemoryReplay(**options)

    def revocation(self, **options: Any) -> RevocationStore:
        return MemoryRevocation(**options)


class InSql:
    def __init__(self, url: str) -> None:
        self.url = url
        self.opened: list[SqlReplay | SqlRevocation] = []

    def replay(self, **options: Any) -> ReplayStore:
        store = SqlReplay(self.url, **options)
        self.opened.append(store)
        return store

    def revocation(self, **options: Any) -> RevocationStore:
        store = SqlRevocation(self.url, **options)
        self.opened.append(store)
        return store

    def close(self) -> None:
        for store in self.opened:
            store.close()


class InRedis:
    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"t{next(_NUMBERS)}"
        self.opened: list[RedisReplay | RedisRevocation] = []

    def replay(self, **options: Any) -> ReplayStore:
        store = RedisReplay(self.url, namespace=f"{self.name}:p", **options)
        self.opened.append(store)
        return store

    def revocation(self, **options: Any) -> RevocationStore:
        store = RedisRevocation(self.url, namespace=f"{self.name}:r", **options)
        self.opened.append(store)
        return store

    def close(self) -> None:
        for store in self.opened:
            store.close()


def empty_database(server: Any) -> str:
    """The server's database without our tables: dropping them is quicker than another database."""
    for table in TABLES:
        server.psql(f"DROP TABLE IF EXISTS {table};")
    url: str = server.get_uri()
    return url
