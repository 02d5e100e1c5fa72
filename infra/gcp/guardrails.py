"""What the organisation's policy service forbids in the project, whatever anybody is granted."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions

NO_KEYS = "iam.disableServiceAccountKeyCreation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectGuardrailsArgs:
    """The project that is bound."""

    project: str
    omissions: UnsafeOmissions = NOTHING_OMITTED


class ProjectGuardrails(pulumi.ComponentResource):
    """The constraint that lets nobody make keys for service accounts."""

    def __init__(
        self, name: str, args: ProjectGuardrailsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the policy."""
        super().__init__("iamrange:gcp:ProjectGuardrails", name, None, opts)
        parent = f"projects/{args.project}"
        gcp.orgpolicy.Policy(
            "no-service-account-keys",
            name=f"{parent}/policies/{NO_KEYS}",
            parent=parent,
            spec=gcp.orgpolicy.PolicySpecArgs(
                rules=[gcp.orgpolicy.PolicySpecRuleArgs(enforce=args.omissions.enforcement())]
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
