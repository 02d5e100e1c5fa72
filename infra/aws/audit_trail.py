"""What is written down about the account: a CloudTrail trail, and the bucket that it goes to."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import documents, names


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTrailArgs:
    """The account that the trail is about."""

    place: documents.Place


class AuditTrail(pulumi.ComponentResource):
    """A trail of every region, with digests that show later changes to its files."""

    arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: AuditTrailArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the bucket, what CloudTrail may do there, and the trail."""
        super().__init__("iamrange:aws:AuditTrail", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            name,
            bucket=names.trail_bucket(args.place.account),
            # a range is taken down whole, with what was written about it
            force_destroy=True,
            opts=child,
        )
        policy = aws.s3.BucketPolicy(
            name,
            bucket=bucket.bucket,
            policy=documents.trail_delivery(args.place).to_json(),
            opts=child,
        )
        trail = aws.cloudtrail.Trail(
            name,
            name=names.TRAIL,
            s3_bucket_name=bucket.bucket,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.arn = trail.arn
        self.register_outputs({"arn": self.arn})
