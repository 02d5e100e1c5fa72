"""Approvals: asked for by agents, decided by people, presented at the gateway, used once.

- A refusal is a value. The store or the directory away is `StoreDownError`: nothing is approved.
- `present` believes no row: the signature is verified again, against the directory of the moment.
- An agent's own words decide nothing: action and what people read come from the routes' table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.asking import (
    AskedCall,
    binding_refusal,
    call_refusal,
    request_for,
)
from iamrange.access.approvals.entries import Entries
from iamrange.access.approvals.events import Reporter
from iamrange.access.approvals.judge import Evidence, Judged, judge
from iamrange.access.approvals.model import (
    ApprovalEvent,
    ApprovalFacts,
    ApprovalRefusal,
    ApprovalRequest,
    ApprovalState,
    SignedDecision,
    Verdict,
)
from iamrange.access.approvals.ports import Asked, Polled, Taken
from iamrange.access.approvals.prompts import prompt_limit
from iamrange.access.approvals.reasons import Reason
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.access.approvals.signing import PROFILE, read
from iamrange.access.vocabulary import Action
from iamrange.core.clock import Clock, SystemClock
from iamrange.core.decision import honest
from iamrange.jose.gate import UnverifiedToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.access.approvals.ports import ApprovalStore, Describe, People
    from iamrange.core.decision import RecordSink, Tamper
    from iamrange.identity.directory.model import Agent

__all__ = ["Approvals", "AskedCall"]

_LONGEST_ID: Final = 64
_OPEN: Final = (ApprovalState.PENDING, ApprovalState.APPROVED)
_FROM: Final = {
    Verdict.APPROVE: (ApprovalState.PENDING,),
    # a person may think better of it, until it is used
    Verdict.DENY: _OPEN,
}
_REASON_OF: Final = {
    ApprovalState.PENDING: Reason.PENDING,
    ApprovalState.DENIED: Reason.DENIED,
    ApprovalState.USED: Reason.USED,
    ApprovalState.EXPIRED: Reason.EXPIRED,
}


class Approvals:
    """The one place where an approval is made, shown and used; safe for threads."""

    def __init__(  # noqa: PLR0913 - keyword-only ports with defaults
        self,
        store: ApprovalStore,
        people: People,
        describe: Describe,
        *,
        clock: Clock | None = None,
        settings: ApprovalSettings | None = None,
        audit: Callable[[ApprovalEvent], None] | None = None,
        records: RecordSink | None = None,
        tamper: Tamper = honest,
    ) -> None:
        """Take the store, the directory, the routes' table and what is told of changes."""
        self.clock = clock or SystemClock()
        self.settings = settings or ApprovalSettings()
        self._store = store
        self._entries = Entries(people)
        self._describe = describe
        self._report = Reporter(self.clock, audit, records)
        self._tamper = tamper

    def ask(self, agent: str, call: AskedCall) -> ApprovalRequest | ApprovalRefusal:
        """Ask people for one call; an identical request that waits is returned again.

        Raises:
            StoreDownError: the store or the directory cannot answer.
        """
        answer = self._ask(agent, call, self.clock.now())
        self._report.asked(agent, answer)
        return answer

    def _ask(self, agent: str, call: AskedCall, now: float) -> ApprovalRequest | ApprovalRefusal:
        refusal = call_refusal(call, self.settings)
        if refusal is not None:
            return refusal
        requester = self._entries.agent(agent)
        if requester is None or not requester.usable(now):
            return ApprovalRefusal(Reason.AGENT_NOT_ACTIVE)
        declared = self._describe(call.method, call.url)
        if isinstance(declared, ApprovalRefusal):
            return declared
        if declared.action == Action.READ and not declared.high_impact:
            return ApprovalRefusal(Reason.NOT_NEEDED, "reading needs no approval")
        wanted = request_for(declared, call, requester, self.settings, now)
        owner = self._entries.owners(requester)[-1]
        asked = self._waiting(wanted, owner, now)
        if isinstance(asked, Asked) and self._is_dead(asked.request, now):
            self._store.void(asked.request.id)
            self._report.change("voided", requester.id, asked.request)
            asked = self._waiting(wanted, owner, now)
        if isinstance(asked, ApprovalRefusal):
            return asked
        if asked.new:
            self._report.change("asked", requester.id, asked.request)
        return asked.request

    def _waiting(self, wanted: ApprovalRequest, owner: str, now: float) -> Asked | ApprovalRefusal:
        limit, window = prompt_limit(self.settings, now), self.settings.window
        return self._store.ask(wanted, owner=owner, now=now, limit=limit, window=window)

    def _is_dead(self, request: ApprovalRequest, now: float) -> bool:
        """Tell whether it is approved by a signature that does not count any more."""
        approved = request.state is ApprovalState.APPROVED
        return approved and isinstance(self._facts(request, now), ApprovalRefusal)

    def poll(self, agent: str, approval_id: str) -> Polled | ApprovalRefusal:
        """Tell an agent what became of its own request, and whether it asks too fast.

        Raises:
            StoreDownError: the store cannot answer.
        """
        now = self.clock.now()
        found = self._kept(approval_id, now)
        # nobody learns of another agent's request, not even that there is one
        if found is None or found.agent != agent:
            return ApprovalRefusal(Reason.UNKNOWN)
        polled = self._store.poll(found.id, now=now, longest=self.settings.longest_interval)
        return polled or ApprovalRefusal(Reason.UNKNOWN)

    def get(self, approval_id: str) -> ApprovalRequest | None:
        """Return a request; whoever knows its id may read it.

        Raises:
            StoreDownError: the store cannot answer.
        """
        return self._kept(approval_id, self.clock.now())

    def pending(
        self, *, approver: str | None = None, limit: int = 100
    ) -> tuple[ApprovalRequest, ...]:
        """Return what waits, the agents in turn; with an approver, what that person may approve.

        Raises:
            StoreDownError: the store or the directory cannot answer.
        """
        now = self.clock.now()
        waiting = self._store.pending(now=now, limit=self.settings.pending_in_all)
        if approver is not None:
            may = self._entries.could_approve
            waiting = tuple(each for each in waiting if may(approver, each, now))
        return waiting[:limit]

    def decide(self, approval_id: str, signed: str) -> ApprovalRequest | ApprovalRefusal:
        """Take a person's signed decision.

        Raises:
            StoreDownError: the store or the directory cannot answer.
        """
        now = self.clock.now()
        request = self._kept(approval_id, now)
        if request is None:
            return ApprovalRefusal(Reason.UNKNOWN)
        requester = self._entries.agent(request.agent)
        if requester is None:
            return ApprovalRefusal(Reason.AGENT_NOT_ACTIVE)
        judged, approver = self._judged(request, requester, signed, now)
        refusal = judged.refusal
        if refusal is None and judged.verdict is not None:
            decision = SignedDecision(
                jws=signed, approver=approver, verdict=judged.verdict, jti=judged.jti, time=now
            )
            refusal = self._take(request, decision)
        self._report.decided(request, approver, judged, refusal)
        if refusal is not None:
            return refusal
        return self._store.get(approval_id) or ApprovalRefusal(Reason.UNKNOWN)

    def present(  # noqa: PLR0913, PLR0917 - what a call is bound to, as the gateway gives it
        self,
        approval_id: str,
        agent_id: str,
        method: str,
        url: str,
        body_sha256: str,
        now: float,
        *,
        content_type: str | None = None,
    ) -> ApprovalFacts | ApprovalRefusal:
        """Return what an approval proves for this call, or why nothing. It spends nothing.

        Args:
            approval_id: as it came in the header.
            agent_id: the verified agent's SPIFFE id.
            method: of the call.
            url: canonical, with the query.
            body_sha256: hex, of the whole body.
            now: the moment of the call.
            content_type: of the call, "" if it has none; None: the caller cannot know.

        Raises:
            StoreDownError: the store or the directory cannot answer.
        """
        request = self._kept(approval_id, now)
        if request is None:
            return ApprovalRefusal(Reason.UNKNOWN)
        if request.agent != agent_id:
            return ApprovalRefusal(Reason.ANOTHER_AGENT)
        refusal = self._state_refusal(request)
        if refusal is None and not self.settings.unsafe_ignores_binding:
            refusal = binding_refusal(request, (method, url, body_sha256), content_type)
        return refusal or self._facts(request, now)

    def consume(self, approval_id: str, now: float) -> bool:
        """Use the approval: of many at once, one is told True. Called last, once all else holds.

        Raises:
            StoreDownError: the store cannot answer: the call is refused.
        """
        if self.settings.unsafe_ignores_binding:
            request = self._kept(approval_id, now)
            return request is not None and self._state_refusal(request) is None
        if not _is_id(approval_id) or not self._store.consume(approval_id, now=now):
            return False
        request = self._store.get(approval_id)
        if request is not None:
            self._report.change("used", request.agent, request)
        return True

    def _state_refusal(self, request: ApprovalRequest) -> ApprovalRefusal | None:
        if request.state is ApprovalState.APPROVED:
            return None
        if self.settings.unsafe_ignores_binding and request.state is ApprovalState.USED:
            return None
        return ApprovalRefusal(_REASON_OF[request.state])

    def _facts(self, request: ApprovalRequest, now: float) -> ApprovalFacts | ApprovalRefusal:
        requester = self._entries.agent(request.agent)
        if requester is None or not requester.usable(now):
            return ApprovalRefusal(Reason.AGENT_NOT_ACTIVE)
        if request.decision is None:
            return ApprovalRefusal(Reason.SIGNATURE, "nobody has signed")
        judged, approver = self._judged(request, requester, request.decision.jws, now)
        if judged.refusal is not None:
            return judged.refusal
        if judged.verdict is not Verdict.APPROVE:
            return ApprovalRefusal(Reason.DENIED)
        return ApprovalFacts(
            id=request.id,
            approver=approver,
            manager_signed=judged.manager_signed,
            agent=request.agent,
            expires=judged.expires,
            roles=judged.roles,
        )

    def _take(self, request: ApprovalRequest, decision: SignedDecision) -> ApprovalRefusal | None:
        taken = self._store.decide(request.id, decision, allowed_from=_FROM[decision.verdict])
        if taken is Taken.DONE:
            return None
        if taken is Taken.REPLAYED:
            return ApprovalRefusal(Reason.REPLAYED)
        kept = self._store.get(request.id)
        if kept is None or kept.state in _OPEN:
            return ApprovalRefusal(Reason.DECIDED)
        return ApprovalRefusal(_REASON_OF[kept.state])

    def _judged(
        self, request: ApprovalRequest, requester: Agent, signed: str, now: float
    ) -> tuple[Judged, str]:
        token = read(signed, PROFILE)
        named = token.unverified_claims["approver"] if isinstance(token, UnverifiedToken) else ""
        evidence = Evidence(
            request=request,
            token=token,
            approver=self._entries.entry(named),
            requester=requester,
            owners=self._entries.owners(requester),
            now=now,
            approves_own=self.settings.unsafe_approves_own,
        )
        return judge(evidence, self._tamper), named

    def _kept(self, approval_id: str, now: float) -> ApprovalRequest | None:
        """Return a request; one whose time is up is expired for good, whatever the clock does."""
        if not _is_id(approval_id):
            return None
        request = self._store.get(approval_id)
        if request is None or now < request.expires or request.state not in _OPEN:
            return request
        self._store.expire(request.id, now=now)
        expired = replace(request, state=ApprovalState.EXPIRED)
        self._report.change("expired", "clock", expired)
        return expired


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()
