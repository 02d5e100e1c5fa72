"""Access control lists of S3, as far as they change an answer: what they grant to everyone.

- ACLs are off in a new bucket, and what they grant to everyone is ignored there.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
- A grant to one account's canonical user is not read: the stores keep one such id for all.
- https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.model import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.resources import Bucket, Resources

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
CANNED_ACLS = frozenset(
    [
        "private",
        "public-read",
        "public-read-write",
        "aws-exec-read",
        "authenticated-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    ]
)
GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")
_PUBLIC = frozenset({"public-read", "public-read-write", "authenticated-read"})
_GRANTEE = re.compile(r"\s*(?:id|uri|emailAddress)\s*=\s*\"?[^\",]+\"?\s*\Z")
_ON_BUCKETS: Mapping[str, tuple[str, ...]] = {
    "READ": ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"),
    "WRITE": ("s3:PutObject",),
    "READ_ACP": ("s3:GetBucketAcl",),
    "WRITE_ACP": ("s3:PutBucketAcl",),
}
_ON_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "READ": ("s3:GetObject", "s3:GetObjectVersion"),
    "READ_ACP": ("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
    "WRITE_ACP": ("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
}


def acl_fault(request: AwsRequest, bucket: Bucket, resources: Resources) -> AwsError | None:
    """Return what S3 answers to an ACL that it does not take, or None."""
    parameters = request.parameters
    canned = parameters.get("ACL")
    if canned is not None and canned not in CANNED_ACLS:
        return _error("InvalidArgument", f"{canned} is no canned ACL")
    headers = [str(parameters[name]) for name in GRANTS if parameters.get(name)]
    if any(not _GRANTEE.match(one) for header in headers for one in header.split(",")):
        return _error("InvalidArgument", "Argument format not recognized")
    body = parameters.get("AccessControlPolicy")
    puts = request.operation in ("PutBucketAcl", "PutObjectAcl")
    if puts and not canned and not headers and not body:
        return _error(
            "MissingSecurityHeader",
            "Your request was missing a required header: an ACL is given by header or body",
        )
    if puts and body and not (body.get("Owner") or {}).get("ID"):
        return _error("MalformedACLError", "The XML you provided was not well-formed")
    if not (canned or headers or (puts and body)):
        return None
    if resources.owner_enforced(bucket.account, bucket.name):
        # The owner's full control is what there is anyway.
        plain = canned in ("bucket-owner-full-control", "private") and not headers and not body
        if puts or not plain:
            return _error("AccessControlListNotSupported", "The bucket does not allow ACLs")
    if bucket.block_public_acls and _is_public(canned, headers, body):
        message = (
            f"User is not authorized to perform: s3:{request.operation} on resource: "
            f"{bucket.arn} because public ACLs are prevented by the BlockPublicAcls setting in "
            "S3 Block Public Access."
        )
        return AwsError(code="AccessDenied", message=message, status=403)
    return None


def _is_public(canned: str | None, headers: list[str], body: Any) -> bool:  # noqa: ANN401  # a document's shape
    everyone = (ALL_USERS, AUTHENTICATED_USERS)
    texts = [*headers, json.dumps(body, default=str) if body else ""]
    return canned in _PUBLIC or any(group in text for text in texts for group in everyone)


def _error(code: str, message: str) -> AwsError:
    return AwsError(code=code, message=message, status=400)


def with_acl(
    request: AwsRequest, bucket: Bucket, resources: Resources, key: str | None, version: str | None
) -> str | None:
    """Return the bucket's policy, with what an ACL grants to everyone."""
    if bucket.ignore_public_acls or resources.owner_enforced(bucket.account, bucket.name):
        return bucket.policy
    statements: list[dict[str, Any]] = []
    for on, known in ((None, _ON_BUCKETS), (key, _ON_OBJECTS)):
        if on is None and known is _ON_OBJECTS:
            continue
        for group, permission in resources.public_grants(bucket.account, bucket.name, on, version):
            if group != ALL_USERS and not (group == AUTHENTICATED_USERS and request.account):
                continue
            every = known if permission == "FULL_CONTROL" else {permission}
            actions = [action for one in sorted(every) for action in known.get(one, ())]
            if actions:
                on_objects = known is _ON_OBJECTS or permission in ("WRITE", "FULL_CONTROL")
                places = [bucket.arn, *([f"{bucket.arn}/*"] if on_objects else [])]
                statements.append(
                    {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": places}
                )
    if not statements:
        return bucket.policy
    own = json.loads(bucket.policy) if bucket.policy else {"Version": "2012-10-17", "Statement": []}
    listed = own["Statement"] if isinstance(own["Statement"], list) else [own["Statement"]]
    return json.dumps({**own, "Statement": [*listed, *statements]})
