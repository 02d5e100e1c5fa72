"""How long a role session may last: the role's own maximum, and one hour along a chain.

Asked after the trust policy, as STS does: who may not assume the role learns nothing of its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.model import AwsError, AwsRequest, RoleRecord
from iamrange.core.decision import Effect, LayerAnswer

if TYPE_CHECKING:
    from iamrange.clouds.aws.judge import Judge

POINT: Final = "aws.limits"
DEFAULT_DURATION: Final = 3600
CHAINED_LIMIT: Final = 3600

_MESSAGES: Final = {
    "exceeds-role-maximum": (
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    ),
    "exceeds-chained-limit": (
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
        "role chaining"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Judges the duration of role sessions."""

    judge: Judge

    def check(
        self, request: AwsRequest, role: RoleRecord, *, principal: str, chained: bool
    ) -> AwsError | None:
        """Return the refusal of the requested duration, or None."""
        duration = request.parameters.get("DurationSeconds", DEFAULT_DURATION)
        layers = (
            _answer(
                "role-chaining",
                "exceeds-chained-limit",
                applies=chained,
                holds=duration <= CHAINED_LIMIT,
            ),
            _answer(
                "role-maximum",
                "exceeds-role-maximum",
                applies=True,
                holds=duration <= role.max_session_duration,
            ),
        )
        refusal = self.judge.decide(
            POINT,
            request,
            layers,
            action=f"sts:{request.operation}",
            resource=role.arn,
            principal=principal,
            account=role.account,
            facts={"duration": str(duration)},
        )
        if refusal is None:
            return None
        message = _MESSAGES.get(refusal.reason, refusal.reason)
        return AwsError(code="ValidationError", message=message, status=400)


def _answer(layer: str, reason: str, *, applies: bool, holds: bool) -> LayerAnswer:
    if not applies:
        return LayerAnswer(layer, Effect.NOT_APPLICABLE, "not-applicable")
    if holds:
        return LayerAnswer(layer, Effect.ALLOW, "within-limit")
    return LayerAnswer(layer, Effect.DENY, reason)
