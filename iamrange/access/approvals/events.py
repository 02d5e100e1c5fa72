"""What approvals tell: an event for every change, a decision record for every answer.

- Neither holds a body, a signature or a key. A refusal is no change: it is in a record alone.
- An event that cannot be kept stops nobody here: the sink must not raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.judge import POINT as DECIDE
from iamrange.access.approvals.model import ApprovalEvent, ApprovalRefusal
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.identity.http import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.access.approvals.judge import Judged
    from iamrange.access.approvals.model import ApprovalRequest
    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink

ASK: Final = "approvals.ask"


class Reporter:
    """Tells both sinks."""

    def __init__(
        self,
        clock: Clock,
        audit: Callable[[ApprovalEvent], None] | None,
        records: RecordSink | None,
    ) -> None:
        """Take the sinks; None keeps nothing."""
        self._clock = clock
        self._audit = audit
        self._records = records

    def change(self, action: str, actor: str, request: ApprovalRequest, detail: str = "") -> None:
        """Tell of a change to a request."""
        self._tell(action, actor, request.id, request.agent, detail or request.action)

    def asked(self, agent: str, answer: ApprovalRequest | ApprovalRefusal) -> None:
        """Tell how an agent's asking was answered."""
        refused = isinstance(answer, ApprovalRefusal)
        reason = answer.reason if isinstance(answer, ApprovalRefusal) else "ok"
        effect = Effect.DENY if refused else Effect.ALLOW
        self._record(
            ASK,
            action="" if isinstance(answer, ApprovalRefusal) else answer.action,
            resource="" if isinstance(answer, ApprovalRefusal) else answer.url,
            principal=agent,
            reason=reason,
            layers=(LayerAnswer("ask", effect, reason),),
            refused=refused,
        )

    def decided(
        self,
        request: ApprovalRequest,
        approver: str,
        judged: Judged,
        refusal: ApprovalRefusal | None,
    ) -> None:
        """Tell how a person's decision was taken."""
        layers = judged.layers
        if judged.refusal is None:
            effect = Effect.ALLOW if refusal is None else Effect.DENY
            reason = "ok" if refusal is None else refusal.reason
            layers = (*layers, LayerAnswer("state", effect, reason))
        if refusal is None and judged.verdict is not None:
            word = {"approve": "approved", "deny": "denied"}[judged.verdict]
            self.change(word, approver, request)
        self._record(
            DECIDE,
            action=request.action,
            resource=request.url,
            principal=approver[:256],
            reason="ok" if refusal is None else refusal.reason,
            layers=layers,
            refused=refusal is not None,
        )

    def _tell(self, action: str, actor: str, approval: str, agent: str, detail: str) -> None:
        if self._audit is None:
            return
        self._audit(
            ApprovalEvent(
                time=self._clock.now(),
                actor=actor,
                action=action,
                approval=approval,
                agent=agent,
                detail=detail,
            )
        )

    def _record(  # noqa: PLR0913 - members of a record
        self,
        point: str,
        *,
        action: str,
        resource: str,
        principal: str,
        reason: str,
        layers: tuple[LayerAnswer, ...],
        refused: bool,
    ) -> None:
        if self._records is None:
            return
        self._records(
            DecisionRecord(
                request_id=new_request_id(),
                time=self._clock.now(),
                point=point,
                action=action,
                resource=resource.partition("?")[0],
                principal=principal,
                outcome=Outcome.DENY if refused else Outcome.ALLOW,
                reason=reason,
                layers=layers,
            )
        )
