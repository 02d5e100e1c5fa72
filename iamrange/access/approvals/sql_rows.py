"""One request as a row, and back. What is no such row is a broken store, never an approval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iamrange.access.approvals.model import (
    ApprovalRequest,
    ApprovalState,
    SignedDecision,
    Summary,
    Verdict,
)
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    import sqlalchemy as sa


def values_of(request: ApprovalRequest) -> dict[str, Any]:
    """Return a new request's columns."""
    return {
        "id": request.id,
        "agent": request.agent,
        "action": request.action,
        "method": request.method,
        "url": request.url,
        "content_type": request.content_type,
        "body_sha256": request.body_sha256,
        "body_length": request.body_length,
        "summary": json.dumps(request.summary.as_json()),
        "roles": " ".join(sorted(request.roles)),
        "created": request.created,
        "expires": request.expires,
        "state": request.state.value,
        "interval": request.interval,
    }


def request_of(row: sa.Row[Any]) -> ApprovalRequest:
    """Return the request of a row.

    Raises:
        StoreDownError: the row is not one that we write.
    """
    try:
        return ApprovalRequest(
            id=row.id,
            agent=row.agent,
            action=row.action,
            method=row.method,
            url=row.url,
            content_type=row.content_type,
            body_sha256=row.body_sha256,
            body_length=row.body_length,
            summary=Summary.from_json(json.loads(row.summary)),
            roles=frozenset(row.roles.split()),
            created=row.created,
            expires=row.expires,
            state=ApprovalState(row.state),
            decision=_decision(row),
            interval=row.interval,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreDownError("approvals", f"a row is unreadable: {type(error).__name__}") from None


def _decision(row: sa.Row[Any]) -> SignedDecision | None:
    if row.jws is None:
        return None
    return SignedDecision(
        jws=row.jws,
        approver=row.approver,
        verdict=Verdict(row.verdict),
        jti=row.jti,
        time=row.decided,
    )
