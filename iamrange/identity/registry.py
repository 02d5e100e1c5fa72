"""The directory of agents: names, tenants, keys, and what each may ask for.

- In memory, typed; an agent is one frozen value, replaced whole when it changes.
- Only public keys are here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from iamrange.identity.names import PROOF_TYPE
from iamrange.jose import KeySet, parse_key_set, strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_TENANT = "iamrange"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


class RegistryError(ValueError):
    """A registration that cannot be: a bad name, a bad key, an agent that is not there."""


class AgentState(StrEnum):
    """Whether an agent may be given anything."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One registered agent.

    `audiences` are those for which it may have assertions. `aws_role_arn` is the role that the
    broker assumes for it, `aws_session_policy` (JSON text) what each brokered session is cut to.
    """

    name: str
    public_jwk: Mapping[str, Any] = field(repr=False)
    audiences: frozenset[str]
    tenant: str = DEFAULT_TENANT
    state: AgentState = AgentState.ACTIVE
    aws_role_arn: str | None = None
    aws_session_policy: str | None = None

    @property
    def id(self) -> str:
        """The agent's SPIFFE id."""
        return spiffe_id(self.name, self.tenant)

    def keys(self) -> KeySet:
        """Return the one key that verifies this agent's proofs.

        Raises:
            RegistryError: the registered JWK is no public P-256 key.
        """
        keys = parse_key_set({"keys": [dict(self.public_jwk)]}, strict(PROOF_TYPE))
        usable = [
            key
            for key in (keys.keys if isinstance(keys, KeySet) else ())
            if key.kid is not None and "ES256" in key.algorithms
        ]
        if not isinstance(keys, KeySet) or len(usable) != 1:
            raise RegistryError(f"agent {self.name!r}: key expected a public P-256 JWK with a kid")
        return keys


def spiffe_id(name: str, tenant: str = DEFAULT_TENANT) -> str:
    """Return the SPIFFE id of an agent; each tenant is a trust domain of its own."""
    return f"spiffe://{tenant}.example/agent/{name}"


class Registry:
    """All agents of a world, by SPIFFE id."""

    def __init__(self) -> None:
        """Start empty."""
        self._agents: dict[str, Agent] = {}

    def __iter__(self) -> Iterator[Agent]:
        """Iterate over the agents in the order of registration."""
        return iter(tuple(self._agents.values()))

    def register(self, agent: Agent) -> None:
        """Add the agent, or replace its registration (a new key, other audiences).

        Raises:
            RegistryError: a name, tenant or key is malformed, or the key is another agent's.
        """
        for kind, name in (("name", agent.name), ("tenant", agent.tenant)):
            if not _NAME.fullmatch(name):
                raise RegistryError(f"agent {kind} expected {_NAME.pattern}, got {name!r}")
        (key,) = agent.keys().keys
        point = {name: agent.public_jwk.get(name) for name in ("crv", "x", "y")}
        for other in self._agents.values():
            same = all(other.public_jwk.get(name) == value for name, value in point.items())
            if other.id != agent.id and same:
                raise RegistryError(f"agent {agent.name!r}: key {key.kid!r} is {other.id!r}'s")
        self._agents[agent.id] = agent

    def by_id(self, identifier: object) -> Agent | None:
        """Return the agent with exactly this SPIFFE id, or None."""
        return self._agents.get(identifier) if isinstance(identifier, str) else None

    def find(self, name: str) -> Agent:
        """Return the agent that an operator means by a SPIFFE id or a plain name.

        Raises:
            RegistryError: there is none, or several tenants have one.
        """
        found = [agent for agent in self if name in (agent.id, agent.name)]
        if len(found) != 1:
            known = ", ".join(sorted(agent.id for agent in self)) or "none"
            raise RegistryError(f"agent {name!r}: {len(found)} found; registered: {known}")
        return found[0]

    def set_state(self, name: str, state: AgentState) -> None:
        """Quarantine an agent, or make it active again.

        Raises:
            RegistryError: there is no such agent.
        """
        agent = self.find(name)
        self._agents[agent.id] = replace(agent, state=state)
