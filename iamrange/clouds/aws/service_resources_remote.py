"""What the planners read of other services' resources, asked of an emulator over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from iamrange.clouds.aws.resources import tag_map
from iamrange.clouds.aws.service_resources import lambda_policy
from iamrange.clouds.aws.upstream_ask import question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.clouds.aws.upstream_ask import Asker, Question

# Services that tell a resource's tags themselves: operation, its parameter, and the answer's.
_LISTS = {
    "ecr": ("ListTagsForResource", "resourceArn", "tags"),
    "ecs": ("ListTagsForResource", "resourceArn", "tags"),
    "events": ("ListTagsForResource", "ResourceARN", "Tags"),
    "logs": ("ListTagsForResource", "resourceArn", "tags"),
    "stepfunctions": ("ListTagsForResource", "resourceArn", "tags"),
}


_CLOSED = (
    "<PublicAccessBlockConfiguration>"
    "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>"
    "<BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>"
    "</PublicAccessBlockConfiguration>"
)
_OWNED = (
    "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
    "</OwnershipControls>"
)


def _s3(
    operation: str,
    account: str,
    bucket: str,
    *query: tuple[str, str | None],
    key: str | None = None,
) -> Question:
    place = {"Bucket": bucket} | ({"Key": key} if key is not None else {})
    return question("s3", operation, account, "us-east-1", **place, Query=query)


class RemoteServiceResources:
    """The adapter over HTTP, part of `RemoteResources`."""

    _asker: Asker
    _accounts: Callable[[], frozenset[str]]

    def resource_tags(
        self, service: str, account: str, region: str, arn: str
    ) -> Mapping[str, str] | None:
        """Return a resource's tags; None: the emulator does not tell them."""
        if account not in self._accounts():
            return None
        if service in _LISTS:
            operation, asked_by, answer = _LISTS[service]
            own = question(service, operation, account, region, **{asked_by: arn})
            return tag_map((self._asker.one(own) or {}).get(answer))
        if service == "cloudtrail":
            return self._trail_tags(account, region, arn)
        asked = question(
            "resourcegroupstaggingapi", "GetResources", account, region, ResourceARNList=[arn]
        )
        found = self._asker.one(asked)
        listed = (found or {}).get("ResourceTagMappingList") or ()
        return next((tag_map(one.get("Tags")) for one in listed if one["ResourceARN"] == arn), None)

    def _trail_tags(self, account: str, region: str, arn: str) -> Mapping[str, str]:
        asked = question("cloudtrail", "ListTags", account, region, ResourceIdList=[arn])
        listed = (self._asker.one(asked) or {}).get("ResourceTagList") or ()
        return tag_map([tag for one in listed for tag in one.get("TagsList") or ()])

    def function_policy(self, account: str, region: str, name: str) -> str | None:
        """Return a function's policy."""
        if account not in self._accounts():
            return None
        found = self._asker.one(question("lambda", "GetPolicy", account, region, FunctionName=name))
        statements = json.loads((found or {}).get("Policy") or "{}").get("Statement")
        # Some tell a policy without statements where AWS has none.
        return lambda_policy(statements) if statements else None

    def repository_policy(self, account: str, region: str, name: str) -> str | None:
        """Return a container repository's policy."""
        if account not in self._accounts():
            return None
        asked = question("ecr", "GetRepositoryPolicy", account, region, repositoryName=name)
        return (self._asker.one(asked) or {}).get("policyText") or None

    def bus_policy(self, account: str, region: str, name: str) -> str | None:
        """Return an event bus's policy."""
        if account not in self._accounts():
            return None
        found = self._asker.one(question("events", "DescribeEventBus", account, region, Name=name))
        return (found or {}).get("Policy") or None

    def log_policies(self, account: str, region: str) -> tuple[str, ...]:
        """Return the policies of an account's logs."""
        if account not in self._accounts():
            return ()
        found = self._asker.one(question("logs", "DescribeResourcePolicies", account, region))
        listed = (found or {}).get("resourcePolicies") or ()
        return tuple(str(one["policyDocument"]) for one in listed)

    def task_definition(
        self, account: str, region: str, name: str
    ) -> tuple[str, tuple[str, ...]] | None:
        """Return a task definition's ARN and the roles it names."""
        if account not in self._accounts():
            return None
        asked = question(
            "ecs",
            "DescribeTaskDefinition",
            account,
            region,
            taskDefinition=name.rpartition("/")[2],
        )
        about = (self._asker.one(asked) or {}).get("taskDefinition")
        if about is None:
            return None
        roles = (about.get(one) for one in ("taskRoleArn", "executionRoleArn"))
        return str(about["taskDefinitionArn"]), tuple(str(role) for role in roles if role)

    def owner_enforced(self, account: str, bucket: str) -> bool:
        """Tell whether a bucket's ACLs are off."""
        asked = _s3("GetBucketOwnershipControls", account, bucket, ("ownershipControls", None))
        return "BucketOwnerEnforced" in str(self._asker.one(asked))

    def public_grants(
        self, account: str, bucket: str, key: str | None, version: str | None
    ) -> tuple[tuple[str, str], ...]:
        """Return what an ACL grants to everyone: the group's URI and the permission."""
        asked = _s3("GetBucketAcl", account, bucket, ("acl", None))
        if key is not None:
            query = (("acl", None), *([("versionId", version)] if version else []))
            asked = _s3("GetObjectAcl", account, bucket, *query, key=key)
        grants = (self._asker.one(asked) or {}).get("Grants") or ()
        return tuple(
            (str(grant["Grantee"]["URI"]), str(grant["Permission"]))
            for grant in grants
            if (grant.get("Grantee") or {}).get("URI")
        )

    def new_bucket(self, account: str, bucket: str) -> None:
        """Close a bucket that was just made as AWS does, where the emulator has left it open.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html
        """
        closed = _s3("GetPublicAccessBlock", account, bucket, ("publicAccessBlock", None))
        owned = _s3("GetBucketOwnershipControls", account, bucket, ("ownershipControls", None))
        block, controls = self._asker.ask(closed, owned)
        if block is None:
            self._asker.write_s3(account, bucket, "publicAccessBlock", _CLOSED)
        if controls is None:
            self._asker.write_s3(account, bucket, "ownershipControls", _OWNED)
