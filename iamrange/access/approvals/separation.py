"""Who may approve what: people with a role, and never those who would gain by it. Pure.

Whether a person owns an agent is defined here, once. A person's own `owner` field is the person's
e-mail address; an agent's `owner` names who answers for it. A person owns an agent when the two
are the same address (case, `mailto:` and a `+tag` apart), or when the agent's owner is the person's
SPIFFE id or name, or an address whose local part is the person's name: a colleague of the same
name is refused too, and another manager can sign. An agent that belongs to an agent belongs to
that one's owner.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.model import Verdict
from iamrange.access.approvals.reasons import Reason
from iamrange.identity.directory.model import Agent, AgentState, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

_CHAIN: Final = 8


def owners(agent: Agent, get: Callable[[str], Agent | None]) -> tuple[str, ...]:
    """Return who answers for an agent: its owner, and the owners of agents that own it.

    Raises:
        StoreDownError: the directory cannot answer.
    """
    found: list[str] = []
    owner = agent.owner.strip()
    while owner not in found and len(found) < _CHAIN:
        found.append(owner)
        above = get(owner) if owner.startswith("spiffe://") else None
        if above is None or above.kind is not Kind.AGENT:
            break
        owner = above.owner.strip()
    return tuple(found)


def owns(person: Agent, agent_owners: tuple[str, ...]) -> bool:
    """Tell whether one of an agent's owners is this person."""
    mine = {_address(person.owner), _address(person.id), _address(person.name)}
    for owner in agent_owners:
        address = _address(owner)
        if address in mine or address.partition("@")[0] == _address(person.name):
            return True
    return False


def separation_refusal(
    approver: Agent, requester: Agent, requester_owners: tuple[str, ...], verdict: Verdict
) -> Reason | None:
    """Return why this approver stands too near to the request, or None. Anybody near may deny."""
    if approver.id == requester.id:
        return Reason.SELF
    if approver.kind is not Kind.PERSON:
        related = _address(approver.owner) in {_address(owner) for owner in requester_owners}
        related = related or approver.id in requester_owners or requester.id == approver.owner
        return Reason.OWNED_AGENT if related else None
    if verdict is Verdict.APPROVE and owns(approver, requester_owners):
        return Reason.OWNER
    return None


def approver_refusal(  # noqa: PLR0913 - each a fact of its own
    approver: Agent,
    requester: Agent,
    requester_owners: tuple[str, ...],
    *,
    roles: frozenset[str],
    verdict: Verdict,
    now: float,
) -> Reason | None:
    """Return why this entry of the directory may not decide, or None."""
    if approver.kind is not Kind.PERSON:
        return Reason.NOT_A_PERSON
    if approver.tenant != requester.tenant:
        return Reason.ANOTHER_TENANT
    if approver.state is not AgentState.ACTIVE:
        return Reason.NOT_ACTIVE
    if approver.expired(now):
        return Reason.APPROVER_EXPIRED
    # who answers for an agent may always stop it
    may_stop = verdict is Verdict.DENY and owns(approver, requester_owners)
    if not approver.roles & roles and not may_stop:
        return Reason.NOT_MANAGER
    return None


def _address(text: str) -> str:
    address = unicodedata.normalize("NFKC", text).strip().casefold().removeprefix("mailto:")
    local, at, domain = address.partition("@")
    return f"{local.partition('+')[0]}{at}{domain}" if at else address
