"""What an over-privilege audit says, as values: uses, findings, paths, proposals.

- A use was allowed *and* needed: without the principal's own policies it would have been refused.
- "Not used" is always said with the window that was watched, never without.
- A finding names the policy and the statement as decision records name them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What is wrong with a grant."""

    UNUSED_ACTION = "unused-action"
    UNUSED_RESOURCE = "unused-resource"
    WILDCARD_ACTION = "wildcard-action"
    WILDCARD_RESOURCE = "wildcard-resource"
    NOT_ACTION = "not-action"
    NOT_RESOURCE = "not-resource"
    ESCALATION = "escalation"
    ROOT_PATH = "root-path"
    """A vault's `sudo`, or its root policy: for what only its administrators do."""
    NOT_DECIDED = "not-decided"
    """A vault's path that names whoever asks: what it stands for is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was watched: from when to when (seconds since 1970), how, and how many decisions."""

    since: float
    until: float
    source: str
    decisions: int

    @property
    def seconds(self) -> float:
        """How long was watched."""
        return max(0.0, self.until - self.since)

    def __str__(self) -> str:
        """Say what was watched, for people."""
        return f"watched for {self.seconds:.0f} s ({self.source}): {self.decisions} decisions"

    @property
    def brief(self) -> str:
        """Say how long was watched, where the rest is said elsewhere."""
        return f"watched for {self.seconds:.0f} s, {self.decisions} decisions"

    def to_json(self) -> dict[str, Any]:
        """Return the window, JSON-ready."""
        return {
            "since": self.since,
            "until": self.until,
            "seconds": self.seconds,
            "source": self.source,
            "decisions": self.decisions,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One action on one resource that a principal was allowed and needed.

    `policy` and `statement` are what allowed it, as the decision records say. `account` is the
    resource's (empty: the principal's own).
    """

    principal: str
    action: str
    resource: str
    policy: str
    statement: str
    count: int
    last: float
    account: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the use, JSON-ready."""
        return {
            "action": self.action,
            "resource": self.resource,
            "policy": self.policy,
            "statement": self.statement,
            "count": self.count,
            "last": self.last,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is granted and need not be.

    `what` are the actions, resources or texts of the policy that the finding is about; `detail`
    says more, `way_out` what to do. `gains` are what an escalation gives beyond what was granted.
    """

    kind: Kind
    cloud: str
    agent: str
    principal: str
    policy: str
    statement: str
    what: tuple[str, ...]
    detail: str
    way_out: str
    path: str = ""
    gains: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the finding, JSON-ready."""
        value: dict[str, Any] = {
            "kind": self.kind.value,
            "cloud": self.cloud,
            "agent": self.agent,
            "principal": self.principal,
            "policy": self.policy,
            "statement": self.statement,
            "what": list(self.what),
            "detail": self.detail,
            "way_out": self.way_out,
        }
        if self.path:
            value |= {"path": self.path, "gains": list(self.gains)}
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """A role that a principal may become, and whether it was seen to."""

    role: str
    by: str
    proof: str
    used: int

    def to_json(self) -> dict[str, Any]:
        """Return it, JSON-ready."""
        return {"role": self.role, "by": self.by, "proof": self.proof, "used": self.used}


@dataclass(frozen=True, slots=True, kw_only=True)
class Generalised:
    """A resource that a proposal names by more than one exact ARN, and the declared reason."""

    resource: str
    written: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return it, JSON-ready."""
        return {"resource": self.resource, "written": self.written, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A smaller document in place of a policy. `document` None: nothing of it was needed.

    `faults` say what our own decider holds against it; a proposal with one is not to be used.
    """

    principal: str
    policy: str
    document: Mapping[str, Any] | None
    generalised: tuple[Generalised, ...] = ()
    faults: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the proposal, JSON-ready."""
        return {
            "principal": self.principal,
            "policy": self.policy,
            "document": None if self.document is None else dict(self.document),
            "generalised": [one.to_json() for one in self.generalised],
            "faults": list(self.faults),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFinding:
    """What another scanner says of a policy: its own words, its own name for the kind."""

    tool: str
    policy: str
    kind: str
    what: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it, JSON-ready."""
        return {
            "tool": self.tool,
            "policy": self.policy,
            "kind": self.kind,
            "what": list(self.what),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAudit:
    """All that is said of one agent in one cloud."""

    agent: str
    cloud: str
    principal: str
    granted: Mapping[str, Any]
    uses: tuple[Use, ...]
    findings: tuple[Finding, ...]
    assumptions: tuple[Assumption, ...]
    proposals: tuple[Proposal, ...]
    peers: tuple[PeerFinding, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the audit, JSON-ready."""
        return {
            "agent": self.agent,
            "cloud": self.cloud,
            "principal": self.principal,
            "granted": dict(self.granted),
            "used": [use.to_json() for use in self.uses],
            "findings": [finding.to_json() for finding in self.findings],
            "may_assume": [one.to_json() for one in self.assumptions],
            "proposals": [proposal.to_json() for proposal in self.proposals],
            "peers": [peer.to_json() for peer in self.peers],
        }
