"""What Google Cloud's backup account may do in our AWS account: read the key to the backups."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import documents, names, shared_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleCopierArgs:
    """The number of the one service account that may come."""

    place: documents.Place
    subject: pulumi.Input[str]
    omissions: UnsafeOmissions = NOTHING_OMITTED


class GoogleCopier(pulumi.ComponentResource):
    """A role that trusts Google's issuer, which every account knows without a provider."""

    role_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: GoogleCopierArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the role and its policy."""
        super().__init__("iamrange:aws:GoogleCopier", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        omissions = args.omissions
        role = aws.iam.Role(
            name,
            name=names.COPIER_ROLE,
            path=names.GOOGLE_PATH,
            description="Lets Google Cloud's backup account fetch the key to the backups",
            assume_role_policy=pulumi.Output.from_input(args.subject).apply(
                lambda subject: omissions.google_trust(
                    shared_documents.google_trust(subject)
                ).to_json()
            ),
            max_session_duration=3600,
            tags=omissions.tags(aws_controls.TRUST_PINS_SUBJECT),
            opts=child,
        )
        aws.iam.RolePolicy(
            name,
            name="copier",
            role=role.name,
            policy=documents.read_secret(args.place, names.BACKUP_KEY_SECRET).to_json(),
            opts=child,
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})
