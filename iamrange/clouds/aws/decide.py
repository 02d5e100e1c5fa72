"""The AWS decision: what every layer answers, and what follows from it.

- Pure: a request and policies in, a decision out; no clock, no store, no network.
- `combine` reads nothing but the layers' answers and who asks for what, so that a layer which is
  made to lie changes the outcome as it would in a cloud that lacked it.
- The rules are those of the IAM user guide, "Policy evaluation logic"; each is named where applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.combine import combine
from iamrange.clouds.aws.facts import Facts
from iamrange.clouds.aws.layers import granted_at_every_level, granted_by, granted_on_resource
from iamrange.clouds.aws.policy import CompiledPolicy, MalformedPolicy, PolicyKind, compile_policy
from iamrange.clouds.aws.principals import ACCOUNT, GRANT
from iamrange.clouds.aws.request import Principal, Request
from iamrange.core.decision import Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "LAYERS",
    "CompiledPolicy",
    "Decision",
    "Evaluation",
    "MalformedPolicy",
    "PolicyKind",
    "PolicySet",
    "Principal",
    "Request",
    "combine",
    "compile_policy",
    "decide",
    "evaluate",
]

LAYERS = (
    "scp",
    "rcp",
    "identity",
    "permissions-boundary",
    "session-policy",
    "resource",
    "trust",
)
"""The layers that `evaluate` answers, in this order."""

RCP_SERVICES = frozenset(
    {
        "aoss",
        "cognito-identity",
        "cognito-idp",
        "dynamodb",
        "ecr",
        "kms",
        "logs",
        "s3",
        "secretsmanager",
        "sqs",
        "sts",
    }
)
"""The services whose resources RCPs bind (Organizations user guide, "RCPs")."""

RCP_EXEMPT_ACTIONS = frozenset({"kms:retiregrant"})
"""Actions that no RCP restricts (same page)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """All the policies that may have a say in one request.

    - `identity`: of the user and its groups, or of the role (inline and managed).
    - `session`: None if the session was made without a session policy; () if it was made with
      nothing at all (GetFederationToken without policies), which allows nothing.
    - `scps`: one inner tuple a level, root first, account last, of the *principal's* account;
      () outside an organisation and in the management account. `rcps` the same for the
      *resource's* account.
    - `resource`: the policy of the secret, bucket, key, table, topic; None if it has none.
    - `trust`: the trust policy of the role, on sts calls only.
    - `grants`: what a KMS key's grants allow; None when it has none.
    - `somebody_else`: the resource's policy means an earlier bearer of the principal's name.
    """

    identity: tuple[CompiledPolicy, ...] = ()
    boundary: CompiledPolicy | None = None
    session: tuple[CompiledPolicy, ...] | None = None
    resource: CompiledPolicy | None = None
    scps: tuple[tuple[CompiledPolicy, ...], ...] = ()
    rcps: tuple[tuple[CompiledPolicy, ...], ...] = ()
    trust: CompiledPolicy | None = None
    grants: CompiledPolicy | None = None
    somebody_else: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answers of all layers, and what could not be evaluated on the way."""

    layers: tuple[LayerAnswer, ...]
    unevaluated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What the engine decides, with the answers it follows from."""

    outcome: Outcome
    reason: str
    layers: tuple[LayerAnswer, ...]
    unevaluated: tuple[str, ...] = ()


def _no_say(layer: str, reason: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, reason)


_NO_SCP = _no_say("scp", "no-organization-policy")
_SCP_EXEMPT = _no_say("scp", "principal-exempt")
_NO_RCP = _no_say("rcp", "no-organization-policy")
_RCP_EXEMPT = _no_say("rcp", "principal-exempt")
_RCP_OTHER = _no_say("rcp", "resource-exempt")
_NO_IDENTITY = _no_say("identity", "no-identity-policies")
_ROOT = LayerAnswer("identity", Effect.ALLOW, "account-root")
_NO_BOUNDARY = _no_say("permissions-boundary", "no-boundary")
_NO_SESSION = _no_say("session-policy", "no-session-policy")
_NO_RESOURCE = _no_say("resource", "no-resource-policy")
_NO_TRUST = _no_say("trust", "no-trust-policy")

_WITHOUT_IDENTITY = frozenset({"service", "web-identity", "anonymous"})


