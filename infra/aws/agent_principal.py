"""An agent on AWS: a role that it alone may assume, and the secret that it alone may read."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import documents, names
from infra.settings import Agent, Classification, Power
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions

SESSION_SECONDS = 3600
"""The least that IAM takes as a role's maximum; shorter sessions are the caller's choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPrincipalArgs:
    """One agent, and what it is tied to. `incident` is the time of an incident it was part of."""

    agent: Agent
    place: documents.Place
    issuer: str
    spiffe_id: str
    provider_arn: pulumi.Input[str]
    boundary_arn: pulumi.Input[str]
    incident: str | None = None
    omissions: UnsafeOmissions = NOTHING_OMITTED


class AgentPrincipal(pulumi.ComponentResource):
    """A role, its policy, and an empty secret; after an incident, the end of older sessions too."""

    role_arn: pulumi.Output[str]
    secret_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentPrincipalArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the agent's role, policy and secret."""
        super().__init__("iamrange:aws:AgentPrincipal", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        agent, omissions = args.agent, args.omissions
        role = aws.iam.Role(
            name,
            name=names.role(agent.name),
            path=names.AGENT_PATH,
            description=agent.purpose,
            max_session_duration=SESSION_SECONDS,
            assume_role_policy=pulumi.Output.from_input(args.provider_arn).apply(
                lambda arn: _trust(args, arn)
            ),
            permissions_boundary=omissions.boundary(args.boundary_arn),
            # who may deploy policies leaves some that Pulumi never made
            force_detach_policies=True,
            tags=_tags(args),
            opts=child,
        )
        aws.iam.RolePolicy(
            name, name="agent", role=role.name, policy=_policy(args).to_json(), opts=child
        )
        if args.incident and not omissions.lacks(aws_controls.REVOKE_OLDER_SESSIONS):
            aws.iam.RolePolicy(
                f"{name}-revocation",
                name="AWSRevokeOlderSessions",
                role=role.name,
                policy=documents.revoke_older_sessions(args.incident).to_json(),
                opts=child,
            )
        if Power.DEPLOY_FUNCTIONS in agent.powers:
            _function_role(name, args, child)
        secret = aws.secretsmanager.Secret(
            name,
            name=names.secret(agent.name),
            description=f"Credentials of {agent.part}",
            # none: a name in its recovery window stays taken, and an agent is re-made at once
            recovery_window_in_days=0,
            tags={"agent": agent.name, "project": agent.project},
            opts=child,
        )
        restricted = agent.classification is Classification.RESTRICTED
        if restricted and not omissions.lacks(aws_controls.SECRET_RESOURCE_POLICY):
            aws.secretsmanager.SecretPolicy(
                name,
                secret_arn=secret.arn,
                policy=role.arn.apply(lambda arn: documents.only_reader(arn).to_json()),
                opts=child,
            )
        self.role_arn = role.arn
        self.secret_arn = secret.arn
        self.register_outputs({"role_arn": self.role_arn, "secret_arn": self.secret_arn})


def _function_role(name: str, args: AgentPrincipalArgs, opts: pulumi.ResourceOptions) -> None:
    """Declare the role that the agent's function runs with: it reads what the agent reads."""
    agent = args.agent
    role = aws.iam.Role(
        f"{name}-function",
        name=names.function(agent.name),
        path=names.FUNCTION_PATH,
        description=f"Runs the function of {agent.part}",
        assume_role_policy=documents.service_trust(documents.LAMBDA).to_json(),
        max_session_duration=SESSION_SECONDS,
        opts=opts,
    )
    own = documents.Document((documents.own_secret(args.place, agent.name),))
    aws.iam.RolePolicy(
        f"{name}-function", name="function", role=role.name, policy=own.to_json(), opts=opts
    )


def _trust(args: AgentPrincipalArgs, provider_arn: str) -> str:
    trust = documents.agent_trust(
        provider_arn=provider_arn, issuer=args.issuer, subject=args.spiffe_id
    )
    return args.omissions.trust(trust, args.issuer).to_json()


def _policy(args: AgentPrincipalArgs) -> documents.Document:
    """Return what the agent may do: what every agent may, and its declared powers."""
    agent, place, omissions = args.agent, args.place, args.omissions
    statements = [
        omissions.own_secret(documents.own_secret(place, agent.name), place),
        omissions.project_records(documents.project_records(place)),
        *documents.wrapped_data_keys(place),
        documents.work_for_project(place),
    ]
    if Power.DEPLOY_ROLE_POLICIES in agent.powers:
        statements.append(documents.deploy_role_policies(place, agent.name))
    if Power.DEPLOY_FUNCTIONS in agent.powers:
        statements.append(documents.deploy_functions(place, agent.name))
        own = documents.pass_function_role(place, agent.name)
        statements.append(omissions.pass_function_role(own, place))
    if Power.MANAGE_SERVICE_KEYS in agent.powers:
        statements.append(documents.manage_service_keys(place))
    if Power.ADMINISTER_ACCOUNT in agent.powers:
        statements.append(documents.administer_account())
    return documents.Document(tuple(statements))


def _tags(args: AgentPrincipalArgs) -> dict[str, str]:
    """Return the role's tags; a session carries them, and policies may ask for them."""
    agent = args.agent
    incident = {"incident": args.incident} if args.incident else {}
    return {
        "agent": agent.name,
        "part": agent.part,
        "project": agent.project,
        "owner": agent.owner,
        "classification": agent.classification.value,
        "expires": agent.expires,
        **incident,
        **args.omissions.tags(
            aws_controls.TRUST_PINS_SUBJECT,
            aws_controls.TRUST_PINS_AUDIENCE,
            aws_controls.PERMISSIONS_BOUNDARY,
        ),
    }
