"""Used proofs and revocations in a database: for several processes, and across restarts.

- What decides is one statement on a primary key: of many at once, one wins.
- Old rows go in bounded batches, and how far they went is noted in the same transaction.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, literal, select, union_all

from iamrange.identity.stores.horizon import SETTLING, SettledPast
from iamrange.identity.stores.keys import replay_key
from iamrange.identity.stores.ports import RevocationState
from iamrange.identity.stores.sql_tables import (
    EPOCHS,
    FORGOTTEN,
    REVOKED,
    USED,
    advancing,
    answering,
    inserting,
    open_database,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column
    from sqlalchemy.engine import Engine

_REPLAY: Final = "replay"
_REVOCATION: Final = "revocation"
_BATCH: Final = 1000
_INSERTS_A_BATCH: Final = 500
"""Half a batch: pruning outruns inserting."""

_FORGOTTEN_UNTIL: Final = select(FORGOTTEN.c.until).where(FORGOTTEN.c.store == bindparam("store"))
_SEEN: Final = union_all(
    select(USED.c.expires).where(USED.c.key == bindparam("key")),
    select(FORGOTTEN.c.until).where(
        FORGOTTEN.c.store == _REPLAY, FORGOTTEN.c.until >= bindparam("expires")
    ),
)
_STATE: Final = union_all(
    select(literal("epoch").label("kind"), EPOCHS.c.agent_id, EPOCHS.c.epoch).where(
        EPOCHS.c.agent_id.in_(bindparam("agents", expanding=True))
    ),
    select(literal("revoked"), REVOKED.c.jti, REVOKED.c.expires).where(
        REVOKED.c.jti.in_(bindparam("jtis", expanding=True))
    ),
    select(literal("forgotten"), FORGOTTEN.c.store, FORGOTTEN.c.until).where(
        FORGOTTEN.c.store == _REVOCATION
    ),
)


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
        self._engine = open_database(database, _REPLAY)
        self._each = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._insert = (
            inserting(self._engine, USED)
            .values(key=bindparam("key"), expires=bindparam("expires"))
            .on_conflict_do_nothing(index_elements=[USED.c.key])
            .returning(USED.c.expires)
        )
        self._past = SettledPast(settling=settling, monotonic=monotonic)
        self._lock = threading.Lock()
        self._until_batch = 0

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        """Spend the jti within its scope; True means first use.

        Raises:
            StoreDownError: the database cannot answer.
        """
        self._prune_at_times(self._past.see(now))
        row = {"key": replay_key(scope, jti), "expires": expires}
        with answering(_REPLAY), self._each.connect() as connection:
            if connection.execute(self._insert, row).first() is None:
                return False
            # asked after the insert: a pruner that took the same row away has noted it by now
            forgotten = connection.execute(_FORGOTTEN_UNTIL, {"store": _REPLAY}).scalar()
            return forgotten is None or expires > forgotten

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        """Tell whether `insert` would answer False; spend nothing.

        Raises:
            StoreDownError: the database cannot answer.
        """
        asked = {"key": replay_key(scope, jti), "expires": expires}
        with answering(_REPLAY), self._each.connect() as connection:
            return connection.execute(_SEEN, asked).first() is not None

    @property
    def engine(self) -> Engine:
        """Return the engine, for whoever shares it."""
        return self._engine

    def _prune_at_times(self, past: float) -> None:
        with self._lock:
            self._until_batch -= 1
            if self._until_batch > 0:
                return
            self._until_batch = _INSERTS_A_BATCH
        _prune(self._engine, USED.c.key, USED.c.expires, _REPLAY, past)

    def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        self._engine.dispose()


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
        self._engine = open_database(database, _REVOCATION)
        self._each = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        revoke = inserting(self._engine, REVOKED).values(
            jti=bindparam("jti"), expires=bindparam("expires")
        )
        self._revoke = revoke.on_conflict_do_update(
            index_elements=[REVOKED.c.jti],
            set_={"expires": revoke.excluded.expires},
            where=revoke.excluded.expires > REVOKED.c.expires,
        )
        epoch = inserting(self._engine, EPOCHS).values(
            agent_id=bindparam("agent_id"), epoch=bindparam("epoch")
        )
        self._raise = epoch.on_conflict_do_update(
            index_elements=[EPOCHS.c.agent_id],
            set_={"epoch": epoch.excluded.epoch},
            where=epoch.excluded.epoch > EPOCHS.c.epoch,
        )
        self._now = now
        self._past = SettledPast(settling=settling, monotonic=monotonic)

    def revoke(self, jti: str, *, expires: float) -> None:
        """Revoke one token, which expires then by itself.

        Raises:
            StoreDownError: the database cannot answer.
        """
        with answering(_REVOCATION), self._each.connect() as connection:
            connection.execute(self._revoke, {"jti": jti, "expires": expires})
        past = self._past.see(self._now())
        _prune(self._engine, REVOKED.c.jti, REVOKED.c.expires, _REVOCATION, past)

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        """Kill the agent's tokens of lower epochs.

        Raises:
            StoreDownError: the database cannot answer.
        """
        with answering(_REVOCATION), self._each.connect() as connection:
            connection.execute(self._raise, {"agent_id": agent_id, "epoch": epoch})

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        """Return what is known against these agents and token ids.

        Raises:
            StoreDownError: the database cannot answer.
        """
        asked = {"agents": list(agents), "jtis": list(jtis)}
        with answering(_REVOCATION), self._each.connect() as connection:
            rows = connection.execute(_STATE, asked).all()
        return RevocationState(
            epochs={name: int(value) for kind, name, value in rows if kind == "epoch"},
            revoked=frozenset(name for kind, name, _ in rows if kind == "revoked"),
            forgotten_until=max(
                (value for kind, _, value in rows if kind == "forgotten"), default=0.0
            ),
        )

    def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        self._engine.dispose()


def _prune(
    engine: Engine,
    key: Column[bytes] | Column[str],
    expires: Column[float],
    store: str,
    past: float,
) -> None:
    """Forget a batch of what is past, and note how far that went, in one transaction."""
    old = select(key).where(expires < past).order_by(expires).limit(_BATCH)
    with answering(store), engine.begin() as connection:
        gone = connection.execute(delete(key.table).where(key.in_(old)).returning(expires)).all()
        if gone:
            connection.execute(advancing(engine, store, max(row[0] for row in gone)))
