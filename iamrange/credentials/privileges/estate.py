"""An AWS estate as values: roles, resources, their policies and the organisation's, to decide on.

- What is asked of it is decided by the same engine that decides real requests.
- No session policy is in it: what a caller cuts its own session to is no property of a role.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.decide import (
    Decision,
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    compile_policy,
    decide,
)
from iamrange.core.decision import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.clouds.aws.decide import CompiledPolicy

Context = dict[str, "str | Sequence[str]"]

EVERYTHING = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)
_SESSION = re.compile(r"arn:[a-z0-9-]+:sts::([0-9]{12}):assumed-role/([^/]+)/.+")


@dataclass(frozen=True, slots=True)
class Document:
    """One policy document; `name` is how decision records call it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A role or a user, and all that is attached to it. `trust` is a role's alone."""

    arn: str
    policies: tuple[Document, ...] = ()
    boundary: Document | None = None
    trust: Document | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The account that it is in."""
        return self.arn.split(":")[4]

    @property
    def name(self) -> str:
        """Its name, without its path."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def is_role(self) -> bool:
        """Whether it is a role; if not it is a user."""
        return ":role/" in self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Something that is asked for, with the policy that it carries itself.

    `known_as` is a name by which the same thing is found in another world, where clouds make ids.
    """

    arn: str
    account: str
    policy: Document | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    known_as: str = ""


Levels = tuple[tuple[Document, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """All that decisions turn on. `scps` and `rcps` are by account, root first.

    `source_ip` is the address that requests come from; `now` a moment as AWS writes it.
    """

    identities: Mapping[str, Identity]
    resources: Mapping[str, Resource] = field(default_factory=dict)
    managed: Mapping[str, str] = field(default_factory=dict)
    scps: Mapping[str, Levels] = field(default_factory=dict)
    rcps: Mapping[str, Levels] = field(default_factory=dict)
    organization: str | None = None
    members: frozenset[str] = frozenset()
    source_ip: str | None = None
    region: str = "us-east-1"
    now: str = "2026-01-01T00:00:00Z"

    def roles(self) -> Iterator[Identity]:
        """Return all roles."""
        return (one for one in self.identities.values() if one.is_role)

    def users(self) -> Iterator[Identity]:
        """Return all users."""
        return (one for one in self.identities.values() if not one.is_role)

    def role_of(self, principal: str) -> Identity | None:
        """Return the role behind an assumed-role session's ARN, or None."""
        found = _SESSION.fullmatch(principal)
        if found is None:
            return None
        named = (r for r in self.roles() if (r.account, r.name) == (found[1], found[2]))
        return next(named, None)

    def owner_of(self, arn: str) -> str | None:
        """Return the account that a resource belongs to, where that is known."""
        known = self.resources.get(arn)
        account = arn.split(":")[4] if arn.count(":") >= 5 else ""  # noqa: PLR2004 - an ARN's fields
        return known.account if known is not None else account or None

    def with_identity(self, identity: Identity) -> Estate:
        """Return the same estate with one identity changed."""
        return replace(self, identities={**self.identities, identity.arn: identity})


def context_of(estate: Estate, who: Identity, resource: str) -> Context:
    """Return the condition keys that a request of this identity on this resource has anyway."""
    context: Context = {
        "aws:PrincipalArn": who.arn,
        "aws:PrincipalAccount": who.account,
        "aws:PrincipalType": "AssumedRole" if who.is_role else "User",
        "aws:PrincipalIsAWSService": "false",
        "aws:ViaAWSService": "false",
        "aws:SecureTransport": "true",
        "aws:RequestedRegion": estate.region,
        "aws:CurrentTime": estate.now,
    }
    if who.is_role:
        context |= {"aws:TokenIssueTime": estate.now, "aws:MultiFactorAuthPresent": "false"}
    else:
        context["aws:username"] = who.name
    if estate.source_ip is not None:
        context["aws:SourceIp"] = estate.source_ip
    context |= {f"aws:PrincipalTag/{key}": value for key, value in who.tags.items()}
    owner = estate.owner_of(resource)
    if owner is not None:
        context["aws:ResourceAccount"] = owner
    for account, key in ((who.account, "aws:PrincipalOrgID"), (owner, "aws:ResourceOrgID")):
        if estate.organization is not None and account in estate.members:
            context[key] = estate.organization
    known = estate.resources.get(resource) or estate.identities.get(resource)
    if known is not None:
        context |= {f"aws:ResourceTag/{key}": value for key, value in known.tags.items()}
    return context


