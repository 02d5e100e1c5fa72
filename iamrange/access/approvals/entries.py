"""Who somebody is, asked of the directory by exact SPIFFE id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.access.approvals.model import Verdict
from iamrange.access.approvals.separation import approver_refusal, owners, separation_refusal
from iamrange.identity.directory.model import Agent, Kind

if TYPE_CHECKING:
    from iamrange.access.approvals.model import ApprovalRequest
    from iamrange.access.approvals.ports import People


class Entries:
    """The directory's entries. Every method raises StoreDownError when it cannot answer."""

    def __init__(self, people: People) -> None:
        """Take the directory."""
        self._people = people

    def entry(self, identifier: str) -> Agent | None:
        """Return the entry with exactly this id: no short name stands for anybody."""
        if not identifier.startswith("spiffe://") or not identifier.isascii():
            return None
        if not identifier.isprintable():
            return None
        found = self._people.get(identifier)
        return found if found is not None and found.id == identifier else None

    def agent(self, identifier: str) -> Agent | None:
        """Return the entry if it is an agent's."""
        found = self.entry(identifier)
        return found if found is not None and found.kind is Kind.AGENT else None

    def owners(self, agent: Agent) -> tuple[str, ...]:
        """Return who answers for an agent, and for the agents that own it."""
        return owners(agent, self.entry)

    def could_approve(self, approver: str, request: ApprovalRequest, now: float) -> bool:
        """Tell whether this person's signature would approve the request."""
        person, requester = self.entry(approver), self.agent(request.agent)
        if person is None or requester is None:
            return False
        above, verdict = self.owners(requester), Verdict.APPROVE
        if separation_refusal(person, requester, above, verdict) is not None:
            return False
        roles = request.roles
        refusal = approver_refusal(person, requester, above, roles=roles, verdict=verdict, now=now)
        return refusal is None
