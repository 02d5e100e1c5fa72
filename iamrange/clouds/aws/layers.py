"""What each layer of policies answers about a request, asked alone.

- Every layer is asked, also after one has refused.
- An implicit deny carries the statements that named action, resource and principal and failed on a
  condition (`near_misses`); one by absence carries none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.policy import ALLOWS, DENIES, NOT_EVALUABLE, CompiledPolicy
from iamrange.clouds.aws.principals import STRENGTH
from iamrange.core.decision import Effect, LayerAnswer, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iamrange.clouds.aws.facts import Facts

NO_STATEMENT = "no-statement-allows"

_ABSENCE: dict[str, LayerAnswer] = {}


def granted_by(layer: str, policies: Iterable[CompiledPolicy], facts: Facts) -> LayerAnswer:
    """Answer for policies without principals: a Deny wins, else any Allow, else silence."""
    candidates = [policy.candidates(facts.action) for policy in policies]
    for denies, _ in candidates:
        for statement in denies:
            applies = statement.applies(facts)
            if applies:
                return statement.answer(layer, DENIES)
            if applies is None:
                return statement.refuses_unevaluated(layer, facts)
    for _, allows in candidates:
        for statement in allows:
            if statement.applies(facts):
                return statement.answer(layer, ALLOWS)
    misses = [
        Statement(statement.label.policy, statement.label.statement, keys)
        for _, allows in candidates
        for statement in allows
        if (keys := statement.failed_keys(facts))
    ]
    return _silence(layer, misses)


def granted_on_resource(layer: str, policy: CompiledPolicy, facts: Facts) -> LayerAnswer:
    """Answer for a policy with principals; the reason of an allow says how it names the caller."""
    denies, allows = policy.candidates(facts.action)
    for statement in denies:
        named = statement.names(facts)
        if named is None:
            continue
        applies = statement.applies(facts)
        if applies and named != NOT_EVALUABLE:
            return statement.answer(layer, DENIES)
        if applies is not False:
            return statement.refuses_unevaluated(layer, facts)
    best: LayerAnswer | None = None
    misses: list[Statement] = []
    for statement in allows:
        named = statement.names(facts)
        if named is None:
            continue
        if statement.applies(facts):
            if best is None or STRENGTH.index(named) < STRENGTH.index(best.reason):
                best = statement.answer(layer, named)
        elif best is None and (keys := statement.failed_keys(facts)):
            misses.append(Statement(statement.label.policy, statement.label.statement, keys))
    return best or _silence(layer, misses)


def granted_at_every_level(
    layer: str, levels: Sequence[Sequence[CompiledPolicy]], facts: Facts
) -> LayerAnswer:
    """Answer for organisation policies: a Deny anywhere wins, and every level must allow."""
    answers = [granted_by(layer, level, facts) for level in levels]
    refused: LayerAnswer | None = None
    for number, answer in enumerate(answers):
        if answer.effect is Effect.DENY:
            return answer
        if refused is None and answer.effect is Effect.IMPLICIT_DENY:
            refused = LayerAnswer(
                layer,
                answer.effect,
                answer.reason,
                near_misses=answer.near_misses,
                detail=f"level {number} below the root" if number else "level of the root",
            )
    return refused or answers[-1]


def _silence(layer: str, misses: list[Statement]) -> LayerAnswer:
    if misses:
        return LayerAnswer(layer, Effect.IMPLICIT_DENY, NO_STATEMENT, near_misses=tuple(misses))
    known = _ABSENCE.get(layer)
    if known is None:
        known = _ABSENCE[layer] = LayerAnswer(layer, Effect.IMPLICIT_DENY, NO_STATEMENT)
    return known
