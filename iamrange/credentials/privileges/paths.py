"""Ways from what a principal may to more, each step decided by the engine that decides requests.

- A way counts when every step is allowed, given boundary, SCP, RCP, resource and trust policies,
  and what it leads to is more than the principal has: both are decided, neither is guessed.
- What it gains is counted in powers over things that are there, so a way into nothing is no way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.arn import action_matcher
from iamrange.clouds.aws.documents import PolicyKind, parse_document
from iamrange.core.decision import Effect, Outcome
from iamrange.credentials.privileges.escalations import (
    ESCALATIONS,
    POWERS,
    Escalation,
    Gain,
    Step,
    Target,
)
from iamrange.credentials.privileges.estate import (
    EVERYTHING,
    Document,
    allowed,
    ask,
    ask_federated,
    context_of,
    rewritten,
    session_arn,
)
from iamrange.credentials.privileges.witness import witnesses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iamrange.clouds.aws.decide import Decision
    from iamrange.clouds.aws.documents import ParsedStatement
    from iamrange.core.decision import Statement
    from iamrange.credentials.privileges.estate import Context, Estate, Identity

Power = tuple[str, str]
"""An action and a resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One step that the decider allows: the request, and the statement behind it."""

    action: str
    resource: str
    reason: str
    statement: Statement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way that is open: its steps as they were decided, and what is gained by it."""

    escalation: Escalation
    target: str
    steps: tuple[Taken, ...]
    gains: tuple[Power, ...]


def open_paths(estate: Estate, who: Identity) -> Iterator[Path]:
    """Yield the ways that are open to a principal and give it something that it has not."""
    powers = frozenset(_powers(estate, who))
    after: dict[tuple[Gain, str], tuple[Power, ...]] = {}
    for escalation in ESCALATIONS:
        for target in _targets(escalation, estate, who):
            steps = tuple(_taken(estate, who, step, target) for step in escalation.steps)
            done = tuple(step for step in steps if step is not None)
            if len(done) < len(steps):
                continue
            key = (escalation.gain, target)
            if key not in after:
                reached = _reached(escalation.gain, estate, who, target)
                after[key] = tuple(p for p in _powers(*reached) if p not in powers)
            if after[key]:
                yield Path(escalation=escalation, target=target, steps=done, gains=after[key])


def may_assume(estate: Estate, who: Identity) -> Iterator[tuple[str, Decision]]:
    """Yield the roles that a principal may become, with the decision that says so."""
    for role in estate.roles():
        if role.arn == who.arn:
            continue
        decision = first_allowed(estate, who, "sts:AssumeRole", role.arn)
        if decision is not None:
            yield role.arn, decision


def first_allowed(estate: Estate, who: Identity, action: str, resource: str) -> Decision | None:
    """Return the first decision that allows, over the contexts that statements ask for."""
    for context in contexts(estate, who, action, resource):
        decision = ask(estate, who, action, resource, context)
        if decision.outcome is Outcome.ALLOW:
            return decision
    return None


def contexts(estate: Estate, who: Identity, action: str, resource: str) -> Iterator[Context]:
    """Yield contexts that conditions on this request may ask for, alone and then all together."""
    known = context_of(estate, who, resource)
    documents = [
        *((d, PolicyKind.IDENTITY) for d in who.policies),
        *(((who.boundary, PolicyKind.BOUNDARY),) if who.boundary else ()),
    ]
    target = estate.identities.get(resource)
    if target is not None and target.trust is not None:
        documents.append((target.trust, PolicyKind.TRUST))
    carried = estate.resources.get(resource)
    if carried is not None and carried.policy is not None:
        documents.append((carried.policy, PolicyKind.RESOURCE))
    asking = [
        statement
        for document, kind in documents
        for statement in parse_document(document.text, kind).statements
        if statement.allow and statement.conditions and _names(statement, action)
    ]
    together: Context = {}
    for context in witnesses(asking, known):
        yield context
        together = {**context, **together}
    if together:
        yield together


def _names(statement: ParsedStatement, action: str) -> bool:
    named = any(action_matcher(text)(action.lower()) for text in statement.actions)
    return named is not statement.not_action


