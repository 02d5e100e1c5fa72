"""What a world is made of: values only, JSON in and out, so that they can cross processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from iamrange.identity.directory.model import (
    DEFAULT_TENANT,
    AgentKey,
    AgentSpec,
    Classification,
    Kind,
)
from iamrange.identity.names import AWS_AUDIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

CORPORATE = "corporate"
OUTSIDE = "outside"
NETWORKS: Mapping[str, str] = {CORPORATE: "127.10.0.1", OUTSIDE: "127.66.0.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRegistration:
    """An agent as the runner registers it; the private key stays with the agent.

    `expires` is in seconds since the epoch; `tls_subject` lets it prove itself with a service
    certificate; `secret_hash` is that of a client secret which somebody once configured.
    """

    name: str
    public_jwk: Mapping[str, Any] = field(repr=False)
    kind: str = Kind.AGENT.value
    audiences: tuple[str, ...] = (AWS_AUDIENCE,)
    tenant: str = DEFAULT_TENANT
    aws_role_arn: str | None = None
    aws_session_policy: str | None = None
    owner: str = "range@iamrange.example"
    purpose: str = ""
    project: str = ""
    classification: str = Classification.INTERNAL.value
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    may_act: tuple[str, ...] = ()
    tls_subject: bool = False
    secret_hash: str | None = field(default=None, repr=False)
    expires: float | None = None

    def spec(self) -> AgentSpec:
        """Return the directory's own value.

        Raises:
            AgentFieldError: a field holds what it must not.
        """
        public = {name: self.public_jwk.get(name) for name in ("kty", "crv", "x", "y")}
        return AgentSpec(
            name=self.name,
            tenant=self.tenant,
            kind=Kind(self.kind),
            owner=self.owner,
            purpose=self.purpose,
            project=self.project,
            classification=Classification(self.classification),
            roles=frozenset(self.roles),
            scopes=frozenset(self.scopes),
            keys=(AgentKey.from_jwk(public),),
            tls_subject=self.tls_subject,
            secret_hash=self.secret_hash,
            may_act=frozenset(self.may_act),
            audiences=frozenset(self.audiences),
            aws_role_arn=self.aws_role_arn,
            aws_session_policy=self.aws_session_policy,
            expires=self.expires,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AgentRegistration:
        """Build from what `dataclasses.asdict` made.

        Raises:
            TypeError: a member is missing or unknown.
        """
        lists = {
            name: tuple(value[name])
            for name in ("audiences", "roles", "scopes", "may_act")
            if name in value
        }
        return cls(**{**value, **lists})


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One GCP project."""

    id: str
    number: str
    organization: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """Everything that is decided before a world starts.

    `aws_organization` is the management account of an organisation of `aws_members`.
    `rogues` are the tampers that may be switched on later, by name: an import path
    `module:attribute`. `resolve` and `trust_ca` are further issuers: where a host is reached, and
    PEM files of authorities to trust for it. `aws_cloud` and `gcp_cloud` are import paths too.
    `off` are the controls of the world's own services that are off from the start.
    `aws_upstream` is the URL of the emulator that holds AWS's resources, `aws_upstream_kind` what
    it was recognised as, `aws_upstream_lacking` the services that it does not have; those, and all
    where there is no emulator, are held in the world's own process. `aws_unmapped` and
    `aws_explain` are the AWS cloud's own options. `policy` is the folder that the gateway's policy
    is read from and that it follows while the world runs; without one it is the range's own, as it
    was when the world started.
    """

    run_id: str
    aws_accounts: tuple[str, ...] = ()
    aws_organization: str | None = None
    aws_members: tuple[str, ...] = ()
    gcp_organization: str | None = None
    gcp_projects: tuple[Project, ...] = ()
    networks: Mapping[str, str] = field(default_factory=lambda: dict(NETWORKS))
    agents: tuple[AgentRegistration, ...] = ()
    rogues: Mapping[str, str] = field(default_factory=dict)
    resolve: Mapping[str, str] = field(default_factory=dict)
    trust_ca: tuple[str, ...] = ()
    clock_offset: float = 0.0
    off: tuple[str, ...] = ()
    aws_cloud: str = "iamrange.clouds.aws.cloud:AwsCloud"
    gcp_cloud: str = "iamrange.clouds.gcp.cloud:GcpCloud"
    aws_upstream: str | None = None
    aws_upstream_kind: str = "unknown"
    aws_upstream_lacking: tuple[str, ...] = ()
    aws_unmapped: Literal["deny", "allow"] = "deny"
    aws_explain: bool = False
    policy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WorldConfig:
        """Build from what `to_json` made.

        Raises:
            TypeError: a member is missing or unknown.
        """
        lists = ("aws_accounts", "aws_members", "trust_ca", "off", "aws_upstream_lacking")
        tuples = {name: tuple(value[name]) for name in lists}
        return cls(
            **{
                **value,
                **tuples,
                "gcp_projects": tuple(Project(**project) for project in value["gcp_projects"]),
                "agents": tuple(AgentRegistration.from_json(agent) for agent in value["agents"]),
            }
        )
