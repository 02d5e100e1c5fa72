"""Two roles that agents share: their project's worker, and from there the reader of records."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from iamrange.core import aws_controls
from infra import documents, names, shared_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectWorkerArgs:
    """Where the agents live."""

    place: documents.Place
    omissions: UnsafeOmissions = NOTHING_OMITTED


class ProjectWorker(pulumi.ComponentResource):
    """One pair of roles for all projects: which one a session works for is its tag."""

    worker_arn: pulumi.Output[str]
    reader_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: ProjectWorkerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare both roles and what each may do."""
        super().__init__("iamrange:aws:ProjectWorker", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        trust = args.omissions.worker_trust(shared_documents.worker_trust(args.place))
        worker = aws.iam.Role(
            names.WORKER_ROLE,
            name=names.WORKER_ROLE,
            path=names.SHARED_PATH,
            description="Works for the project that its session is tagged with",
            assume_role_policy=trust.to_json(),
            max_session_duration=3600,
            tags=args.omissions.tags(aws_controls.TAG_SESSION),
            opts=child,
        )
        aws.iam.RolePolicy(
            names.WORKER_ROLE,
            name="worker",
            role=worker.name,
            policy=shared_documents.worker_policy(args.place).to_json(),
            opts=child,
        )
        reader = aws.iam.Role(
            names.RECORDS_ROLE,
            name=names.RECORDS_ROLE,
            path=names.SHARED_PATH,
            description="Reads the records of the project that its session is tagged with",
            assume_role_policy=worker.arn.apply(
                lambda arn: shared_documents.reader_trust(arn).to_json()
            ),
            max_session_duration=3600,
            opts=child,
        )
        aws.iam.RolePolicy(
            names.RECORDS_ROLE,
            name="reader",
            role=reader.name,
            policy=shared_documents.reader_policy(args.place).to_json(),
            opts=child,
        )
        self.worker_arn = worker.arn
        self.reader_arn = reader.arn
        self.register_outputs({"worker_arn": self.worker_arn, "reader_arn": self.reader_arn})
