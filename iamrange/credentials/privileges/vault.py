"""A vault as values, to decide on: policies, who logs in to which of them, what it keeps.

- What is asked is decided by our own decider of OpenBao's rules (`credentials/vault/acl.py`).
- A path that names whoever asks (`{{identity...}}`) is not decided: it is said, and counts for
  nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from iamrange.core.decision import Effect, Outcome
from iamrange.credentials.privileges.model import Assumption, Use
from iamrange.credentials.vault.acl import Acl
from iamrange.credentials.vault.decisions import AUTHORIZE, LOGIN
from iamrange.credentials.vault.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iamrange.core.decision import DecisionRecord

CLOUD: Final = "vault"
DEFAULT: Final = "default"
_BY_METHOD: Final[Mapping[str, str]] = {
    "GET": "read",
    "LIST": "list",
    "POST": "update",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_ALIKE: Final[Mapping[str, str]] = {"revoke": "update", "renew": "update", "rollback": "update"}
"""Operations of a vault that are asked of its policies under another's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRole:
    """A role of a login. `path` is where it is kept."""

    path: str
    name: str
    policies: tuple[str, ...]
    subject: str = ""
    claims: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_anybodys(self) -> bool:
        """Whether every token of the issuer opens it that has the audience."""
        return not self.subject and not self.claims


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultEstate:
    """A vault. `secrets` are paths of values; `logins` are where each login keeps its roles.

    `given` maps a subject to the policies that its entity and its groups have beside its role's;
    `token_roles` maps a role by which tokens are made to the policies that it lets them have.
    """

    policies: Mapping[str, Policy]
    roles: tuple[LoginRole, ...]
    secrets: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token_roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    now: float = 0.0

    def acl(self, names: Iterable[str]) -> Acl:
        """Return what policies of these names let be done; one that is not there gives nothing."""
        found = (self.policies.get(name, Policy(name, ())) for name in names)
        return Acl(found, self.now)

    def holders(self, policy: str) -> tuple[str, ...]:
        """Return the paths of the roles that give a policy."""
        return tuple(role.path for role in self.roles if policy in role.policies)

    def with_policies(self, policies: Mapping[str, Policy]) -> VaultEstate:
        """Return the same vault with some policies changed."""
        return replace(self, policies={**self.policies, **policies})


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAgent:
    """An agent at the vault: its subject, the roles that are its own, and what they give."""

    name: str
    subject: str
    roles: tuple[LoginRole, ...]
    policies: tuple[str, ...]

    @property
    def principal(self) -> str:
        """How a report names it."""
        return ", ".join(role.path for role in self.roles) or self.subject


def agent_at(estate: VaultEstate, name: str, subject: str, role: str) -> VaultAgent:
    """Return an agent: its own roles are those bound to its subject, and the one of this name."""
    own = tuple(r for r in estate.roles if r.subject == subject or (role and r.name == role))
    held = [policy for one in own for policy in one.policies]
    held += estate.given.get(subject, ())
    return VaultAgent(name=name, subject=subject, roles=own, policies=tuple(dict.fromkeys(held)))


def uses_at(
    records: Iterable[DecisionRecord], estate: VaultEstate, agent: VaultAgent
) -> tuple[Use, ...]:
    """Return what an agent used: `action` is the capability, `statement` the deciding pattern."""
    acl = estate.acl(agent.policies)
    found: dict[tuple[str, ...], Use] = {}
    for record in records:
        if record.point != AUTHORIZE or record.outcome is not Outcome.ALLOW:
            continue
        if record.principal != agent.subject:
            continue
        allowing = (layer for layer in record.layers if layer.effect is Effect.ALLOW)
        by = next((layer.decided_by for layer in allowing), None)
        capability = capability_of(record)
        if by is None or not capability:
            continue
        decided = acl.decide(record.resource, capability)
        pattern = decided.pattern if decided is not None else record.resource
        key = (capability, record.resource, by.policy, pattern)
        known = found.get(key)
        found[key] = (
            replace(known, count=known.count + 1, last=max(known.last, record.time))
            if known is not None
            else Use(
                principal=agent.subject,
                action=capability,
                resource=record.resource,
                policy=by.policy,
                statement=pattern,
                count=1,
                last=record.time,
            )
        )
    return tuple(sorted(found.values(), key=lambda use: (use.action, use.resource, use.policy)))


def capability_of(record: DecisionRecord) -> str:
    """Return the capability that a request needed: by the vault's own word, else by its method."""
    operation = record.facts.get("operation", "")
    if operation:
        return _ALIKE.get(operation, operation)
    return _BY_METHOD.get(record.action.rpartition(":")[2], "")


def assumptions_at(
    records: Iterable[DecisionRecord], estate: VaultEstate, agent: VaultAgent
) -> Iterator[Assumption]:
    """Yield the roles of others that would let the agent in, with how often it logged in at all."""
    logins = sum(
        record.point == LOGIN
        and record.outcome is Outcome.ALLOW
        and record.principal == agent.subject
        for record in records
    )
    for role in estate.roles:
        if role.is_anybodys and role not in agent.roles:
            yield Assumption(
                role=role.path,
                by="no subject and no claim is bound",
                proof="any token of the issuer for this audience",
                used=logins,
            )
