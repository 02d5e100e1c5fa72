"""The values that pass between the rooms of the AWS cloud, and the ports behind which they sit.

- A request reaches a handler authenticated, parsed by the service's own model, never before.
- A refusal is a value (`AwsError`); an exception means that the range broke.
- No repr shows a secret, a session token, a header or a body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from iamrange.clouds.aws.decide import Principal
    from iamrange.clouds.aws.policy import CompiledPolicy

ContextValues = Mapping[str, str | Sequence[str]]
"""Condition keys of a request; a key that is not there is absent, which is not the empty string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP request as it came: nothing in it is believed yet."""

    method: str
    raw_path: str
    query: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    scheme: str = "https"
    peer: str = ""

    def header(self, name: str) -> str | None:
        """Return the first header of that name (any case), or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRequest:
    """One operation of one service, parsed by botocore's model of it.

    `service` is botocore's name (`secretsmanager`, `s3`, `sts`), `operation` the model's
    (`GetSecretValue`). `account` is where the call lands unless an ARN in it says otherwise: the
    caller's own account (empty for an anonymous call). `now` is the world's clock, read once.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(repr=False)
    region: str
    account: str
    request_id: str
    protocol: str
    http: HttpRequest
    source_ip: str
    secure: bool
    user_agent: str
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsResponse:
    """A handler's answer: members of the operation's output shape, in the model's own names.

    Timestamps are aware datetimes; blobs are bytes. The edge serialises it by protocol.
    """

    output: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsError:
    """A refusal or error as AWS says it; the edge serialises it by protocol.

    `status` None lets the service's model (or 400) choose.
    """

    code: str
    message: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Temporary credentials and everything that the session carries.

    `principal` is the assumed-role session, the user itself (GetSessionToken) or the federated
    user. `user_id` is `AROA...:session-name`, or the user's unique id. `issuer_arn` is the role's
    or the user's ARN. `session_policies` None: the session was made without any.
    `federated_context` holds the keys of the web identity that live on in the session
    (`aws:FederatedProvider` and, per provider, its `aud`, `sub` ... as AWS documents them).
    `mfa_at` is the moment of the MFA check, in the world's clock, or None.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    principal: Principal
    account: str
    user_id: str
    issuer_arn: str
    session_name: str
    issued_at: float
    expires_at: float
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tag_keys: frozenset[str] = frozenset()
    source_identity: str | None = None
    session_policies: tuple[CompiledPolicy, ...] | None = None
    mfa_at: float | None = None
    federated_context: ContextValues = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who signed the request. `access_key_id` None: nobody did (an anonymous call).

    `tags` are what `aws:PrincipalTag/*` reads: the user's or role's own, overridden by the
    session's. `user_name` is set for an IAM user, and for its GetSessionToken sessions.
    """

    principal: Principal
    access_key_id: str | None
    account: str | None
    user_id: str | None = None
    user_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    session: Session | None = None


class SessionStore(Protocol):
    """Where temporary credentials are kept; owned by the STS room."""

    def by_access_key(self, access_key_id: str) -> Session | None:
        """Return the session of that access key, expired or not, or None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One permission that a request needs.

    `context` adds condition keys to those that every request has. `trust` is a role's trust
    policy (sts calls only). `resource_policy` and `resource_tags` are what the resource carries
    at this moment (None: it carries none, or it is not there). `via` is the service that makes
    the call for the caller (`secretsmanager` reading a key). `grants` is what a KMS key's grants
    allow. `aws_owned`: AWS's own resource. `unknown` are condition keys that AWS would know and
    this check does not (as in `Request`). `caller`, if given, is who needs the permission in the
    caller's place: a service or a role that will act later on what the call arranges.
    """

    action: str
    resource: str
    resource_account: str | None
    context: ContextValues = field(default_factory=dict)
    trust: CompiledPolicy | None = None
    resource_policy: CompiledPolicy | None = None
    grants: CompiledPolicy | None = None
    resource_tags: Mapping[str, str] | None = None
    via: str | None = None
    aws_owned: bool = False
    unknown: tuple[str, ...] = ()
    caller: Caller | None = None


