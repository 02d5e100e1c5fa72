"""What the embedded Google Cloud holds: plain objects, no socket, no thread, no loop.

- A world is forked to be snapshotted, so nothing here may be tied to a process.
- Access tokens are kept as hashes; a service account's user-managed private keys are not kept.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from iamrange.clouds.gcp.authorize import Binding, DenyPolicy, DenyRule, Level
from iamrange.clouds.gcp.principals import Caller
from iamrange.clouds.gcp.roles import ADMINISTRATOR, OPERATOR, Permissions, predefined, unserved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from iamrange.clouds.gcp.cel import Expression

SOFT_DELETE_SECONDS = 30 * 86_400
_etags = itertools.count(1)


def new_etag() -> str:
    """Return an etag that no other object has had in this process."""
    return base64.b64encode(f"BwX{next(_etags):07d}".encode()).decode()


def timestamp(moment: float) -> str:
    """Return a moment as Google writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")[:26] + "Z"


@dataclass(slots=True)
class Policy:
    """An allow policy. `etag` is Google's mark of a policy that was never set, until it is."""

    bindings: tuple[Binding, ...] = ()
    etag: str = "ACAB"
    audit_configs: tuple[Any, ...] = ()


@dataclass(slots=True)
class Organization:
    """The organisation at the top."""

    id: str
    policy: Policy = field(default_factory=Policy)
    administrators: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Project:
    """A project, found by id and by number."""

    id: str
    number: str
    organization: Organization | None
    administrator: str
    created: float
    policy: Policy = field(default_factory=Policy)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def organization_id(self) -> str:
        """Return the organisation's id, or nothing."""
        return self.organization.id if self.organization else ""


@dataclass(slots=True)
class Provider:
    """An OIDC provider of a pool, with its checked expressions."""

    id: str
    document: dict[str, Any]
    mapping: dict[str, Expression]
    condition: Expression | None
    deleted_at: float | None = None

    @property
    def issuer(self) -> str:
        """Return the issuer as it was written."""
        return str(self.document["oidc"]["issuerUri"])

    @property
    def disabled(self) -> bool:
        """Tell whether no new exchange is allowed."""
        return bool(self.document.get("disabled"))


@dataclass(slots=True)
class Pool:
    """A workload identity pool."""

    id: str
    project: Project
    document: dict[str, Any]
    providers: dict[str, Provider] = field(default_factory=dict)
    deleted_at: float | None = None

    @property
    def name(self) -> str:
        """Return the resource name, with the project's number."""
        return f"projects/{self.project.number}/locations/global/workloadIdentityPools/{self.id}"


@dataclass(slots=True)
class AccountKey:
    """A key of a service account: the public half only."""

    id: str
    public_jwk: dict[str, Any]
    certificate_pem: str
    created: float
    kind: str
    disabled: bool = False
    expires: float | None = None
    """When it stops to work, by the world's clock; None for a key that lasts."""
    origin: str = "GOOGLE_PROVIDED"

    def has_expired(self, now: float) -> bool:
        """Tell whether the key's time is over."""
        return self.expires is not None and now >= self.expires


@dataclass(slots=True)
class ServiceAccount:
    """A service account."""

    account_id: str
    project: Project
    unique_id: str
    display_name: str = ""
    description: str = ""
    disabled: bool = False
    deleted_at: float | None = None
    etag: str = field(default_factory=new_etag)
    policy: Policy = field(default_factory=Policy)
    keys: dict[str, AccountKey] = field(default_factory=dict)
    system_key: tuple[str, RSAPrivateKey] | None = field(default=None, repr=False)

    @property
    def email(self) -> str:
        """Return the account's address."""
        return f"{self.account_id}@{self.project.id}.iam.gserviceaccount.com"

    @property
    def caller(self) -> Caller:
        """Return the account as a caller."""
        return Caller(
            "service-account",
            email=self.email,
            unique_id=self.unique_id,
            project_number=self.project.number,
            organization=self.project.organization_id,
        )


@dataclass(slots=True)
class SecretVersion:
    """One version of a secret."""

    number: int
    payload: bytes | None = field(repr=False)
    created: float
    state: str = "ENABLED"
    destroyed: float | None = None
    etag: str = field(default_factory=new_etag)
    crc32c_given: bool = False


