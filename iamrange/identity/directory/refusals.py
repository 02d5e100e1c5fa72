"""The refusals that need the whole table to be known, in one place for single and bulk forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.identity.directory.field_rules import octets_of
from iamrange.identity.directory.model import Agent, AgentState, DirectoryRefusal

if TYPE_CHECKING:
    from iamrange.identity.directory.writer import Transaction


def unknown_agent() -> DirectoryRefusal:
    """Refuse a command for an agent that is not there."""
    return DirectoryRefusal("unknown-agent", "there is no such agent")


def registered_already(agent: Agent, registration: str) -> Agent | DirectoryRefusal:
    """Answer a registration under a name that is taken."""
    if agent.state is AgentState.RETIRED:
        return DirectoryRefusal("retired", f"agent {agent.name!r} is retired: its name stays taken")
    if agent.registration != registration:
        return DirectoryRefusal(
            "name-taken", f"agent {agent.name!r} is registered with another specification"
        )
    return agent


def key_taken(name: str) -> DirectoryRefusal:
    """Refuse a key that is or was another registration's, without saying whose."""
    return DirectoryRefusal("key-taken", f"agent {name!r}: the key is or was registered already")


def key_withdrawn() -> DirectoryRefusal:
    """Refuse an agent a key that it once had."""
    return DirectoryRefusal("key-withdrawn", "this key was withdrawn and does not come back")


def key_refusal(transaction: Transaction, agent: Agent, kid: str) -> DirectoryRefusal | None:
    """Return why this key cannot become the agent's, or None."""
    owner = transaction.key_owners([octets_of(kid)]).get(octets_of(kid))
    if owner is None:
        return None
    if owner == agent.number:
        return key_withdrawn()
    return key_taken(agent.name)
