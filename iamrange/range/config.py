"""What a world is made of: values only, JSON in and out, so that they can cross processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.identity.names import AWS_AUDIENCE
from iamrange.identity.registry import DEFAULT_TENANT, Agent, AgentState

if TYPE_CHECKING:
    from collections.abc import Mapping

CORPORATE = "corporate"
OUTSIDE = "outside"
NETWORKS: Mapping[str, str] = {CORPORATE: "127.10.0.1", OUTSIDE: "127.66.0.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRegistration:
    """An agent as the runner registers it; the private key stays with the agent."""

    name: str
    public_jwk: Mapping[str, Any] = field(repr=False)
    audiences: tuple[str, ...] = (AWS_AUDIENCE,)
    tenant: str = DEFAULT_TENANT
    state: str = AgentState.ACTIVE.value
    aws_role_arn: str | None = None
    aws_session_policy: str | None = None

    def agent(self) -> Agent:
        """Return the directory's own value."""
        return Agent(
            name=self.name,
            public_jwk=dict(self.public_jwk),
            audiences=frozenset(self.audiences),
            tenant=self.tenant,
            state=AgentState(self.state),
            aws_role_arn=self.aws_role_arn,
            aws_session_policy=self.aws_session_policy,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AgentRegistration:
        """Build from what `dataclasses.asdict` made.

        Raises:
            TypeError: a member is missing or unknown.
        """
        return cls(**{**value, "audiences": tuple(value.get("audiences", (AWS_AUDIENCE,)))})


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
    `aws_upstream` is the URL of the emulator that holds AWS's resources, `aws_upstream_kind` what
    it was recognised as; without it they are held in the world's own process.
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
    aws_cloud: str = "iamrange.clouds.aws.cloud:AwsCloud"
    gcp_cloud: str = "iamrange.clouds.gcp.cloud:GcpCloud"
    aws_upstream: str | None = None
    aws_upstream_kind: str = "unknown"

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WorldConfig:
        """Build from what `to_json` made.

        Raises:
            TypeError: a member is missing or unknown.
        """
        tuples = {name: tuple(value[name]) for name in ("aws_accounts", "aws_members", "trust_ca")}
        return cls(
            **{
                **value,
                **tuples,
                "gcp_projects": tuple(Project(**project) for project in value["gcp_projects"]),
                "agents": tuple(AgentRegistration.from_json(agent) for agent in value["agents"]),
            }
        )
