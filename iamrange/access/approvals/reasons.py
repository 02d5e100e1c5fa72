"""Why an approval was refused: stable codes, and the HTTP status that goes with each."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """One code a cause. A code is never given for two causes that need different answers."""

    # asking
    MALFORMED = "malformed"
    AGENT_NOT_ACTIVE = "agent-not-active"
    NO_ROUTE = "no-route"
    NOT_NEEDED = "approval-not-needed"
    BODY_TOO_LARGE = "body-too-large"
    TOO_MANY_PROMPTS = "too-many-prompts"
    # state
    UNKNOWN = "approval-unknown"
    PENDING = "approval-pending"
    DENIED = "approval-denied"
    EXPIRED = "approval-expired"
    USED = "approval-used"
    DECIDED = "approval-decided"
    SLOW_DOWN = "slow-down"
    # binding
    ANOTHER_AGENT = "approval-for-another-agent"
    ANOTHER_REQUEST = "approval-for-another-request"
    # the signature
    SIGNATURE = "approval-signature"
    TOO_EARLY = "approval-signed-before-request"
    NOT_YET_VALID = "approval-not-yet-valid"
    REPLAYED = "approval-replayed"
    KEY = "approver-key-not-current"
    # who signed
    SELF = "approval-self"
    OWNED_AGENT = "approval-by-owned-agent"
    OWNER = "approval-by-owner"
    APPROVER_UNKNOWN = "approver-unknown"
    NOT_A_PERSON = "approver-not-a-person"
    NOT_ACTIVE = "approver-not-active"
    APPROVER_EXPIRED = "approver-expired"
    ANOTHER_TENANT = "approver-of-another-tenant"
    NOT_MANAGER = "approver-not-manager"


STATUS: Final = {
    Reason.MALFORMED: 400,
    Reason.NO_ROUTE: 400,
    Reason.NOT_NEEDED: 400,
    Reason.BODY_TOO_LARGE: 413,
    Reason.TOO_MANY_PROMPTS: 429,
    Reason.SLOW_DOWN: 429,
    Reason.UNKNOWN: 404,
    # who is no party to a request is not told that there is one
    Reason.ANOTHER_AGENT: 404,
    Reason.DECIDED: 409,
    Reason.REPLAYED: 409,
    Reason.USED: 409,
    Reason.DENIED: 409,
    Reason.EXPIRED: 410,
}
OTHERWISE: Final = 403


def status(reason: str) -> int:
    """Return the HTTP status of a refusal."""
    return STATUS.get(Reason(reason), OTHERWISE) if reason in tuple(Reason) else OTHERWISE
