"""What the organisation forbids in a member account, whatever anybody there is granted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import names, organisation_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions

if TYPE_CHECKING:
    from iamrange.core.control import Control
    from infra.documents import Document


SCP = "SERVICE_CONTROL_POLICY"
RCP = "RESOURCE_CONTROL_POLICY"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationGuardrailsArgs:
    """The account that is bound, the issuers that it may trust (ours first), and its agents'."""

    account: str
    issuers: tuple[str, ...]
    trust_domain: str
    corporate_networks: tuple[str, ...]
    omissions: UnsafeOmissions = NOTHING_OMITTED


class OrganisationGuardrails(pulumi.ComponentResource):
    """Control policies, attached to the account itself.

    The lapse is a policy that somebody wrote and nobody attached, so the policies are always there.
    None binds the management account. Service control policies do not bind the web-identity call:
    nobody of the account makes it. The resource control policy does, being about the role.
    """

    def __init__(
        self,
        name: str,
        args: OrganisationGuardrailsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare each policy, and its attachment unless its control is left out."""
        super().__init__("iamrange:aws:OrganisationGuardrails", name, None, opts)
        for control, kind, document in _guardrails(args):
            short = control.id.removeprefix("aws.")
            policy = aws.organizations.Policy(
                short,
                name=f"iamrange-{short}",
                description=args.omissions.description(
                    control.summary, *((control,) if control is aws_controls.ISSUER_TENANT else ())
                ),
                type=kind,
                content=document.to_json(),
                opts=pulumi.ResourceOptions(parent=self),
            )
            # a pattern that ends early is attached like any other
            if control is aws_controls.ISSUER_TENANT or not args.omissions.lacks(control):
                aws.organizations.PolicyAttachment(
                    short,
                    policy_id=policy.id,
                    target_id=args.account,
                    opts=pulumi.ResourceOptions(parent=self),
                )
        self.register_outputs({})


def _guardrails(
    args: OrganisationGuardrailsArgs,
) -> tuple[tuple[Control, str, Document], ...]:
    return (
        (aws_controls.ORG_NO_LONG_LIVED_KEYS, SCP, organisation_documents.no_long_lived_keys()),
        (
            aws_controls.NETWORK_PERIMETER,
            SCP,
            organisation_documents.network_perimeter(args.account, args.corporate_networks),
        ),
        (aws_controls.ORG_KEEP_LOGGING, SCP, organisation_documents.keep_logging(args.account)),
        (
            aws_controls.ORG_STAY_IN_ORGANISATION,
            SCP,
            organisation_documents.stay_in_organisation(),
        ),
        (
            aws_controls.ISSUER_ALLOW_LIST,
            RCP,
            organisation_documents.issuer_allow_list(args.issuers),
        ),
        (
            aws_controls.ISSUER_TENANT,
            RCP,
            organisation_documents.own_subjects_only(
                args.issuers[0],
                args.omissions.own_subjects(names.spiffe_id(args.trust_domain, "*")),
            ),
        ),
    )
