"""What a vendor may do in our account: one role that its account assumes on our business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import documents, names, shared_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions

if TYPE_CHECKING:
    from infra.settings import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorAccessArgs:
    """Who the vendor is."""

    vendor: Vendor
    place: documents.Place
    omissions: UnsafeOmissions = NOTHING_OMITTED


class VendorAccess(pulumi.ComponentResource):
    """A role for the vendor, and the empty secret that it may read. `facts` are for outputs."""

    facts: dict[str, pulumi.Input[str]]

    def __init__(
        self, name: str, args: VendorAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the role, its policy and the secret."""
        super().__init__("iamrange:aws:VendorAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        vendor, omissions = args.vendor, args.omissions
        trust = shared_documents.vendor_trust(vendor.account, vendor.external_id)
        role = aws.iam.Role(
            name,
            name=names.VENDOR_ROLE,
            path=names.VENDOR_PATH,
            description="Lets a vendor collect what it monitors for us",
            assume_role_policy=omissions.vendor_trust(trust).to_json(),
            max_session_duration=3600,
            tags=omissions.tags(aws_controls.EXTERNAL_ID),
            opts=child,
        )
        aws.iam.RolePolicy(
            name,
            name="vendor",
            role=role.name,
            policy=documents.read_secret(args.place, names.VENDOR_SECRET).to_json(),
            opts=child,
        )
        secret = aws.secretsmanager.Secret(
            name,
            name=names.VENDOR_SECRET,
            description="What the vendor monitors",
            recovery_window_in_days=0,
            opts=child,
        )
        self.facts = {
            "vendor_role_arn": role.arn,
            "vendor_external_id": vendor.external_id,
            "vendor_secret_arn": secret.arn,
        }
        self.register_outputs({"role_arn": role.arn, "secret_arn": secret.arn})
