"""What the organisation forbids in a member account, whatever anybody there is granted."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import organisation_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationGuardrailsArgs:
    """The member account that is bound, and the networks that its agents call from."""

    account: str
    corporate_networks: tuple[str, ...]
    omissions: UnsafeOmissions = NOTHING_OMITTED


class OrganisationGuardrails(pulumi.ComponentResource):
    """Service control policies, attached to the account itself.

    The lapse is a policy that somebody wrote and nobody attached, so the policies are always there.
    They bind neither the management account nor the web-identity call itself.
    """

    def __init__(
        self,
        name: str,
        args: OrganisationGuardrailsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare each policy, and its attachment unless its control is left out."""
        super().__init__("iamrange:aws:OrganisationGuardrails", name, None, opts)
        for control, document in (
            (aws_controls.ORG_NO_LONG_LIVED_KEYS, organisation_documents.no_long_lived_keys()),
            (
                aws_controls.NETWORK_PERIMETER,
                organisation_documents.network_perimeter(args.account, args.corporate_networks),
            ),
            (aws_controls.ORG_STAY_IN_ORGANISATION, organisation_documents.stay_in_organisation()),
        ):
            short = control.id.removeprefix("aws.")
            policy = aws.organizations.Policy(
                short,
                name=f"iamrange-{short}",
                description=control.summary,
                type="SERVICE_CONTROL_POLICY",
                content=document.to_json(),
                opts=pulumi.ResourceOptions(parent=self),
            )
            if not args.omissions.lacks(control):
                aws.organizations.PolicyAttachment(
                    short,
                    policy_id=policy.id,
                    target_id=args.account,
                    opts=pulumi.ResourceOptions(parent=self),
                )
        self.register_outputs({})
