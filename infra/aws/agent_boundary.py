"""The permissions boundaries that agents' roles carry."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import boundaries, documents


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBoundaryArgs:
    """Where the agents live."""

    place: documents.Place


class AgentBoundary(pulumi.ComponentResource):
    """Managed policies that cap what agents can be granted; they grant nothing themselves.

    Administrators have one of their own, so that no other agent's reaches as far.
    """

    arn: pulumi.Output[str]
    administrators_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentBoundaryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the policies."""
        super().__init__("iamrange:aws:AgentBoundary", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        agents = aws.iam.Policy(
            name,
            name="iamrange-agent-boundary",
            description="Caps what any agent can be granted, by whomever.",
            policy=boundaries.agent_boundary(args.place).to_json(),
            opts=child,
        )
        administrators = aws.iam.Policy(
            "administrator-boundary",
            name="iamrange-administrator-boundary",
            description="Caps what an agent that administers the account can be granted.",
            policy=boundaries.administrator_boundary(args.place).to_json(),
            opts=child,
        )
        self.arn = agents.arn
        self.administrators_arn = administrators.arn
        self.register_outputs({"arn": self.arn, "administrators_arn": self.administrators_arn})