def ask(
    estate: Estate,
    who: Identity,
    action: str,
    resource: str,
    extra: Mapping[str, str | Sequence[str]] | None = None,
) -> Decision:
    """Decide one request of a role's session, or of a user, on the policies of the estate."""
    owner = estate.owner_of(resource)
    principal = _principal(who)
    target = estate.identities.get(resource)
    trusted = target.trust if target is not None and action.lower() in _ON_TRUST else None
    carried = estate.resources.get(resource)
    policies = PolicySet(
        identity=tuple(_compiled(d, PolicyKind.IDENTITY) for d in who.policies),
        boundary=_compiled(who.boundary, PolicyKind.BOUNDARY) if who.boundary else None,
        resource=_compiled(carried.policy, PolicyKind.RESOURCE)
        if carried is not None and carried.policy is not None
        else None,
        trust=_compiled(trusted, PolicyKind.TRUST) if trusted is not None else None,
        scps=_levels(estate.scps.get(who.account, ()), PolicyKind.SCP),
        rcps=_levels(estate.rcps.get(owner or "", ()), PolicyKind.RCP),
    )
    context = context_of(estate, who, resource) | dict(extra or {})
    return decide(Request(action, resource, principal, owner, context), policies)


ISSUER = "issuer.of-an-attacker.example"


def rewritten(estate: Estate, target: str, principal: str, names: str, action: str) -> Estate:
    """Return the estate with a role's trust policy naming one principal (`AWS`, `Federated`)."""
    statement = {"Effect": "Allow", "Principal": {principal: names}, "Action": action}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = estate.identities[target]
    return estate.with_identity(replace(role, trust=Document(target, text)))


def session_arn(who: Identity) -> str:
    """Return the ARN of a session of a role, or of the user itself."""
    return _principal(who).arn


def ask_federated(estate: Estate, target: str) -> Decision:
    """Decide whether a token of an attacker's own issuer gets a role that trusts that issuer."""
    role = estate.identities[target]
    provider = f"arn:aws:iam::{role.account}:oidc-provider/{ISSUER}"
    action = "sts:AssumeRoleWithWebIdentity"
    trust = rewritten(estate, target, "Federated", provider, action).identities[target].trust
    context: Context = {
        f"{ISSUER}:aud": "sts.amazonaws.com",
        f"{ISSUER}:sub": "anybody",
        "aws:FederatedProvider": provider,
        "aws:SecureTransport": "true",
        "aws:CurrentTime": estate.now,
        "aws:ResourceAccount": role.account,
    }
    if estate.source_ip is not None:
        context["aws:SourceIp"] = estate.source_ip
    principal = Principal("web-identity", ISSUER, federated=provider)
    policies = PolicySet(
        trust=_compiled(trust, PolicyKind.TRUST) if trust is not None else None,
        rcps=_levels(estate.rcps.get(role.account, ()), PolicyKind.RCP),
    )
    return decide(Request(action, target, principal, role.account, context), policies)


def allowed(
    estate: Estate,
    who: Identity,
    action: str,
    resource: str,
    extra: Mapping[str, str | Sequence[str]] | None = None,
) -> bool:
    """Tell whether the estate allows it."""
    return ask(estate, who, action, resource, extra).outcome is Outcome.ALLOW


_ON_TRUST = frozenset({"sts:assumerole", "sts:tagsession", "sts:setsourceidentity"})


def _principal(who: Identity) -> Principal:
    if not who.is_role:
        return Principal("user", who.arn, account=who.account)
    session = f"arn:aws:sts::{who.account}:assumed-role/{who.name}/audit"
    return Principal("assumed-role", session, role_arn=who.arn, account=who.account)


def _levels(levels: Levels, kind: PolicyKind) -> tuple[tuple[CompiledPolicy, ...], ...]:
    return tuple(tuple(_compiled(d, kind) for d in level) for level in levels)


@functools.lru_cache(maxsize=4096)
def _compiled(document: Document, kind: PolicyKind) -> CompiledPolicy:
    return compile_policy(document.text, kind=kind, name=document.name)
