"""From the answers of the layers to allow or deny: IAM's evaluation logic and nothing else.

- The reason of an allow of the `resource` and `trust` layers says how the caller was named; that
  decides what else must allow. A KMS grant allows by itself.
- A layer that is not known here and refuses, refuses the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.policy import DENIES, NOT_EVALUABLE
from iamrange.clouds.aws.principals import ACCOUNT, GRANT, PRINCIPAL_ARN
from iamrange.core.decision import Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.request import Request

_LIMITS = ("permissions-boundary", "session-policy")
_WEIGHED = ("identity", *_LIMITS, "resource", "trust")

_DELEGATES = (ACCOUNT, DENIES, NOT_EVALUABLE)
"""The allows that leave the decision to the principal's own policies.

Naming the account delegates to them. The other two are denials that were made into allows on the
way here: a cloud that overlooks a denial does not grant for that.
"""

Verdict = tuple[Outcome, str]


def combine(layers: tuple[LayerAnswer, ...], request: Request) -> Verdict:
    """Combine the layers; the reason names the layer that decides and what it did.

    Reasons: `LAYER-denies` (an explicit deny), `LAYER-does-not-allow` (silence where a permission
    was needed), `LAYER-allows`, `account-root-allows`, `root-may-not-assume-roles`.
    """
    for layer in layers:
        if layer.effect is Effect.DENY:
            return _deny(f"{layer.layer}-denies")
    for layer in layers:
        if layer.effect is Effect.IMPLICIT_DENY and layer.layer not in _WEIGHED:
            return _deny(f"{layer.layer}-does-not-allow")
    answers = {layer.layer: layer for layer in layers}
    return _weigh(answers, request)


def _weigh(answers: Mapping[str, LayerAnswer], request: Request) -> Verdict:
    grantor = _grantor(answers)
    kind = request.principal.kind
    if kind in ("anonymous", "service", "web-identity"):
        return _side_of_resource(grantor)
    if kind == "root":
        return _root(grantor, request)
    if request.same_account:
        return _within_account(answers, grantor, request)
    if grantor is not None and grantor.reason == GRANT and grantor.effect is Effect.ALLOW:
        return _granted(answers, grantor)
    # Both accounts must allow ("Cross-account policy evaluation logic").
    mine = _side_of_principal(answers)
    return mine if mine[0] is Outcome.DENY else _side_of_resource(grantor)


def _within_account(
    answers: Mapping[str, LayerAnswer], grantor: LayerAnswer | None, request: Request
) -> Verdict:
    """Let either side allow, within the limits that depend on how the resource names the caller."""
    if grantor is None:
        return _side_of_principal(answers)
    if grantor.effect is not Effect.ALLOW:
        if _must_allow(grantor, request):
            return _side_of_resource(grantor)
        return _side_of_principal(answers)
    if grantor.reason in _DELEGATES:
        return _side_of_principal(answers)
    if grantor.reason == GRANT:
        return _granted(answers, grantor)
    session = request.principal.kind in ("assumed-role", "federated")
    if grantor.reason == PRINCIPAL_ARN and session:
        # Named by its role (or by the user behind a federated session), a session stays within
        # boundary and session policy; a user's own ARN, a session's own ARN and `*` do not
        # ("Policy evaluation for requests within a single account", the principal types).
        for name in _LIMITS:
            if _refuses(answers, name):
                return _deny(f"{name}-does-not-allow")
    return _side_of_resource(grantor)


def _granted(answers: Mapping[str, LayerAnswer], grantor: LayerAnswer) -> Verdict:
    """Let a KMS grant allow without an identity policy, in any account, within the limits."""
    for name in _LIMITS:
        if _refuses(answers, name):
            return _deny(f"{name}-does-not-allow")
    return _side_of_resource(grantor)


def _grantor(answers: Mapping[str, LayerAnswer]) -> LayerAnswer | None:
    """Return the answer from the resource's side: the role's trust policy or the resource's."""
    for name in ("trust", "resource"):
        answer = answers.get(name)
        if answer is not None and answer.effect is not Effect.NOT_APPLICABLE:
            return answer
    return None


def _must_allow(grantor: LayerAnswer, request: Request) -> bool:
    """Tell whether identity policies alone are not enough: for roles, and for KMS keys.

    KMS developer guide, "Key policies": unless the key policy allows it, no identity policy counts.
    """
    return grantor.layer == "trust" or request.action.lower().startswith("kms:")


def _root(grantor: LayerAnswer | None, request: Request) -> Verdict:
    if grantor is not None and grantor.layer == "trust":
        return _deny("root-may-not-assume-roles")
    if not request.same_account:
        return _side_of_resource(grantor)
    if grantor is not None and _must_allow(grantor, request):
        return _side_of_resource(grantor)
    return Outcome.ALLOW, "account-root-allows"


def _side_of_principal(answers: Mapping[str, LayerAnswer]) -> Verdict:
    """Identity policies must allow, boundary and session policies must not be silent."""
    identity = answers.get("identity")
    if identity is None or identity.effect is not Effect.ALLOW:
        return _deny("identity-does-not-allow")
    for name in _LIMITS:
        if _refuses(answers, name):
            return _deny(f"{name}-does-not-allow")
    return Outcome.ALLOW, "identity-allows"


def _side_of_resource(grantor: LayerAnswer | None) -> Verdict:
    if grantor is None:
        return _deny("resource-does-not-allow")
    if grantor.effect is not Effect.ALLOW:
        return _deny(f"{grantor.layer}-does-not-allow")
    return Outcome.ALLOW, f"{grantor.layer}-allows"


def _refuses(answers: Mapping[str, LayerAnswer], name: str) -> bool:
    answer = answers.get(name)
    return answer is not None and answer.refuses


def _deny(reason: str) -> Verdict:
    return Outcome.DENY, reason
