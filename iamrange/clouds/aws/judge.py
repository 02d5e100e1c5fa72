"""One decision point: tamper, combine, record, answer.

The combination here is the plainest there is: every layer must let the request through, and the
first that does not is the one whose answer the client gets. Points that combine otherwise
(`aws.authorize`) have their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.core.decision import (
    DecisionRecord,
    LayerAnswer,
    Outcome,
    RecordSink,
    Tamper,
    honest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest


def first_refusal(layers: tuple[LayerAnswer, ...]) -> LayerAnswer | None:
    """Return the first layer that refuses, or None when all let the request through."""
    return next((layer for layer in layers if layer.refuses), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Where decisions of conjunctive points are made and recorded."""

    records: RecordSink
    tamper: Tamper = honest

    def decide(  # noqa: PLR0913 - the parts of a record, by name
        self,
        point: str,
        request: AwsRequest,
        layers: tuple[LayerAnswer, ...],
        *,
        action: str,
        resource: str,
        principal: str,
        account: str,
        facts: Mapping[str, str] | None = None,
    ) -> LayerAnswer | None:
        """Record the decision; return the layer that refused, or None.

        Raises:
            ValueError: there is no layer: a decision on nothing would always allow.
        """
        if not layers:
            raise ValueError(f"point {point!r}: no layer answered")
        answers = self.tamper(point, layers)
        refusal = first_refusal(answers)
        self.records(
            DecisionRecord(
                request_id=request.request_id,
                time=request.now,
                point=point,
                action=action,
                resource=resource,
                principal=principal,
                outcome=Outcome.DENY if refusal else Outcome.ALLOW,
                reason=refusal.reason if refusal else "allowed",
                layers=answers,
                source_ip=request.source_ip,
                user_agent=request.user_agent,
                account=account,
                facts=facts or {},
            )
        )
        return refusal