def _targets(escalation: Escalation, estate: Estate, who: Identity) -> Iterable[str]:
    """Return what the way can lead to: names of roles, users, policies; the principal itself."""
    kinds = {step.on for step in escalation.steps}
    if Target.SELF in kinds:
        return (who.arn,)
    if Target.USER in kinds:
        return tuple(user.arn for user in estate.users() if user.account == who.account)
    if Target.OWN_POLICY in kinds:
        held = [*who.policies, *((who.boundary,) if who.boundary else ())]
        return tuple(d.name for d in held if d.name.startswith(f"arn:aws:iam::{who.account}:"))
    return tuple(
        role.arn
        for role in estate.roles()
        if role.arn != who.arn and (escalation.service is None or _runs(role, escalation.service))
    )


def _runs(role: Identity, service: str) -> bool:
    """Tell whether a service may run with a role: its trust policy names the service."""
    if role.trust is None:
        return False
    statements = parse_document(role.trust.text, PolicyKind.TRUST).statements
    return any(
        one.allow and one.principal is not None and service in one.principal.services
        for one in statements
    )


def _taken(estate: Estate, who: Identity, step: Step, target: str) -> Taken | None:
    """Return a step that is allowed, with what allowed it; None when it is refused."""
    for resource in _made(estate, who, step) if step.on is Target.NEW else (target,):
        decision = _decided(estate, who, step, resource)
        if decision is not None and decision.outcome is Outcome.ALLOW:
            return Taken(
                action=step.action,
                resource=resource,
                reason=decision.reason,
                statement=_behind(decision),
            )
    return None


def _decided(estate: Estate, who: Identity, step: Step, resource: str) -> Decision | None:
    if step.on is Target.FEDERATED:
        return ask_federated(estate, resource)
    if step.on is Target.REWRITTEN:
        # A trust policy that names the session itself needs nothing of the session's own policies.
        changed = rewritten(estate, resource, "AWS", session_arn(who), step.action)
        return first_allowed(changed, who, step.action, resource)
    return first_allowed(estate, who, step.action, resource)


def _behind(decision: Decision) -> Statement | None:
    """Return the statement that allowed: of the principal's own policies where one did."""
    allowing = [layer for layer in decision.layers if layer.effect is Effect.ALLOW]
    for name in ("identity", "resource", "trust"):
        for layer in allowing:
            if layer.layer == name and layer.decided_by is not None:
                return layer.decided_by
    return None


def _made(estate: Estate, who: Identity, step: Step) -> Iterator[str]:
    """Yield names for a thing that is made: what the principal's own statements name for it."""
    yield "*"
    for document in who.policies:
        for statement in parse_document(document.text, PolicyKind.IDENTITY).statements:
            for text in statement.resources or ():
                if text != "*" and "${" not in text:
                    yield text.replace("*", "x").replace("?", "x")
    prefix, _, _ = step.action.partition(":")
    place = f"{estate.region}:{who.account}"
    yield f"arn:aws:{prefix}:{place}:{_MADE.get(prefix, 'x')}"
    if prefix == "iam":
        yield f"arn:aws:iam::{who.account}:oidc-provider/issuer.example"


_MADE = {"lambda": "function:x", "ec2": "instance/x", "ecs": "task-definition/x:1"}


def _reached(gain: Gain, estate: Estate, who: Identity, target: str) -> tuple[Estate, Identity]:
    """Return who one is in the end, and the estate as it then is."""
    if gain is Gain.TARGET:
        return estate, estate.identities[target]
    changed = (
        replace(who, policies=(*who.policies, Document("inline:escalated", EVERYTHING)))
        if gain is Gain.ANYTHING
        else replace(who, boundary=None)
    )
    return estate.with_identity(changed), changed


def _powers(estate: Estate, who: Identity) -> Iterator[Power]:
    """Yield the powers over things that are there which an identity has, by the decider."""
    for action, kind in POWERS:
        for resource in _of_kind(estate, who, kind):
            if allowed(estate, who, action, resource):
                yield action, resource


def _of_kind(estate: Estate, who: Identity, kind: str) -> Iterable[str]:
    if kind == "role":
        return tuple(role.arn for role in estate.roles() if role.account == who.account)
    if kind == "user":
        return tuple(user.arn for user in estate.users() if user.account == who.account)
    if kind == "account":
        return ("*",)
    named = (r.arn for r in estate.resources.values() if r.known_as.startswith(f"{kind}:"))
    return tuple(f"{arn}/x" if kind == "bucket" else arn for arn in named)
