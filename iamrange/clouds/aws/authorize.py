"""Decide one permission: the decision point `aws.authorize`.

- Policies of every layer are read at this moment, for this request.
- The pure engine answers for each layer; the tampered answers are combined, recorded, obeyed.
- Refusals read as AWS writes them: who, what, on what, and because of which kind of policy.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.context import request_context, resource_context, via_service
from iamrange.clouds.aws.decide import PolicySet, combine, evaluate
from iamrange.clouds.aws.explain import refusal_phrase
from iamrange.clouds.aws.request import Request
from iamrange.clouds.aws.responses import refusal
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from iamrange.clouds.aws.context import Context
    from iamrange.clouds.aws.model import (
        AwsError,
        AwsRequest,
        Caller,
        Check,
        IamStore,
        OrganizationLevels,
    )
    from iamrange.core.decision import RecordSink, Tamper

POINT = "aws.authorize"


class PolicyAuthorizer:
    """Answers each check from the policies as they stand."""

    def __init__(
        self,
        *,
        store: IamStore,
        organization: OrganizationLevels,
        records: RecordSink,
        tamper: Tamper,
    ) -> None:
        """Take the stores that policies come from, and where records go."""
        self._store = store
        self._organization = organization
        self._records = records
        self._tamper = tamper

    def authorize(self, check: Check, request: AwsRequest, caller: Caller) -> AwsError | None:
        """Return None when the caller may, else the AccessDenied error to answer with."""
        asked = Request(
            action=check.action,
            resource=check.resource,
            principal=caller.principal,
            resource_account=check.resource_account,
            context=self._context(check, request, caller),
            aws_owned_resource=check.aws_owned,
        )
        evaluation = evaluate(asked, self._policies(check, caller))
        layers = self._tamper(POINT, evaluation.layers)
        outcome, reason = combine(layers, asked)
        self._record(check, request, caller, (outcome, reason, layers, evaluation.unevaluated))
        if outcome is Outcome.ALLOW:
            return None
        message = denied_message(check, caller, reason)
        return refusal("access-denied", request.service, request.protocol, message)

    def refuse_unmapped(self, why: str, request: AwsRequest, caller: Caller) -> AwsError:
        """Refuse an operation that no rule puts into permissions, and record that."""
        action = f"{request.service}:{request.operation}"
        layer = LayerAnswer(
            layer="upstream-mapping", effect=Effect.DENY, reason="operation-not-mapped", detail=why
        )
        self._records(
            DecisionRecord(
                request_id=request.request_id,
                time=request.now,
                point=POINT,
                action=action,
                resource="*",
                principal=caller.principal.arn,
                outcome=Outcome.DENY,
                reason="operation-not-mapped",
                layers=(layer,),
                source_ip=request.source_ip,
                user_agent=request.user_agent,
                account=caller.account or "",
                unevaluated=(action,),
            )
        )
        message = f"iamrange cannot decide {action}, so it is denied: {why}"
        return refusal("access-denied", request.service, request.protocol, message)

    def _context(self, check: Check, request: AwsRequest, caller: Caller) -> Context:
        context = request_context(request, caller, self._organization)
        if check.via is not None:
            context = via_service(context, check.via)
        account = check.resource_account
        context |= resource_context(account, check.resource_tags, self._organization)
        return context | dict(check.context)

    def _policies(self, check: Check, caller: Caller) -> PolicySet:
        principal, session = caller.principal, caller.session
        arn = principal.role_arn or principal.user_arn or principal.arn
        account = caller.account
        return PolicySet(
            identity=self._store.identity_policies(arn),
            boundary=self._store.boundary(arn),
            session=session.session_policies if session else None,
            resource=check.resource_policy,
            grants=check.grants,
            scps=self._organization.scps(account) if account else (),
            rcps=(
                self._organization.rcps(check.resource_account) if check.resource_account else ()
            ),
            trust=check.trust,
        )

    def _record(
        self,
        check: Check,
        request: AwsRequest,
        caller: Caller,
        decided: tuple[Outcome, str, tuple[LayerAnswer, ...], tuple[str, ...]],
    ) -> None:
        outcome, reason, layers, unevaluated = decided
        facts = {"resource_account": check.resource_account or ""}
        if caller.session is not None:
            facts["session_name"] = caller.session.session_name
        if check.via is not None:
            facts["via"] = check.via
        self._records(
            DecisionRecord(
                request_id=request.request_id,
                time=request.now,
                point=POINT,
                action=check.action,
                resource=check.resource,
                principal=caller.principal.arn,
                outcome=outcome,
                reason=reason,
                layers=layers,
                source_ip=request.source_ip,
                user_agent=request.user_agent,
                account=caller.account or "",
                unevaluated=unevaluated,
                facts=facts,
            )
        )


def denied_message(check: Check, caller: Caller, reason: str) -> str:
    """Write the refusal in AWS's words, from the reason that the combination gave."""
    if caller.principal.kind == "anonymous":
        return "Access Denied"
    start = (
        f"User: {caller.principal.arn} is not authorized to perform: {check.action} "
        f"on resource: {_shown(check)}"
    )
    return f"{start} {refusal_phrase(reason, check.action)}".rstrip()


def _shown(check: Check) -> str:
    return f'"{check.resource}"' if check.action.startswith("s3:") else check.resource
