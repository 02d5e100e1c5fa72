"""What a new request finds in the database: its like that waits, or what people are asked now."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from iamrange.access.approvals.model import ApprovalRefusal, ApprovalState
from iamrange.access.approvals.ports import Asked, Prompts
from iamrange.access.approvals.sql_rows import request_of
from iamrange.access.approvals.tables import REQUESTS

if TYPE_CHECKING:
    from iamrange.access.approvals.model import ApprovalRequest
    from iamrange.access.approvals.ports import Limit

OPEN: Final = (ApprovalState.PENDING.value, ApprovalState.APPROVED.value)
_c = REQUESTS.c


@dataclass(frozen=True, slots=True)
class Asking:
    """One request that is asked for, against what is there."""

    wanted: ApprovalRequest
    owner: str
    same: bytes
    now: float
    window: float

    def answer(self, connection: sa.Connection, limit: Limit) -> Asked | ApprovalRefusal | None:
        """Return the identical request that waits, or what the limit says; None: it may be new."""
        waiting = connection.execute(
            sa.select(REQUESTS)
            .where(
                _c.same == self.same,
                _c.state.in_(OPEN),
                _c.expires > self.now,
                # one from before the clock was set back could not be signed for yet
                _c.created <= self.wanted.created,
            )
            .order_by(_c.created.desc())
        ).first()
        if waiting is not None:
            return Asked(request_of(waiting), new=False)
        return limit(self._prompts(connection))

    def _prompts(self, connection: sa.Connection) -> Prompts:
        counts = connection.execute(
            sa.select(
                sa.func.count().filter(_c.agent == self.wanted.agent),
                sa.func.count().filter(_c.owner == self.owner),
                sa.func.count(),
            ).where(_c.state == ApprovalState.PENDING.value, _c.expires > self.now)
        ).one()
        recent = connection.execute(
            sa.select(_c.created)
            .where(_c.agent == self.wanted.agent, _c.created > self.now - self.window)
            .order_by(_c.created)
        )
        denied = sa.select(sa.func.max(_c.decided)).where(
            _c.same == self.same, _c.state == ApprovalState.DENIED.value
        )
        return Prompts(
            pending_of_agent=counts[0],
            pending_of_owner=counts[1],
            pending_in_all=counts[2],
            recent=[float(row[0]) for row in recent],
            denied=connection.execute(denied).scalar(),
        )


def sameness(request: ApprovalRequest) -> bytes:
    """Return what two requests share when a person would be asked the same question twice."""
    parts = [request.agent, request.action, request.method, request.url]
    parts += [request.content_type, request.body_sha256]
    return hashlib.sha256(json.dumps(parts).encode()).digest()
