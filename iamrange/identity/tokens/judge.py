"""One decision: the layers pass the tamper seam, are combined, and are written down once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink, Tamper
    from iamrange.identity.tokens.http import HttpRequest

_SHOWN = 256


@dataclass(slots=True, kw_only=True)
class Judge:
    """Combines layers and records the outcome; the first layer that refuses gives the answer."""

    clock: Clock
    records: RecordSink
    tamper: Tamper

    def combine(self, point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        """Return the layers as this service answers them."""
        return self.tamper(point, layers)

    def record(  # noqa: PLR0913 - one argument a part of the record
        self,
        point: str,
        request: HttpRequest,
        layers: tuple[LayerAnswer, ...],
        *,
        request_id: str,
        action: str,
        outcome: Outcome,
        reason: str,
        resource: str = "",
        principal: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """Write the one record of a decision."""
        agents = request.header(b"user-agent")
        self.records(
            DecisionRecord(
                request_id=request_id,
                time=self.clock.now(),
                point=point,
                action=action,
                resource=resource[:_SHOWN],
                principal=principal[:_SHOWN],
                outcome=outcome,
                reason=reason,
                layers=layers,
                source_ip=request.peer,
                user_agent=agents[0][:_SHOWN] if agents else "",
                facts=facts or {},
            )
        )


def unasked(layer: str, reason: str = "not-evaluated") -> LayerAnswer:
    """Answer for a layer that has nothing to look at, or no say."""
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, reason)


def first_refusal(layers: tuple[LayerAnswer, ...]) -> LayerAnswer | None:
    """Return the layer that gives the answer, or None if all let the request through."""
    return next((layer for layer in layers if layer.refuses), None)
