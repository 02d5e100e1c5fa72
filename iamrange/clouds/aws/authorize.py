"""Decide one permission: the decision point `aws.authorize`.

- Policies of every layer are read at this moment, for this request.
- The pure engine answers for each layer; the tampered answers are combined, recorded, obeyed.
- Refusals read as AWS writes them: who, what, on what, and because of which kind of policy.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from iamrange.clouds.aws.context import request_context, resource_context, via_service
from iamrange.clouds.aws.decide import PolicySet, combine, evaluate
from iamrange.clouds.aws.explain import explanation, refusal_message
from iamrange.clouds.aws.named_principals import NamedPrincipals
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
    from iamrange.clouds.aws.plan import Unmapped
    from iamrange.core.decision import RecordSink, Tamper

POINT = "aws.authorize"

Unmappable = Literal["deny", "allow"]
"""What becomes of an operation that no rule puts into permissions."""


class PolicyAuthorizer:
    """Answers each check from the policies as they stand."""

    def __init__(  # noqa: PLR0913 - each is one thing that a decision is made of
        self,
        *,
        store: IamStore,
        organization: OrganizationLevels,
        records: RecordSink,
        tamper: Tamper,
        unmapped: Unmappable = "deny",
        explain: bool = False,
    ) -> None:
        """Take the stores that policies come from, and where records go.

        `unmapped` is what becomes of operations that no rule puts into permissions; `explain` adds
        policy, statement and condition to the messages of refusals.
        """
        self._allow_unmapped = unmapped == "allow"
        self._explain = explain
        self.unmapped: set[str] = set()
        self.principals = NamedPrincipals(store)
        self._store = store
        self._organization = organization
        self._records = records
        self._tamper = tamper

    def authorize(self, check: Check, request: AwsRequest, caller: Caller) -> AwsError | None:
        """Return None when the caller may, else the AccessDenied error to answer with."""
        caller = check.caller or caller
        asked = Request(
            action=check.action,
            resource=check.resource,
            principal=caller.principal,
            resource_account=check.resource_account,
            context=self._context(check, request, caller),
            aws_owned_resource=check.aws_owned,
            unknown=check.unknown,
        )
        evaluation = evaluate(asked, self._policies(check, caller))
        layers = self._tamper(POINT, evaluation.layers)
        outcome, reason = combine(layers, asked)
        self._record(check, request, caller, (outcome, reason, layers, evaluation.unevaluated))
        if outcome is Outcome.ALLOW:
            return None
        message = self._message(check, caller, reason, layers)
        return refusal("access-denied", request.service, request.protocol, message)

    def judge_unmapped(
        self, unmapped: Unmapped, request: AwsRequest, caller: Caller
    ) -> AwsError | None:
        """Answer for an operation that no rule puts into permissions, and record and list it.

        It is refused, unless the cloud was made to let such operations pass. An anonymous call, and
        a request that an existing rule cannot read, are refused even then.
        """
        action, why = f"{request.service}:{request.operation}", unmapped.why
        self.unmapped.add(action)
        passes = self._allow_unmapped and unmapped.whole and caller.account is not None
        layer = LayerAnswer(
            layer="upstream-mapping",
            effect=Effect.NOT_APPLICABLE if passes else Effect.DENY,
            reason="operation-not-mapped",
            detail=why,
        )
        self._records(
            DecisionRecord(
                request_id=request.request_id,
                time=request.now,
                point=POINT,
                action=action,
                resource="*",
                principal=caller.principal.arn,
                outcome=Outcome.ALLOW if passes else Outcome.DENY,
                reason="operation-not-mapped",
                layers=(layer,),
                source_ip=request.source_ip,
                user_agent=request.user_agent,
                account=caller.account or "",
                unevaluated=(action,),
            )
        )
        if passes:
            return None
        message = f"iamrange cannot decide {action}, so it is denied: {why}"
        return refusal("access-denied", request.service, request.protocol, message)

    def _message(
        self, check: Check, caller: Caller, reason: str, layers: tuple[LayerAnswer, ...]
    ) -> str:
        """Write the refusal in the words of AWS; on request, go on with ours."""
        arn = caller.principal.arn
        if caller.principal.kind == "anonymous":
            message = "Access Denied"
        else:
            related = self._related(caller.account, check.resource_account)
            message = refusal_message(arn, check, reason, layers, related=related)
        return f"{message} [{explanation(layers)}]" if self._explain else message

    def _related(self, one: str | None, other: str | None) -> bool:
        """Tell whether two accounts are one, or of one organisation."""
        if one is None or other is None or one == other:
            return True
        organization = self._organization.organization_id(one)
        return organization is not None and organization == self._organization.organization_id(
            other
        )

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
        resource = check.resource_policy
        return PolicySet(
            identity=self._store.identity_policies(arn),
            boundary=self._store.boundary(arn),
            session=session.session_policies if session else None,
            resource=resource,
            somebody_else=resource is not None
            and self.principals.somebody_else(resource.name, principal),
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
