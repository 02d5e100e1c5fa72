"""Smaller bindings in place of those that name an agent: what was used, where it was used.

- Each used permission is bound on the resource that it was used on, under the conditions of the
  binding that allowed it; so what a proposal allows, the granted bindings allow.
- A role of which only a part was used is replaced by a custom role with that part.
- Bindings above the project are not the agent's to change, and stay.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iamrange.clouds.gcp.authorize import Binding, Condition
from iamrange.clouds.gcp.principals import member_names
from iamrange.core.decision import Outcome
from iamrange.credentials.privileges.gcp import ask_gcp
from iamrange.credentials.privileges.model import Proposal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.credentials.privileges.gcp import GcpAgent, GcpEstate
    from iamrange.credentials.privileges.model import Use

POLICY = "bindings"
"""How a proposal for Google Cloud is called: it stands for all bindings of one agent."""


def propose_on_gcp(estate: GcpEstate, agent: GcpAgent, uses: Sequence[Use]) -> tuple[Proposal, ...]:
    """Propose the bindings of an agent; none when it was not seen to use anything, or has no more.

    `document` has `members`, whose other bindings go; `roles` to make; `bindings` to set.
    """
    if not uses:
        return ()
    needed: dict[tuple[str, str, str, Condition | None], set[str]] = {}
    for use in uses:
        for condition in _conditions(estate, agent, use):
            key = (use.principal, use.resource, use.statement, condition)
            needed.setdefault(key, set()).add(use.action)
    roles: dict[str, list[str]] = {}
    bindings = []
    for (member, resource, role, condition), permissions in needed.items():
        fitting = role
        if (estate.permissions(role) or frozenset()) - permissions:
            fitting = _custom(estate, permissions)
            roles[fitting] = sorted(permissions)
        bindings.append(_binding(resource, fitting, member, condition))
    document = {
        "members": list(agent.members),
        "roles": [
            {"name": name, "title": "What was used", "includedPermissions": held}
            for name, held in sorted(roles.items())
        ],
        "bindings": bindings,
    }
    after = with_bindings_of(estate, document)
    if _of(after, agent) == _of(estate, agent):
        return ()
    return (
        Proposal(
            principal=agent.members[0],
            policy=POLICY,
            document=document,
            faults=tuple(_faults(estate, after, agent, uses)),
        ),
    )


def with_bindings_of(estate: GcpEstate, document: Mapping[str, Any]) -> GcpEstate:
    """Return the estate as it is once a proposal is in place."""
    made = {role["name"]: frozenset(role["includedPermissions"]) for role in document["roles"]}
    changed = {
        held.name: bindings_without(held.bindings, document, held.name)
        for held in estate.everything()
    }
    return replace(estate, roles={**estate.roles, **made}).with_bindings(changed)


def bindings_without(
    bindings: Sequence[Binding], document: Mapping[str, Any], resource: str
) -> tuple[Binding, ...]:
    """Return a resource's bindings with a proposal in place of its members' own."""
    gone = frozenset(document["members"])
    kept = (
        Binding(one.role, tuple(m for m in one.members if m not in gone), one.condition)
        for one in bindings
    )
    added = (
        Binding(one["role"], tuple(one["members"]), _read(one.get("condition")))
        for one in document["bindings"]
        if one["resource"] == resource
    )
    return (*(one for one in kept if one.members), *added)


def _conditions(estate: GcpEstate, agent: GcpAgent, use: Use) -> tuple[Condition | None, ...]:
    """Return the conditions under which the binding behind a use names its principal."""
    held = next((one for one in estate.everything() if one.name == use.policy), None)
    if held is None:
        return ()
    (caller,) = (one for one in agent.callers if one.member == use.principal)
    named = [
        binding.condition
        for binding in held.bindings
        if binding.role == use.statement
        # this identity's own: another one of the agent may be named without the condition
        and any(member_names(member, caller) for member in binding.members)
    ]
    return tuple(dict.fromkeys(named))


def _custom(estate: GcpEstate, permissions: set[str]) -> str:
    """Name a custom role after what it holds: agents with the same needs share it."""
    digest = sha256("\n".join(sorted(permissions)).encode()).hexdigest()[:12]
    return f"{estate.project.name}/roles/used_{digest}"


def _binding(resource: str, role: str, member: str, condition: Condition | None) -> dict[str, Any]:
    return {"resource": resource, **binding_json(Binding(role, (member,), condition))}


def binding_json(binding: Binding) -> dict[str, Any]:
    """Return a binding as the API takes it."""
    value: dict[str, Any] = {"role": binding.role, "members": list(binding.members)}
    if binding.condition is not None:
        value["condition"] = {
            "expression": binding.condition.expression,
            "title": binding.condition.title,
            "description": binding.condition.description,
        }
    return value


def _read(value: Mapping[str, str] | None) -> Condition | None:
    if value is None:
        return None
    return Condition(value["expression"], value["title"], value["description"])


def _of(estate: GcpEstate, agent: GcpAgent) -> set[tuple[str, str, str, Condition | None]]:
    return {
        (held.name, binding.role, member, binding.condition)
        for held in estate.everything()
        for binding in held.bindings
        for member in binding.members
        if member in agent.members
    }


def _faults(
    estate: GcpEstate, after: GcpEstate, agent: GcpAgent, uses: Sequence[Use]
) -> Iterator[str]:
    everything = {held.name: held for held in after.everything()}
    callers = {caller.member: caller for caller in agent.callers}
    for use in uses:
        held = everything.get(use.resource)
        if held is None:
            yield f"{use.action} on {use.resource} was used, and is not there any more"
            continue
        caller = callers[use.principal]
        was = next(one for one in estate.everything() if one.name == use.resource)
        allowed = ask_gcp(estate, caller, use.action, was)[0] is Outcome.ALLOW
        if allowed and ask_gcp(after, caller, use.action, held)[0] is not Outcome.ALLOW:
            yield f"{use.action} on {use.resource} was used and would be refused"
    named = {
        permission
        for held in after.everything()
        for binding in held.bindings
        if agent.named_by(binding)
        for permission in after.permissions(binding.role) or ()
    }
    for held in estate.everything():
        for permission in sorted(named):
            for caller in agent.callers:
                now = ask_gcp(after, caller, permission, everything[held.name])[0]
                if now is Outcome.ALLOW and (
                    ask_gcp(estate, caller, permission, held)[0] is not Outcome.ALLOW
                ):
                    yield f"{permission} on {held.name} would be allowed and is not granted"
