"""What STS asks of a caller before any policy: who may call an operation at all, and with what.

These are rules of the service: no policy can grant what they refuse. A record is written when one
of them refuses; otherwise the authoriser's record is the decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.mfa import mfa_fault, presents_mfa
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, IamStore
from iamrange.core.decision import Effect, LayerAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.clouds.aws.judge import Judge

POINT: Final = "aws.authorize"

# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
_LONG_TERM_ONLY: Final = frozenset({"GetSessionToken", "GetFederationToken"})
_WITH_SESSION_OF: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset({"AssumeRole", "GetCallerIdentity"}),
    "root": frozenset({"GetCallerIdentity"}),
    "federated": frozenset({"GetCallerIdentity"}),
}
_WORDS: Final = {
    "root-may-not-assume": "Roles may not be assumed by root accounts.",
    "source-identity-changed": "The source identity of a session cannot be changed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRules:
    """Judges the caller of a signed STS call."""

    store: IamStore
    judge: Judge

    def check(self, request: AwsRequest, caller: Caller) -> AwsError | None:
        """Return the refusal of the caller, or None."""
        if caller.principal.kind == "anonymous":
            return AwsError(
                code="MissingAuthenticationToken",
                message="Request is missing Authentication Token",
                status=403,
            )
        layers = tuple(self._layers(request, caller))
        if not layers:
            return None
        refusal = self.judge.decide(
            POINT,
            request,
            layers,
            action=f"sts:{request.operation}",
            resource=str(request.parameters.get("RoleArn", "*")),
            principal=caller.principal.arn,
            account=caller.account or "",
        )
        if refusal is None:
            return None
        message = _WORDS.get(refusal.reason) or refusal.detail or refusal.reason
        return AwsError(code="AccessDenied", message=message, status=403)

    def _layers(self, request: AwsRequest, caller: Caller) -> Iterator[LayerAnswer]:
        """Yield what speaks against the caller."""
        operation, session = request.operation, caller.session
        if operation == "AssumeRole" and caller.principal.kind == "root":
            yield LayerAnswer("caller", Effect.DENY, "root-may-not-assume")
        elif session is not None and not _may_call(caller, operation):
            detail = f"Cannot call {operation} with session credentials"
            yield LayerAnswer("caller", Effect.DENY, "session-may-not-call", detail=detail)
        if presents_mfa(request) and (fault := mfa_fault(request, caller, self.store)):
            yield LayerAnswer("mfa", Effect.DENY, "mfa-failed", detail=fault)
        # A source identity stays for the whole chain
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html
        asked = request.parameters.get("SourceIdentity")
        held = session.source_identity if session else None
        if asked is not None and held is not None and asked != held:
            yield LayerAnswer("source-identity", Effect.DENY, "source-identity-changed")


def _may_call(caller: Caller, operation: str) -> bool:
    """Tell whether the kind of session that the caller has may call this at all."""
    allowed = _WITH_SESSION_OF.get(caller.principal.kind)
    return operation not in _LONG_TERM_ONLY and (allowed is None or operation in allowed)
