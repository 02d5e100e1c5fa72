"""The permissions boundary that every agent's role carries."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import documents


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBoundaryArgs:
    """Where the agents live."""

    place: documents.Place


class AgentBoundary(pulumi.ComponentResource):
    """A managed policy that caps what agents can be granted; it grants nothing itself."""

    arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentBoundaryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the policy."""
        super().__init__("iamrange:aws:AgentBoundary", name, None, opts)
        policy = aws.iam.Policy(
            name,
            name="iamrange-agent-boundary",
            description="Caps what any agent can be granted, by whomever.",
            policy=documents.agent_boundary(args.place).to_json(),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = policy.arn
        self.register_outputs({"arn": self.arn})
