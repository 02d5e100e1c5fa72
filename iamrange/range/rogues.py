"""Rogue clouds: what the platform guarantees, taken away; and clouds that attack the harness.

- A rogue is a tamper: it changes the answers of layers before the decision point combines them.
- Those named `Unsafe...` stand for published faults of verifiers; the rest try to fool the range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.core.controls import Invariant, Refusal
from iamrange.core.decision import Effect, LayerAnswer
from iamrange.range.catalogue import GUARDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.decision import Tamper

LACKING = "lacking"
ROGUES: Mapping[str, str] = {
    name: f"{__name__}:{attribute}"
    for name, attribute in (
        (LACKING, "lacking"),
        ("AllowsAll", "allows_all"),
        ("DeniesAll", "denies_all"),
        ("DeniesForAnotherReason", "denies_for_another_reason"),
        ("Crashes", "crashes"),
    )
}
"""Every rogue that a world may be turned into: name -> import path."""


def lacking(guard: str) -> Tamper:
    """Return the cloud that lacks one control or invariant, and nothing else.

    Raises:
        KeyError: there is no such guard.
    """
    found = GUARDS[guard]
    missing: tuple[Refusal, ...] = found.lacks if isinstance(found, Invariant) else (found.refusal,)

    def tamper(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        return tuple(
            _let_through(answer)
            if any(refusal.is_answer(point, answer) for refusal in missing)
            else answer
            for answer in layers
        )

    return tamper


def allows_all(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
    """Let everything through."""
    del point
    return tuple(_let_through(answer) if answer.refuses else answer for answer in layers)


def denies_all(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
    """Refuse everything, at every layer."""
    del point
    return tuple(replace(answer, effect=Effect.DENY, reason="refused") for answer in layers)


def denies_for_another_reason(
    point: str, layers: tuple[LayerAnswer, ...]
) -> tuple[LayerAnswer, ...]:
    """Refuse what an honest cloud refuses, and say something else about it."""
    del point
    return tuple(
        replace(answer, effect=Effect.DENY, reason="bad-weather", decided_by=None, near_misses=())
        if answer.refuses
        else answer
        for answer in layers
    )


class RogueCrashError(Exception):
    """What a cloud that crashes raises."""


def crashes(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
    """Break instead of deciding, wherever an honest cloud would refuse.

    Raises:
        RogueCrashError: an honest cloud would have refused.
    """
    if any(answer.refuses for answer in layers):
        raise RogueCrashError(point)
    return layers


def _let_through(answer: LayerAnswer) -> LayerAnswer:
    return replace(
        answer, effect=Effect.ALLOW, reason="let-through", decided_by=None, near_misses=()
    )