class Authorizer(Protocol):
    """Decides one permission, writes its record at `aws.authorize`, and says no in AWS's words."""

    def authorize(self, check: Check, request: AwsRequest, caller: Caller) -> AwsError | None:
        """Return None when the caller may, else the AccessDenied error to answer with."""
        ...


class Handler(Protocol):
    """A service of our own behind the edge (sts, organizations).

    The edge has authenticated the caller. For `organizations` it has also authorised the call by
    the action table; `sts` authorises its own calls through the `Authorizer`, because only it
    knows the trust policy, the session policy and the web identity.
    """

    async def handle(self, request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
        """Answer the call, or refuse it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRecord:
    """A role as the store holds it at this moment."""

    account: str
    name: str
    arn: str
    role_id: str
    trust_document: str
    max_session_duration: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProviderRecord:
    """An OIDC identity provider as the store holds it. `url` has no scheme."""

    account: str
    arn: str
    url: str
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """An IAM user as the store holds it. `mfa_serials` are its enabled devices' serials (ARNs)."""

    account: str
    name: str
    arn: str
    user_id: str
    tags: Mapping[str, str]
    mfa_serials: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeyRecord:
    """A long-term access key: a user's, or the account root's when `user_name` is None."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    account: str
    user_name: str | None
    active: bool


class OrganizationLevels(Protocol):
    """The policies that an organisation puts over an account; owned by the organizations room.

    Each answer has one tuple per level, root first and the account last, each holding the
    policies attached there. Empty for the management account and outside an organisation.
    `organization_id` None: the account is in no organisation. `path` is `o-x/r-x/ou-x/`.
    """

    def scps(self, account: str) -> tuple[tuple[CompiledPolicy, ...], ...]:
        """Return the service control policies over that account."""
        ...

    def rcps(self, account: str) -> tuple[tuple[CompiledPolicy, ...], ...]:
        """Return the resource control policies over that account."""
        ...

    def organization_id(self, account: str) -> str | None:
        """Return the id of the organisation that the account is in."""
        ...

    def path(self, account: str) -> str | None:
        """Return the account's path for `aws:PrincipalOrgPaths`."""
        ...


class IamStore(Protocol):
    """What the deciders read of IAM, afresh at each request."""

    def accounts(self) -> frozenset[str]:
        """Return every account of this cloud."""
        ...

    def unique_id(self, arn: str) -> str | None:
        """Return the unique id of the user or role of that exact ARN; None if it is not there."""
        ...

    def access_key(self, access_key_id: str) -> AccessKeyRecord | None:
        """Return the long-term key, active or not."""
        ...

    def user(self, account: str, name: str) -> UserRecord | None:
        """Return the user."""
        ...

    def mfa_seed(self, serial: str) -> str | None:
        """Return the seed (base32) of a virtual MFA device; None of any other device."""
        ...

    def use_mfa_step(self, serial: str, step: int) -> bool:
        """Use up a device's code of a time step; tell whether it was still unused."""
        ...

    def role(self, account: str, name: str) -> RoleRecord | None:
        """Return the role; `name` is without its path."""
        ...

    def role_by_arn(self, arn: str) -> RoleRecord | None:
        """Return the role of that exact ARN, path included."""
        ...

    def oidc_provider(self, account: str, url: str) -> OidcProviderRecord | None:
        """Return the account's provider for an issuer; `url` with or without https://."""
        ...

    def identity_policies(self, principal_arn: str) -> tuple[CompiledPolicy, ...]:
        """Return the inline, attached and group policies of a user or role ARN."""
        ...

    def boundary(self, principal_arn: str) -> CompiledPolicy | None:
        """Return the permissions boundary of a user or role ARN."""
        ...

    def managed_policy(self, arn: str) -> str | None:
        """Return the default version's document of a managed policy (session policy ARNs)."""
        ...
