"""An agent on Google Cloud: a service account that it alone may act as, and its own secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_gcp as gcp

from iamrange.core import gcp_controls
from infra import names
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions, UnsafeProjectGrant

if TYPE_CHECKING:
    from infra.settings import Agent

IMPERSONATE = "roles/iam.workloadIdentityUser"
READ_SECRET = "roles/secretmanager.secretAccessor"  # noqa: S105 - the name of a role


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAccountArgs:
    """One agent and its project. `pool_name` is an output, so that grants wait for the pool."""

    agent: Agent
    project: str
    pool_name: pulumi.Input[str]
    omissions: UnsafeOmissions = NOTHING_OMITTED


class AgentAccount(pulumi.ComponentResource):
    """A service account without keys, an empty secret, and the two grants that connect them."""

    email: pulumi.Output[str]
    member: pulumi.Output[str]
    secret_id: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentAccountArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the account, the secret and the grants."""
        super().__init__("iamrange:gcp:AgentAccount", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        agent, omissions = args.agent, args.omissions
        account = gcp.serviceaccount.Account(
            name,
            account_id=names.gcp_account_id(agent.name),
            display_name=agent.name,
            description=agent.purpose,
            opts=child,
        )
        secret = gcp.secretmanager.Secret(
            name,
            secret_id=names.gcp_secret(agent.name),
            replication=gcp.secretmanager.SecretReplicationArgs(
                auto=gcp.secretmanager.SecretReplicationAutoArgs()
            ),
            labels={
                "agent": agent.name,
                "part": agent.part,
                "project": agent.project,
                "classification": agent.classification.value,
                "expires": agent.expires,
            },
            opts=child,
        )
        subject = pulumi.Output.from_input(args.pool_name).apply(
            lambda pool: names.gcp_subject(pool, agent.name)
        )
        impersonation = f"{name}-impersonation"
        if omissions.lacks(gcp_controls.IMPERSONATION_SCOPED):
            UnsafeProjectGrant(
                impersonation, project=args.project, role=IMPERSONATE, member=subject, opts=child
            )
        else:
            gcp.serviceaccount.IAMMember(
                impersonation,
                service_account_id=account.name,
                role=IMPERSONATE,
                member=subject,
                opts=child,
            )
        reading = f"{name}-secret"
        if omissions.lacks(gcp_controls.SECRET_LEVEL_IAM):
            UnsafeProjectGrant(
                reading, project=args.project, role=READ_SECRET, member=account.member, opts=child
            )
        else:
            gcp.secretmanager.SecretIamMember(
                reading,
                secret_id=secret.secret_id,
                role=READ_SECRET,
                member=account.member,
                opts=child,
            )
        self.email = account.email
        self.member = account.member
        self.secret_id = secret.secret_id
        self.register_outputs(
            {"email": self.email, "member": self.member, "secret_id": self.secret_id}
        )