def evaluate(request: Request, policies: PolicySet) -> Evaluation:
    """Ask every layer."""
    facts = Facts(request, bounded=policies.boundary is not None)
    principal = request.principal
    kind = principal.kind
    foreign = kind in _WITHOUT_IDENTITY
    layers = (
        _scp(facts, policies, foreign=foreign),
        _rcp(facts, policies),
        *_of_the_principal(facts, policies),
        _on_resource(facts, policies),
        _NO_TRUST
        if policies.trust is None
        else granted_on_resource("trust", policies.trust, facts),
    )
    return Evaluation(layers, tuple(dict.fromkeys(facts.unevaluated)))


def _scp(facts: Facts, policies: PolicySet, *, foreign: bool) -> LayerAnswer:
    """SCPs bind the users, roles and root users of member accounts, nobody else."""
    if not policies.scps:
        return _NO_SCP
    if foreign or facts.principal.service_linked:
        return _SCP_EXEMPT
    return granted_at_every_level("scp", policies.scps, facts)


def _rcp(facts: Facts, policies: PolicySet) -> LayerAnswer:
    """RCPs bind whoever asks for a resource, services too, but no service-linked role."""
    if not policies.rcps:
        return _NO_RCP
    if facts.principal.service_linked:
        return _RCP_EXEMPT
    service = facts.action.partition(":")[0]
    outside = service not in RCP_SERVICES or facts.action in RCP_EXEMPT_ACTIONS
    if outside or facts.request.aws_owned_resource:
        return _RCP_OTHER
    return granted_at_every_level("rcp", policies.rcps, facts)


def _on_resource(facts: Facts, policies: PolicySet) -> LayerAnswer:
    """Answer for the resource's own policy, and for the grants that add to it.

    A grant allows by itself, also in another account; a denial in the policy beats it
    (https://docs.aws.amazon.com/kms/latest/developerguide/grants.html). A grant to a whole account
    leaves the decision to that account, as a policy's statement would.
    """
    answer = _NO_RESOURCE
    if policies.resource is not None:
        meant = _unnamed(facts) if policies.somebody_else else facts
        answer = granted_on_resource("resource", policies.resource, meant)
        if meant is not facts:
            facts.unevaluated += meant.unevaluated
    if policies.grants is None or answer.effect is Effect.DENY:
        return answer
    grant = granted_on_resource("resource", policies.grants, facts)
    if grant.effect is not Effect.ALLOW:
        return answer
    if grant.reason == ACCOUNT:
        return answer if answer.effect is Effect.ALLOW else grant
    return replace(grant, reason=GRANT)


def _unnamed(facts: Facts) -> Facts:
    """Return the facts as for a principal whose ARN nobody has named."""
    principal, new = facts.principal, "(made anew)"
    named = replace(
        principal,
        arn=f"{principal.arn}{new}",
        role_arn=principal.role_arn and f"{principal.role_arn}{new}",
        user_arn=principal.user_arn and f"{principal.user_arn}{new}",
    )
    return Facts(replace(facts.request, principal=named), bounded=facts.bounded)


def _of_the_principal(
    facts: Facts, policies: PolicySet
) -> tuple[LayerAnswer, LayerAnswer, LayerAnswer]:
    """Answer for identity policies, boundary and session policies.

    An account's root user has none of them and may do all in its own account.
    """
    kind = facts.principal.kind
    if kind in _WITHOUT_IDENTITY:
        return _NO_IDENTITY, _NO_BOUNDARY, _NO_SESSION
    if kind == "root":
        return _ROOT, _NO_BOUNDARY, _NO_SESSION
    return (
        granted_by("identity", policies.identity, facts),
        _NO_BOUNDARY
        if policies.boundary is None
        else granted_by("permissions-boundary", (policies.boundary,), facts),
        _NO_SESSION
        if policies.session is None
        else granted_by("session-policy", policies.session, facts),
    )


def decide(
    request: Request,
    policies: PolicySet,
    context: Mapping[str, str | Sequence[str]] | None = None,
) -> Decision:
    """Evaluate and combine; `context`, if given, takes the place of the request's own."""
    if context is not None:
        request = replace(request, context=context)
    evaluation = evaluate(request, policies)
    outcome, reason = combine(evaluation.layers, request)
    return Decision(outcome, reason, evaluation.layers, evaluation.unevaluated)
