"""Used proofs and revocations in a database: for several processes, and across restarts.

- What decides is one statement on a primary key: of many at once, one wins.
- Old rows go in bounded batches, and how far they went is noted in the same transaction.
"""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Integer,
    bindparam,
    delete,
    false,
    literal_column,
    or_,
    select,
    union_all,
)

from iamrange.identity.stores.horizon import SETTLING, SettledPast
from iamrange.identity.stores.keys import replay_key, storable
from iamrange.identity.stores.ports import RevocationState
from iamrange.identity.stores.sql_database import Database
from iamrange.identity.stores.sql_tables import EPOCHS, FORGOTTEN, REVOKED, USED, inserting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, ColumnElement, CompoundSelect
    from sqlalchemy.engine import Engine

_REPLAY: Final = "replay"
_REVOCATION: Final = "revocation"
_BATCH: Final = 1000
_INSERTS_A_BATCH: Final = 500
"""Half a batch: pruning outruns inserting."""


class SqlReplay:
    """Used proofs in a database."""

    def __init__(
        self,
        database: Engine | str,
        *,
        settling: float = SETTLING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the database and make our tables if they are missing.

        Raises:
            StoreDownError: the database is away.
        """
        self._database = Database(database, _REPLAY)
        self._insert = self._database.prepare(
            inserting(self._database.dialect, USED)
            .values(key=bindparam("key"), expires=bindparam("expires"))
            .on_conflict_do_nothing(index_elements=[USED.c.key])
            .returning(USED.c.expires)
        )
        self._forgotten = self._database.prepare(
            select(FORGOTTEN.c.until).where(FORGOTTEN.c.store == bindparam("store"))
        )
        self._seen = self._database.prepare(
            union_all(
                select(USED.c.expires).where(USED.c.key == bindparam("key")),
                select(FORGOTTEN.c.until).where(
                    FORGOTTEN.c.store == bindparam("store"),
                    FORGOTTEN.c.until >= bindparam("expires"),
                ),
            )
        )
        self._prune = _Pruning(self._database, _REPLAY, USED.c.key, USED.c.expires)
        self._past = SettledPast(settling=settling, monotonic=monotonic)
        self._lock = threading.Lock()
        self._until_batch = 0

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        """Spend the jti within its scope; True means first use.

        Raises:
            StoreDownError: the database cannot answer.
        """
        self._prune_at_times(self._past.see(now))
        # how far the store forgot is asked after the insert: a pruner that took the same row away
        # has noted it by then
        inserted, *forgotten = self._database.in_turn(
            (self._insert, {"key": replay_key(scope, jti), "expires": expires}),
            (self._forgotten, {"store": _REPLAY}),
        )
        return bool(inserted) and all(expires > row[0] for rows in forgotten for row in rows)

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        """Tell whether `insert` would answer False; spend nothing.

        Raises:
            StoreDownError: the database cannot answer.
        """
        asked = {"key": replay_key(scope, jti), "expires": expires, "store": _REPLAY}
        return bool(self._database.rows(self._seen, asked))

    @property
    def engine(self) -> Engine:
        """Return the engine, for whoever looks into the database."""
        return self._database.engine

    def _prune_at_times(self, past: float) -> None:
        with self._lock:
            self._until_batch -= 1
            if self._until_batch > 0:
                return
            self._until_batch = _INSERTS_A_BATCH
        self._prune(past)

    def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        self._database.close()


class SqlRevocation:
    """Revoked tokens and raised epochs in a database."""

    def __init__(
        self,
        database: Engine | str,
        *,
        now: Callable[[], float] = time.time,
        settling: float = SETTLING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the database and make our tables if they are missing.

        Raises:
            StoreDownError: the database is away.
        """
        self._database = Database(database, _REVOCATION)
        revoke = inserting(self._database.dialect, REVOKED).values(
            jti=bindparam("jti"), expires=bindparam("expires")
        )
        self._revoke = self._database.prepare(
            revoke.on_conflict_do_update(
                index_elements=[REVOKED.c.jti],
                set_={"expires": revoke.excluded.expires},
                where=revoke.excluded.expires > REVOKED.c.expires,
            )
        )
        epoch = inserting(self._database.dialect, EPOCHS).values(
            agent_id=bindparam("agent_id"), epoch=bindparam("epoch")
        )
        self._raise = self._database.prepare(
            epoch.on_conflict_do_update(
                index_elements=[EPOCHS.c.agent_id],
                set_={"epoch": epoch.excluded.epoch},
                where=epoch.excluded.epoch > EPOCHS.c.epoch,
            )
        )
        self._state = cache(lambda *size: self._database.prepare(_state(*size)))
        self._prune = _Pruning(self._database, _REVOCATION, REVOKED.c.jti, REVOKED.c.expires)
        self._now = now
        self._past = SettledPast(settling=settling, monotonic=monotonic)

    def revoke(self, jti: str, *, expires: float) -> None:
        """Revoke one token, which expires then by itself.

        Raises:
            StoreDownError: the database cannot answer.
        """
        self._database.rows(self._revoke, {"jti": jti, "expires": expires})
        self._prune(self._past.see(self._now()))

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        """Kill the agent's tokens of lower epochs.

        Raises:
            StoreDownError: the database cannot answer.
        """
        self._database.rows(self._raise, {"agent_id": agent_id, "epoch": epoch})

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        """Return what is known against these agents and token ids.

        Raises:
            StoreDownError: the database cannot answer.
        """
        agents, jtis = storable(agents), storable(jtis)
        asked: dict[str, Any] = {"store": _REVOCATION}
        asked |= {f"agent{number}": agent for number, agent in enumerate(agents)}
        asked |= {f"jti{number}": jti for number, jti in enumerate(jtis)}
        rows = self._database.rows(self._state(len(agents), len(jtis)), asked)
        return RevocationState(
            epochs={name: int(value) for kind, name, value in rows if kind == _EPOCH},
            revoked=frozenset(name for kind, name, _ in rows if kind == _REVOKED),
            forgotten_until=max((v for kind, _, v in rows if kind == _FORGOTTEN), default=0.0),
        )

    def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        self._database.close()


_EPOCH, _REVOKED, _FORGOTTEN = range(3)


def _state(agents: int, jtis: int) -> CompoundSelect[Any]:
    """Ask everything at once, for so many agents and token ids."""
    return union_all(
        select(_kind(_EPOCH), EPOCHS.c.agent_id, EPOCHS.c.epoch).where(
            _among(EPOCHS.c.agent_id, "agent", agents)
        ),
        select(_kind(_REVOKED), REVOKED.c.jti, REVOKED.c.expires).where(
            _among(REVOKED.c.jti, "jti", jtis)
        ),
        select(_kind(_FORGOTTEN), FORGOTTEN.c.store, FORGOTTEN.c.until).where(
            FORGOTTEN.c.store == bindparam("store")
        ),
    )


def _kind(number: int) -> ColumnElement[int]:
    return literal_column(str(number), Integer)


def _among(column: Column[str], name: str, count: int) -> ColumnElement[bool]:
    if not count:
        return false()
    return or_(*(column == bindparam(f"{name}{number}") for number in range(count)))


class _Pruning:
    """Forgets a batch of what is past, and notes how far that went, in one transaction."""

    def __init__(
        self, database: Database, store: str, key: Column[Any], expires: Column[float]
    ) -> None:
        old = (
            select(key)
            .where(expires < bindparam("past"))
            .order_by(expires)
            .limit(bindparam("most", type_=Integer))
        )
        self._database = database
        self._delete = database.prepare(delete(key.table).where(key.in_(old)).returning(expires))
        note = inserting(database.dialect, FORGOTTEN).values(
            store=literal_column(f"'{store}'"), until=bindparam("until")
        )
        self._note = database.prepare(
            note.on_conflict_do_update(
                index_elements=[FORGOTTEN.c.store],
                set_={"until": note.excluded.until},
                where=note.excluded.until > FORGOTTEN.c.until,
            )
        )

    def __call__(self, past: float) -> None:
        self._database.atomically(self._delete, {"past": past, "most": _BATCH}, self._note)
