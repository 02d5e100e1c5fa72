"""Granted against used on Google Cloud: uses from decision records, findings by binding.

- A finding's policy is the resource whose allow policy it is, its statement the binding's role: as
  decision records name them.
- There is one layer that allows, so whatever was allowed was needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.clouds.gcp.authorize import POINT, Binding
from iamrange.core.decision import Effect, Outcome
from iamrange.credentials.privileges.gcp import GcpAgent, account_caller, ask_gcp, may
from iamrange.credentials.privileges.gcp_escalations import GCP_ESCALATIONS, GCP_POWERS
from iamrange.credentials.privileges.model import Finding, Kind, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from iamrange.core.decision import DecisionRecord
    from iamrange.credentials.privileges.gcp import GcpEstate, Held
    from iamrange.credentials.privileges.gcp_escalations import GcpEscalation
    from iamrange.credentials.privileges.model import Window

CLOUD = "gcp"
Power = tuple[str, str]


def uses_on_gcp(records: Iterable[DecisionRecord], agent: GcpAgent) -> tuple[Use, ...]:
    """Return what an agent used: `resource` is the one whose own policy was asked first."""
    found: dict[tuple[str, ...], Use] = {}
    for record in records:
        if record.point != POINT or record.outcome is not Outcome.ALLOW:
            continue
        if record.principal not in agent.members:
            continue
        allowing = (layer for layer in record.layers if layer.effect is Effect.ALLOW)
        by = next((layer.decided_by for layer in allowing), None)
        if by is None:
            continue
        resource = record.facts.get("policy_resource", record.resource)
        key = (record.principal, record.action, resource, by.policy, by.statement)
        known = found.get(key)
        found[key] = (
            replace(known, count=known.count + 1, last=max(known.last, record.time))
            if known is not None
            else Use(
                principal=record.principal,
                action=record.action,
                resource=resource,
                policy=by.policy,
                statement=by.statement,
                count=1,
                last=record.time,
            )
        )
    return tuple(sorted(found.values(), key=lambda use: (use.principal, use.action, use.resource)))


def findings_on_gcp(
    estate: GcpEstate, agent: GcpAgent, uses: Sequence[Use], window: Window
) -> Iterator[Finding]:
    """Yield the findings about the bindings that name an agent."""
    for held in estate.everything():
        for binding in held.bindings:
            if agent.named_by(binding):
                yield from _of_binding(estate, agent, held, binding, uses, window)
    yield from _escalations(estate, agent)


def _of_binding(  # noqa: PLR0913, PLR0917 - the parts of one judgement
    estate: GcpEstate,
    agent: GcpAgent,
    held: Held,
    binding: Binding,
    uses: Sequence[Use],
    window: Window,
) -> Iterator[Finding]:
    through = [use for use in uses if (use.policy, use.statement) == (held.name, binding.role)]
    used = {use.action for use in through}
    idle = sorted((estate.permissions(binding.role) or frozenset()) - used)

    def finding(kind: Kind, what: Iterable[str], detail: str, way_out: str) -> Finding:
        return Finding(
            kind=kind,
            cloud=CLOUD,
            agent=agent.name,
            principal=", ".join(agent.named_by(binding)),
            policy=held.name,
            statement=binding.role,
            what=tuple(what),
            detail=detail,
            way_out=way_out,
        )

    if idle:
        done = ", ".join(sorted(used)) or "none"
        detail = f"not seen in use; used: {done}; {window.brief}"
        way_out = "bind a role that holds what is used" if used else "take the binding away"
        yield finding(Kind.UNUSED_ACTION, idle, detail, way_out)
    sets = [m for m in agent.named_by(binding) if m not in agent.members]
    if sets:
        detail = "names more than this agent"
        yield finding(Kind.WILDCARD_RESOURCE, sets, detail, "name the one principal that needs it")
    if held.kind == "project":
        places = sorted({use.resource for use in through})
        below = {use.resource for use in through} - {held.name}
        if below or not through:
            detail = f"holds for all that is in the project; used: {', '.join(places) or 'nowhere'}"
            way_out = "bind on the resources that are used"
            yield finding(Kind.WILDCARD_RESOURCE, (held.name,), detail, way_out)
        spare = [
            one.name
            for one in estate.held.values()
            if one.name not in places
            and any(_same_kind(estate, one, use) for use in through)
            and any(may(estate, agent, action, one) for action in used)
        ]
        if spare:
            detail = f"{', '.join(sorted(used))} may be done there too; {window.brief}"
            way_out = "bind on the resources that are used"
            yield finding(Kind.UNUSED_RESOURCE, spare, detail, way_out)


def _same_kind(estate: GcpEstate, held: Held, use: Use) -> bool:
    other = estate.held.get(use.resource)
    return other is not None and other.kind == held.kind


def _escalations(estate: GcpEstate, agent: GcpAgent) -> Iterator[Finding]:
    has = set(_powers(estate, agent))
    for escalation in GCP_ESCALATIONS:
        if escalation.is_key and estate.keys_forbidden:
            continue
        ways = [
            (held, gains)
            for held in estate.everything()
            if held.kind == escalation.on
            and _open(estate, agent, escalation, held)
            and (gains := [p for p in _reached(estate, escalation, held) if p not in has])
        ]
        if ways:
            yield _escalation(estate, agent, escalation, ways)


def _open(estate: GcpEstate, agent: GcpAgent, escalation: GcpEscalation, held: Held) -> bool:
    on = all(may(estate, agent, permission, held) for permission in escalation.permissions)
    return on and all(may(estate, agent, p, estate.project) for p in escalation.in_project)


def _reached(estate: GcpEstate, escalation: GcpEscalation, held: Held) -> Iterator[Power]:
    if escalation.gives == "account":
        caller = account_caller(estate, held)
        yield from _powers(estate, GcpAgent(held.name, (caller,)))
        return
    wide = held.kind == "project"
    for permission, kind in GCP_POWERS:
        for one in estate.everything():
            if one.kind == kind and (wide or one.name == held.name):
                yield permission, one.name


def _powers(estate: GcpEstate, agent: GcpAgent) -> Iterator[Power]:
    for permission, kind in GCP_POWERS:
        for held in estate.everything():
            if held.kind == kind and may(estate, agent, permission, held):
                yield permission, held.name


def _escalation(
    estate: GcpEstate,
    agent: GcpAgent,
    escalation: GcpEscalation,
    ways: Sequence[tuple[Held, Sequence[Power]]],
) -> Finding:
    permission, held = escalation.permissions[0], ways[0][0]
    policy = statement = ""
    for caller in agent.callers:
        outcome, layers = ask_gcp(estate, caller, permission, held)
        by = next((layer.decided_by for layer in layers if layer.effect is Effect.ALLOW), None)
        if outcome is Outcome.ALLOW and by is not None:
            policy, statement = by.policy, by.statement
    gains = dict.fromkeys(f"{what} on {on}" for _, powers in ways for what, on in powers)
    return Finding(
        kind=Kind.ESCALATION,
        cloud=CLOUD,
        agent=agent.name,
        principal=", ".join(agent.members),
        policy=policy,
        statement=statement,
        what=tuple(held.name for held, _ in ways),
        detail=f"{escalation.title}: gains {len(gains)} powers; our decider allows {permission}",
        way_out=escalation.way_out,
        path=escalation.id,
        gains=tuple(gains),
    )