@dataclass(slots=True)
class Secret:
    """A secret of Secret Manager."""

    id: str
    project: Project
    document: dict[str, Any]
    versions: dict[int, SecretVersion] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    @property
    def name(self) -> str:
        """Return the resource name, with the project's number."""
        return f"projects/{self.project.number}/secrets/{self.id}"


@dataclass(slots=True)
class Role:
    """A custom role."""

    name: str
    document: dict[str, Any]
    permissions: Permissions
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What an opaque access token stands for."""

    caller: Caller
    expires: float
    kind: str
    scopes: tuple[str, ...] = ()
    account_id: str = ""
    """The unique id of the service account behind it, which must still be live."""


@dataclass(slots=True)
class StoredDenyPolicy:
    """A deny policy with its document."""

    name: str
    document: dict[str, Any]
    rules: tuple[DenyRule, ...]


@dataclass(slots=True)
class State:
    """Everything."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    secrets: dict[tuple[str, str], Secret] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    tokens: dict[bytes, AccessToken] = field(default_factory=dict, repr=False)
    organization_policies: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    deny_policies: dict[str, dict[str, StoredDenyPolicy]] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    google_key: RSAPrivateKey | None = field(default=None, repr=False)

    def project(self, name: str) -> Project | None:
        """Return a project by its id or its number."""
        if name in self.projects:
            return self.projects[name]
        return next((p for p in self.projects.values() if p.number == name), None)

    def account(self, name: str) -> ServiceAccount | None:
        """Return a live service account by address or unique id."""
        for account in self.accounts.values():
            if name in (account.email, account.unique_id) and account.deleted_at is None:
                return account
        return None

    def role_permissions(self, role: str) -> Permissions | None:
        """Return a role's permissions; a deleted custom role holds none."""
        custom = self.roles.get(role)
        if custom is not None:
            return custom.permissions if custom.deleted_at is None else frozenset()
        return frozenset() if role in unserved() else predefined().get(role)

    def project_levels(self, project: Project) -> tuple[Level, ...]:
        """Return the levels from a project upwards.

        The administrator's power sits above the project's own policy, so that a client which
        replaces that policy does not lock the range's operator out.
        """
        above = Level(
            f"administrators-of/{project.id}",
            (Binding(ADMINISTRATOR, (f"user:{project.administrator}",)),),
        )
        own = Level(
            f"projects/{project.id}",
            project.policy.bindings,
            self._denials(f"projects/{project.id}", f"projects/{project.number}"),
        )
        if project.organization is None:
            return (own, above)
        return (own, above, *self.organization_levels(project.organization))

    def organization_levels(self, organization: Organization) -> tuple[Level, ...]:
        """Return the organisation's own level, and above it the range's operators."""
        name = f"organizations/{organization.id}"
        operators = tuple(f"user:{email}" for email in organization.administrators)
        return (
            Level(name, organization.policy.bindings, self._denials(name)),
            Level(f"administrators-of/{name}", (Binding(OPERATOR, operators),)),
        )

    def policies(self) -> Iterator[Policy]:
        """Iterate over every allow policy."""
        yield from (o.policy for o in self.organizations.values())
        yield from (p.policy for p in self.projects.values())
        yield from (a.policy for a in self.accounts.values())
        yield from (s.policy for s in self.secrets.values())

    def issue_token(self, token: AccessToken) -> str:
        """Return a new opaque access token; only its hash is kept."""
        text = f"ya29.{'d' if token.kind == 'federated' else 'c'}.{secrets.token_urlsafe(96)}"
        self.tokens[hash_token(text)] = token
        return text

    def _denials(self, *attachments: str) -> tuple[DenyPolicy, ...]:
        found = [
            policy
            for attachment in attachments
            for policy in self.deny_policies.get(attachment, {}).values()
        ]
        return tuple(DenyPolicy(policy.name, policy.rules) for policy in found)


def hash_token(text: str) -> bytes:
    """Return what is kept of an access token."""
    return hashlib.sha256(text.encode()).digest()
