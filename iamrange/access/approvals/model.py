"""What an approval is: a request, what a person reads of it, the person's decision. Pure values.

- A request is bound to agent, action, method, canonical URL, type and hash of the whole body, and
  to its end. `request_digest` covers them all, and what the person was shown.
- Moments are whole seconds: page, command line and service compute the same digest.
- No body is kept: its hash, and what was shown of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from iamrange.jose.gate import base64url

if TYPE_CHECKING:
    from collections.abc import Mapping


class ApprovalState(StrEnum):
    """Where a request is. It only moves on: used, denied and expired are final."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"
    EXPIRED = "expired"


class Verdict(StrEnum):
    """What a person may sign."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class ApprovalRefusal:
    """Why not: a stable code (`reasons.Reason`), words without secrets, and when to try again."""

    reason: str
    detail: str = ""
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One thing about a request, as a person reads it; `doubtful` asks for a second look."""

    name: str
    value: str
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a person reads: made by us of the declared route and the parsed body, escaped."""

    title: str
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Show it as lines of text."""
        lines = [self.title, *(f"{row.name}: {row.value}" for row in self.rows)]
        return "\n".join([*lines, *(f"WARNING: {text}" for text in self.warnings)])

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "title": self.title,
            "rows": [[row.name, row.value, row.doubtful] for row in self.rows],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Summary:
        """Return what `as_json` made JSON of.

        Raises:
            ValueError: it is not that.
        """
        try:
            rows = tuple(Row(str(n), str(v), bool(d)) for n, v, d in value["rows"])
            warnings = tuple(str(text) for text in value["warnings"])
            return cls(title=str(value["title"]), rows=rows, warnings=warnings)
        except (KeyError, TypeError) as error:
            raise ValueError("summary: expected title, rows and warnings") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDecision:
    """A person's decision as it was signed; that it still counts is asked at each presentation."""

    jws: str = field(repr=False)
    approver: str
    verdict: Verdict
    jti: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """One call that waits for a person. `roles`: any of them may approve it."""

    id: str
    agent: str
    action: str
    method: str
    url: str
    content_type: str
    body_sha256: str
    body_length: int
    summary: Summary
    roles: frozenset[str]
    created: int
    expires: int
    state: ApprovalState = ApprovalState.PENDING
    decision: SignedDecision | None = None
    interval: int = 5

    def bound(self) -> dict[str, Any]:
        """Return the fields that a signature covers."""
        return {
            "action": self.action,
            "agent": self.agent,
            "body_length": self.body_length,
            "body_sha256": self.body_sha256,
            "content_type": self.content_type,
            "created": self.created,
            "expires": self.expires,
            "id": self.id,
            "method": self.method,
            "roles": sorted(self.roles),
            "summary": self.summary.as_json(),
            "url": self.url,
        }

    def digest(self) -> str:
        """Return the digest of all bound fields, base64url."""
        return request_digest(self.bound())

    def as_json(self) -> dict[str, Any]:
        """Return what a person, and the person's tools, are given."""
        return {**self.bound(), "state": self.state.value, "request_digest": self.digest()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ApprovalRequest:
        """Return the request that `as_json` made JSON of, without its decision.

        Raises:
            ValueError: it is not that.
        """
        texts: dict[str, Any]
        try:
            texts = {name: str(value[name]) for name in _TEXTS}
            return cls(
                **texts,
                body_length=int(value["body_length"]),
                summary=Summary.from_json(value["summary"]),
                roles=frozenset(str(role) for role in value["roles"]),
                created=int(value["created"]),
                expires=int(value["expires"]),
                state=ApprovalState(value["state"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("approval request: a member is missing") from error


_TEXTS = ("id", "agent", "action", "method", "url", "content_type", "body_sha256")


def request_digest(bound: Mapping[str, Any]) -> str:
    """Return SHA-256 over the bound fields as JSON: sorted members, no spaces, UTF-8.

    The page computes the same in the browser, of what it shows.
    """
    text = json.dumps(bound, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64url(hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFacts:
    """What the policy sees of an approval. Made by `Approvals.present` alone.

    `manager_signed`: a signature that was verified at this moment is a manager's.
    """

    id: str
    approver: str
    manager_signed: bool
    agent: str
    expires: float
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEvent:
    """One change, for the audit log. It holds no body, no signature and no key."""

    time: float
    actor: str
    action: str
    approval: str
    agent: str
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the event as JSON-ready values."""
        return {name: getattr(self, name) for name in self.__slots__}
