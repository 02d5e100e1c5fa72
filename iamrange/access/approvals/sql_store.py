"""Approvals in a database: SQLite by default, PostgreSQL by URL; for several processes.

- What decides is one statement or one transaction: of many at once, one wins.
- SQLite runs in WAL with synchronous FULL, so that what was used stays used after kill -9.
- It opens without the database, and makes its tables when the database is there: it recovers
  alone. A file that was lost is made anew, empty: nothing that was approved in it counts.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from iamrange.access.approvals.model import ApprovalRefusal, ApprovalState, Verdict
from iamrange.access.approvals.ports import Asked, Polled, Taken
from iamrange.access.approvals.sql_asking import OPEN, Asking, sameness
from iamrange.access.approvals.sql_rows import request_of, values_of
from iamrange.access.approvals.tables import METADATA, REQUESTS, SIGNATURES
from iamrange.identity.directory.database import Database
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.sql_tables import inserting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.access.approvals.model import ApprovalRequest, SignedDecision
    from iamrange.access.approvals.ports import Limit

STORE: Final = "approvals"
INTERVAL_STEP: Final = 5
"""What a poll that came too fast adds to the interval (RFC 8628 section 3.5)."""
_ASKING: Final = 0x1A34_A5C1  # any number, as long as it is always this one
_PRUNED_AT_ONCE: Final = 500
_AFTER: Final = {
    Verdict.APPROVE: ApprovalState.APPROVED,
    Verdict.DENY: ApprovalState.DENIED,
}
_c = REQUESTS.c


class _MovedOnError(Exception):
    """Rolls a transaction back: its signature is not spent."""


class SqlApprovalStore:
    """An `ApprovalStore` in SQLite or PostgreSQL; safe for threads, processes and forks."""

    def __init__(
        self, url: str | sa.URL | sa.Engine, *, busy: float = 5.0, keep: float = 30 * 86400.0
    ) -> None:
        """Take the database's URL; nothing is opened yet.

        Args:
            url: the database, or an engine of which the URL is used.
            busy: seconds to wait for another writer.
            keep: seconds for which old requests stay readable.

        Raises:
            ValueError: it is neither a SQLite file nor PostgreSQL.
        """
        self._database = Database(url, busy=busy, store=STORE)
        self._keep = keep
        self._lock = threading.Lock()
        self._ready = False

    def ask(
        self, wanted: ApprovalRequest, *, owner: str, now: float, limit: Limit, window: float
    ) -> Asked | ApprovalRefusal:
        """Keep a new request if the limit allows, or return the identical one that waits.

        Raises:
            StoreDownError: the database cannot answer.
        """
        asking = Asking(wanted, owner, sameness(wanted), now, window)
        # a flood is answered without a write, and stands in nobody's way
        with self._statement(reading=True) as connection:
            found = asking.answer(connection, limit)
        if found is not None:
            return found
        with self._writing() as connection:
            if not self._database.is_sqlite:  # where a writer is alone from its beginning
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ASKING)))
            self._sweep(connection, now)
            found = asking.answer(connection, limit)
            if found is None:
                values = values_of(wanted)
                connection.execute(
                    sa.insert(REQUESTS).values(owner=owner, same=asking.same, **values)
                )
        return found or Asked(wanted, new=True)

    def get(self, approval_id: str) -> ApprovalRequest | None:
        """Return a request as it is kept.

        Raises:
            StoreDownError: the database cannot answer.
        """
        with self._statement() as connection:
            row = connection.execute(sa.select(REQUESTS).where(_c.id == approval_id)).first()
        return None if row is None else request_of(row)

    def poll(self, approval_id: str, *, now: float, longest: int) -> Polled | None:
        """Return a request, and note that its agent asked.

        Raises:
            StoreDownError: the database cannot answer.
        """
        chosen = sa.select(REQUESTS).where(_c.id == approval_id)
        with self._statement() as connection:
            row = connection.execute(chosen).first()
        if row is None:
            return None
        if _too_fast(row, now) and row.interval >= longest:
            # who hammers is answered without a write
            return Polled(request_of(row), too_fast=True)
        with self._writing() as connection:
            row = connection.execute(chosen.with_for_update()).first()
            if row is None:
                return None
            too_fast = _too_fast(row, now)
            interval = min(longest, row.interval + INTERVAL_STEP) if too_fast else row.interval
            noted = (
                sa.update(REQUESTS)
                .where(_c.id == approval_id)
                .values(polled=now, interval=interval)
                .returning(REQUESTS)
            )
            return Polled(request_of(connection.execute(noted).one()), too_fast)

    def pending(self, *, now: float, limit: int) -> tuple[ApprovalRequest, ...]:
        """Return what waits: one of each agent first, then a second of each, oldest first.

        Raises:
            StoreDownError: the database cannot answer.
        """
        turn = sa.func.row_number().over(partition_by=_c.agent, order_by=(_c.created, _c.id))
        asked = (
            sa.select(REQUESTS)
            .where(_c.state == ApprovalState.PENDING.value, _c.expires > now)
            .order_by(turn, _c.created, _c.id)
            .limit(limit)
        )
        with self._statement() as connection:
            return tuple(request_of(row) for row in connection.execute(asked))

    def decide(
        self, approval_id: str, decision: SignedDecision, *, allowed_from: Sequence[ApprovalState]
    ) -> Taken:
        """Spend the signature and move the request on, both or neither.

        Raises:
            StoreDownError: the database cannot answer.
        """
        try:
            with self._writing() as connection:
                return self._decide(connection, approval_id, decision, allowed_from)
        except _MovedOnError:
            return Taken.MOVED_ON

    def _decide(
        self,
        connection: sa.Connection,
        approval_id: str,
        decision: SignedDecision,
        allowed_from: Sequence[ApprovalState],
    ) -> Taken:
        if not self._spend(connection, decision.approver, decision.jti, decision.time):
            return Taken.REPLAYED
        moved = connection.execute(
            sa.update(REQUESTS)
            .where(
                _c.id == approval_id,
                _c.state.in_([each.value for each in allowed_from]),
                _c.expires > decision.time,
            )
            .values(
                state=_AFTER[decision.verdict].value,
                jws=decision.jws,
                approver=decision.approver,
                verdict=decision.verdict.value,
                jti=decision.jti,
                decided=decision.time,
            )
            .returning(_c.id)
        ).first()
        if moved is None:
            raise _MovedOnError
        return Taken.DONE

    def consume(self, approval_id: str, *, now: float) -> bool:
        """Use an approved request; of many at once, exactly one is told True.

        Raises:
            StoreDownError: the database cannot answer; whether it is used then is not known, and
                it counts as used by whoever asked.
        """
        use = (
            sa.update(REQUESTS)
            .where(_c.id == approval_id, _c.state == ApprovalState.APPROVED.value, _c.expires > now)
            .values(state=ApprovalState.USED.value, used=now)
            .returning(_c.id)
        )
        with self._writing() as connection:
            return connection.execute(use).first() is not None

    def expire(self, approval_id: str, *, now: float) -> None:
        """Note that a request's time is up, so that a clock set back does not bring it back.

        Raises:
            StoreDownError: the database cannot answer.
        """
        with self._writing() as connection:
            self._sweep(connection, now, _c.id == approval_id)

    def void(self, approval_id: str) -> None:
        """End a request that is approved by a signature that does not count any more.

        Raises:
            StoreDownError: the database cannot answer.
        """
        with self._writing() as connection:
            connection.execute(
                sa.update(REQUESTS)
                .where(_c.id == approval_id, _c.state == ApprovalState.APPROVED.value)
                .values(state=ApprovalState.EXPIRED.value)
            )

    def spend(self, signer: str, jti: str, *, expires: float) -> bool:
        """Spend a signature's jti; True means first use.

        Raises:
            StoreDownError: the database cannot answer.
        """
        with self._writing() as connection:
            return self._spend(connection, signer, jti, expires)

    def close(self) -> None:
        """Let connections go; the next use opens new ones."""
        self._database.close()

    def _spend(self, connection: sa.Connection, signer: str, jti: str, expires: float) -> bool:
        kept = inserting(connection.dialect.name, SIGNATURES).values(
            signer=signer, jti=jti, expires=expires
        )
        first = kept.on_conflict_do_nothing(index_elements=["signer", "jti"])
        return connection.execute(first.returning(SIGNATURES.c.jti)).first() is not None

    def _sweep(self, connection: sa.Connection, now: float, *only: sa.ColumnElement[bool]) -> None:
        connection.execute(
            sa.update(REQUESTS)
            .where(_c.state.in_(OPEN), _c.expires <= now, *only)
            .values(state=ApprovalState.EXPIRED.value)
        )
        if only:
            return
        # an old request is forgotten with all that could be presented: its id is then unknown
        old = sa.select(_c.id).where(_c.expires < now - self._keep).limit(_PRUNED_AT_ONCE)
        connection.execute(sa.delete(REQUESTS).where(_c.id.in_(old)))
        connection.execute(sa.delete(SIGNATURES).where(SIGNATURES.c.expires < now - 2 * self._keep))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._looked_for():
            self._make_tables()
            with self._database.writing() as connection:
                yield connection

    @contextlib.contextmanager
    def _statement(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Give a connection for one statement, or for several that read one snapshot."""
        with self._looked_for():
            self._make_tables()
            opened = self._database.reading if reading else self._database.statement
            with opened() as connection:
                yield connection

    @contextlib.contextmanager
    def _looked_for(self) -> Iterator[None]:
        try:
            yield
        except StoreDownError:
            # tables may be gone with the file or the database: looked for again next time
            self._ready = False
            raise

    def _make_tables(self) -> None:
        if self._ready:
            return
        with self._lock:
            self._database.create_file()
            with self._database.writing() as connection:
                self._database.lock_schema(connection)
                METADATA.create_all(connection, checkfirst=True)
            self._ready = True


def _too_fast(row: sa.Row[Any], now: float) -> bool:
    # a clock that was set back makes no poll too fast
    return row.polled is not None and bool(0 <= now - row.polled < row.interval)
