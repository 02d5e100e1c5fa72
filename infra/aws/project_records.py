"""The records of a project: a table that carries the project's tag."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import names


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRecordsArgs:
    """The project whose records these are."""

    project: str


class ProjectRecords(pulumi.ComponentResource):
    """An on-demand table; who may read it is decided by its project tag."""

    table_name: pulumi.Output[str]

    def __init__(
        self, name: str, args: ProjectRecordsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the table."""
        super().__init__("iamrange:aws:ProjectRecords", name, None, opts)
        table = aws.dynamodb.Table(
            name,
            name=names.table(args.project),
            billing_mode="PAY_PER_REQUEST",
            hash_key="id",
            attributes=[aws.dynamodb.TableAttributeArgs(name="id", type="S")],
            tags={"project": args.project},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.table_name = table.name
        self.register_outputs({"table_name": self.table_name})
