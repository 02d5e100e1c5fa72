"""The agents' data keys: one KMS key that wraps them, one table where the wrapped ones lie."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import documents, names, shared_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKeysArgs:
    """Where the agents live."""

    place: documents.Place
    omissions: UnsafeOmissions = NOTHING_OMITTED


class DataKeys(pulumi.ComponentResource):
    """A key and a table; that a wrapped key lies where all can fetch it does no harm."""

    key_arn: pulumi.Output[str]
    table_name: pulumi.Output[str]

    def __init__(
        self, name: str, args: DataKeysArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the key and the table."""
        super().__init__("iamrange:aws:DataKeys", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        policy = args.omissions.data_key_policy(shared_documents.data_key_policy(args.place))
        key = aws.kms.Key(
            name,
            description="Wraps the agents' data keys",
            policy=policy.to_json(),
            enable_key_rotation=True,
            deletion_window_in_days=7,
            tags=args.omissions.tags(aws_controls.KMS_ENCRYPTION_CONTEXT),
            opts=child,
        )
        table = aws.dynamodb.Table(
            name,
            name=names.DATA_KEYS_TABLE,
            billing_mode="PAY_PER_REQUEST",
            hash_key="id",
            attributes=[aws.dynamodb.TableAttributeArgs(name="id", type="S")],
            opts=child,
        )
        self.key_arn = key.arn
        self.table_name = table.name
        self.register_outputs({"key_arn": self.key_arn, "table_name": self.table_name})
