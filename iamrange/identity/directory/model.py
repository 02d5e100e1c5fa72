"""What the directory holds: agents, their keys, states and classifications. Pure values.

- An `AgentSpec`, an `Agent` and an `AgentKey` that exist are valid: making one checks every field.
- Only public keys are here. A secret's hash is in no repr.
- Names stay taken for ever, keys too: a retired agent's are never another's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from iamrange.identity.directory import field_rules as rules
from iamrange.identity.directory.field_rules import AgentFieldError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TENANT = "iamrange"
MAX_KEYS = rules.MAX_KEYS
TEXTS = (("owner", 100, 1), ("purpose", 300, 0), ("project", 100, 0))

__all__ = [
    "DEFAULT_TENANT",
    "Agent",
    "AgentFieldError",
    "AgentKey",
    "AgentSource",
    "AgentSpec",
    "AgentState",
    "Classification",
    "DirectoryRefusal",
    "Kind",
    "agent_id",
    "identifier_of",
]


class AgentState(StrEnum):
    """Where an agent is in its life. Only an active one, not expired, is given anything."""

    REGISTERED = "registered"
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


class Kind(StrEnum):
    """What an entry stands for. A person signs approvals, and is never given a token."""

    AGENT = "agent"
    PERSON = "person"


class Classification(StrEnum):
    """The most sensitive data that an agent may touch."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    @property
    def level(self) -> int:
        """The rank; more is more sensitive."""
        return _LEVELS[self]


_LEVELS = {each: rank for rank, each in enumerate(Classification)}


@dataclass(frozen=True, slots=True)
class DirectoryRefusal:
    """Why the directory did not do what was asked: a stable code, and words."""

    code: str
    detail: str = ""


def agent_id(name: str, tenant: str = DEFAULT_TENANT, kind: Kind = Kind.AGENT) -> str:
    """Return the SPIFFE id of an agent or a person; each tenant is a trust domain of its own."""
    return f"spiffe://{tenant}.example/{kind.value}/{name}"


