"""The account's trust in our issuer: an IAM OIDC provider."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import names
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerTrustArgs:
    """Which issuer is trusted. `gcp_audience` is what our tokens for Google Cloud carry."""

    issuer: str
    gcp_audience: str
    omissions: UnsafeOmissions = NOTHING_OMITTED


class IssuerTrust(pulumi.ComponentResource):
    """An OIDC provider that takes tokens made for AWS and for nobody else.

    No thumbprint is given: IAM looks one up, and uses it only for issuers whose certificate it
    could not otherwise trust.
    """

    provider_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: IssuerTrustArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the provider."""
        super().__init__("iamrange:aws:IssuerTrust", name, None, opts)
        provider = aws.iam.OpenIdConnectProvider(
            name,
            url=args.issuer,
            client_id_lists=args.omissions.client_ids([names.AWS_AUDIENCE], args.gcp_audience),
            tags=args.omissions.tags(aws_controls.PROVIDER_CLIENT_IDS),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.provider_arn = provider.arn
        self.register_outputs({"provider_arn": self.provider_arn})