def identifier_of(name: str) -> str:
    """Return the id that is meant by a SPIFFE id, or by a name in the default tenant."""
    return name if name.startswith("spiffe://") else agent_id(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """A public P-256 key; without `not_after` it is current, with it accepted until then."""

    kid: str
    jwk: Mapping[str, str] = field(repr=False)
    not_after: float | None = None

    def __post_init__(self) -> None:
        """Check the key.

        Raises:
            AgentFieldError: it is no public P-256 key, or the kid is not its thumbprint.
        """
        public, thumbprint = rules.public_p256(self.jwk)
        if self.kid != thumbprint:
            raise AgentFieldError("key", "its thumbprint as kid")
        rules.check_moment("not_after", self.not_after)
        object.__setattr__(self, "jwk", public)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> AgentKey:
        """Take a public JWK as a current key.

        Raises:
            AgentFieldError: it is no public P-256 key, or it has private members.
        """
        public, thumbprint = rules.public_p256(jwk)
        return cls.checked_before(thumbprint, public, None)

    @classmethod
    def checked_before(cls, kid: str, jwk: Mapping[str, str], not_after: float | None) -> AgentKey:
        """Make a key of parts that passed the check already: just now, or before they were signed.

        Checking a point takes longer than all else about a key, and a million keys are read.
        """
        made = cls.__new__(cls)
        for name, value in (("kid", kid), ("jwk", jwk), ("not_after", not_after)):
            object.__setattr__(made, name, value)
        return made

    def until(self, moment: float) -> AgentKey:
        """Return this key, accepted until then."""
        return self.checked_before(self.kid, self.jwk, moment)

    def accepted(self, now: float) -> bool:
        """Tell whether a signature by this key still counts."""
        return self.not_after is None or now < self.not_after


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """What an owner asks for. `resources` None means any resource that is known.

    `audiences`, `aws_role_arn` and `aws_session_policy` are for the clouds' issuer and the
    broker. `may_act` are ids of agents that may act for this one. `roles` are what policies go
    by. `expires` None: never.
    """

    name: str
    owner: str
    tenant: str = DEFAULT_TENANT
    kind: Kind = Kind.AGENT
    purpose: str = ""
    project: str = ""
    classification: Classification = Classification.INTERNAL
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    resources: frozenset[str] | None = None
    keys: tuple[AgentKey, ...] = ()
    certificates: tuple[str, ...] = ()
    tls_subject: bool = False
    secret_hash: str | None = field(default=None, repr=False)
    may_act: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()
    aws_role_arn: str | None = None
    aws_session_policy: str | None = None
    expires: float | None = None

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            AgentFieldError: one holds what it must not.
        """
        check_fields(self)
        if any(key.not_after is not None for key in self.keys):
            raise AgentFieldError("keys", "current keys in a registration")

    @property
    def id(self) -> str:
        """The agent's SPIFFE id, which is its client id too."""
        return agent_id(self.name, self.tenant, self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent as the directory has it; replaced whole when it changes.

    `epoch` rises with every revocation: a token that carries a lower one is dead. `version` is
    the moment of its last change in the directory's one sequence, `number` its place in the
    order of registration. `registration` is the digest of the spec it came from. `activated`
    is when it was first approved, `rotated` when it last got a new key (0: never).
    """

    name: str
    tenant: str = DEFAULT_TENANT
    kind: Kind = Kind.AGENT
    owner: str
    purpose: str = ""
    project: str = ""
    classification: Classification = Classification.INTERNAL
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    resources: frozenset[str] | None = None
    keys: tuple[AgentKey, ...] = ()
    certificates: tuple[str, ...] = ()
    tls_subject: bool = False
    secret_hash: str | None = field(default=None, repr=False)
    may_act: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()
    aws_role_arn: str | None = None
    aws_session_policy: str | None = None
    expires: float | None = None
    state: AgentState = AgentState.REGISTERED
    epoch: int = 0
    version: int = 0
    number: int = 0
    created: float = 0.0
    activated: float | None = None
    recertified: float = 0.0
    rotated: float = 0.0
    registration: str = ""

    @property
    def id(self) -> str:
        """The agent's SPIFFE id, which is its client id too."""
        return agent_id(self.name, self.tenant, self.kind)

    def expired(self, now: float) -> bool:
        """Tell whether its time is up."""
        return self.expires is not None and now >= self.expires

    def usable(self, now: float) -> bool:
        """Tell whether it may be given anything at all."""
        return self.state is AgentState.ACTIVE and not self.expired(now)

    def accepted_keys(self, now: float) -> tuple[AgentKey, ...]:
        """Return the keys whose signatures count now."""
        return tuple(key for key in self.keys if key.accepted(now))

    def key(self, kid: str, now: float) -> AgentKey | None:
        """Return the accepted key with this id."""
        return next((key for key in self.keys if key.kid == kid and key.accepted(now)), None)


def check_fields(value: AgentSpec | Agent) -> None:
    """Check all that a spec and an agent have in common.

    Raises:
        AgentFieldError: a field holds what it must not.
    """
    rules.check_name("name", value.name)
    for name, limit, least in TEXTS:
        rules.check_text(name, getattr(value, name), limit, least)
    shared = _shared_of(value)
    try:
        _check_shared(*shared)
    except TypeError:  # something that has no hash, and so is no field's value
        _check_shared.__wrapped__(*shared)
    rules.check_several("keys", value.keys, AgentKey, MAX_KEYS)
    if len({key.kid for key in value.keys}) != len(value.keys):
        raise AgentFieldError("keys", "each once")
    rules.check_certificates(value.certificates)
    rules.check_optional("secret_hash", value.secret_hash)
    rules.check_moment("expires", value.expires)


# what many agents have alike is checked once; `typed`, since 1 is no True and text no enum
@lru_cache(maxsize=1024, typed=True)
def _check_shared(  # noqa: PLR0913, PLR0917 - fields, in the order of _shared_of
    tenant: object,
    kind: object,
    classification: object,
    roles: object,
    scopes: object,
    resources: object,
    may_act: object,
    audiences: object,
    tls_subject: object,
    aws_role_arn: object,
    aws_session_policy: object,
) -> None:
    rules.check_name("tenant", tenant)
    if not isinstance(kind, Kind):
        raise AgentFieldError("kind", "agent or person", kind)
    rules.check_set("roles", roles)
    if not isinstance(classification, Classification):
        raise AgentFieldError("classification", "one of the four", classification)
    rules.check_set("scopes", scopes)
    if resources is not None:
        rules.check_set("resources", resources)
    rules.check_set("may_act", may_act)
    rules.check_set("audiences", audiences)
    if not isinstance(tls_subject, bool):
        raise AgentFieldError("tls_subject", "true or false", tls_subject)
    rules.check_optional("aws_role_arn", aws_role_arn)
    rules.check_session_policy(aws_session_policy)


_shared_of = attrgetter(
    "tenant",
    "kind",
    "classification",
    "roles",
    "scopes",
    "resources",
    "may_act",
    "audiences",
    "tls_subject",
    "aws_role_arn",
    "aws_session_policy",
)


class AgentSource(Protocol):
    """Where tokens, issuer and broker ask who an agent is."""

    def by_id(self, agent_id: str) -> Agent | None:
        """Return the agent with exactly this id, or None.

        Raises:
            StoreDownError: it cannot be known now.
        """
        ...
