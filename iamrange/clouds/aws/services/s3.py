"""S3 in permissions.

- The owner of the bucket is where a call lands, whoever makes it.
- Operations and actions have different names here; the table is AWS's own.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
- Headers that carry permissions of their own (a copy's source, ACL, tags, lock, key) are checked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.partial import Part, Parts
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.public_policies import is_public
from iamrange.clouds.aws.services.kms import key_checks
from iamrange.clouds.aws.services.s3_acls import CANNED_ACLS, GRANTS, acl_fault, with_acl
from iamrange.clouds.aws.services.s3_actions import BUCKET_ACTIONS, OBJECT_ACTIONS, VERSIONED
from iamrange.clouds.aws.services.s3_context import common, listing, object_context
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.policy import CompiledPolicy
    from iamrange.clouds.aws.resources import Bucket, Resources

_NOT_FOUND = 404
_IN_UPLOADS = frozenset(
    {"UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"}
)


class S3Planner:
    """What each operation of S3 needs."""

    def __init__(self, resources: Resources) -> None:
        """Take where buckets and objects are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation, parameters = request.operation, request.parameters
        if operation == "ListBuckets":
            check = Check(
                action="s3:ListAllMyBuckets", resource="*", resource_account=request.account
            )
            return Plan(checks=(check,), account=request.account)
        name = parameters.get("Bucket")
        if not isinstance(name, str) or not name or name.startswith("arn:"):
            return Unmapped("no bucket, or an access point")
        bucket = self._resources.bucket(name)
        if operation == "CreateBucket":
            return self._create(request, name, bucket)
        if bucket is None:
            return self._absent(request, name)
        if operation == "DeleteObjects":
            return self._delete_objects(request, bucket)
        if operation in BUCKET_ACTIONS:
            actions = (BUCKET_ACTIONS[operation],)
            checks = tuple(self._check(request, bucket, action, None) for action in actions)
        elif operation in OBJECT_ACTIONS:
            checks = self._object(request, bucket, str(parameters.get("Key")))
        else:
            return Unmapped("no rule puts it into actions", whole=True)
        return Plan(
            checks=checks,
            account=bucket.account,
            instead=_refused(request, bucket, self._resources) or self._no_upload(request, bucket),
        )

    def _no_upload(self, request: AwsRequest, bucket: Bucket) -> AwsError | None:
        """Refuse a part of an upload that is not under way."""
        if request.operation not in _IN_UPLOADS:
            return None
        upload = str(request.parameters.get("UploadId"))
        if self._resources.has_upload(bucket.name, str(request.parameters.get("Key")), upload):
            return None
        message = (
            "The specified upload does not exist. The upload ID may be invalid, or the upload may "
            "have been aborted or completed."
        )
        return AwsError(code="NoSuchUpload", message=message, status=_NOT_FOUND)

    def _create(self, request: AwsRequest, name: str, bucket: Bucket | None) -> Plan | Unmapped:
        if not request.account:
            return Unmapped("nobody may create a bucket")
        resource = f"arn:aws:s3:::{name}"
        context = common(request)
        place = request.parameters.get("CreateBucketConfiguration") or {}
        if place.get("LocationConstraint"):
            context["s3:LocationConstraint"] = str(place["LocationConstraint"])
        if request.parameters.get("ObjectOwnership"):
            context["s3:x-amz-object-ownership"] = str(request.parameters["ObjectOwnership"])
        actions = ["s3:CreateBucket"]
        if _brings_acl(request.parameters):
            actions.append("s3:PutBucketAcl")
        if request.parameters.get("ObjectLockEnabledForBucket"):
            actions += ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
        checks = tuple(
            Check(action=a, resource=resource, resource_account=request.account, context=context)
            for a in actions
        )
        taken = None
        if bucket is not None and bucket.account != request.account:
            taken = AwsError(
                code="BucketAlreadyExists",
                message="The requested bucket name is not available.",
                status=409,
            )
        made = partial(self._resources.new_bucket, request.account, name)
        fresh = bucket is None
        return Plan(
            checks=checks,
            account=request.account,
            instead=taken or _odd_acl(request),
            after=made if fresh else None,
        )

    def _absent(self, request: AwsRequest, name: str) -> Plan:
        operation = request.operation
        key = request.parameters.get("Key")
        action = BUCKET_ACTIONS.get(operation) or OBJECT_ACTIONS.get(operation) or "s3:ListBucket"
        check = Check(
            action=action,
            resource=f"arn:aws:s3:::{name}/{key}" if key else f"arn:aws:s3:::{name}",
            resource_account=request.account or None,
            context=common(request),
        )
        missing = AwsError(
            code="404" if request.http.method == "HEAD" else "NoSuchBucket",
            message="The specified bucket does not exist",
            status=_NOT_FOUND,
        )
        return Plan(checks=(check,), account=request.account, instead=missing)

    def _check(  # noqa: PLR0913, PLR0917 - the parts of one permission
        self,
        request: AwsRequest,
        bucket: Bucket,
        action: str,
        key: str | None,
        extra: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Check:
        context = common(request) | {"s3:ResourceAccount": bucket.account}
        tags: Mapping[str, str] | None = bucket.tags
        if key is not None:
            tags = None
            existing = self._resources.object_tags(bucket.name, key, version)
            context |= {f"s3:ExistingObjectTag/{k}": v for k, v in existing.items()}
        else:
            context |= listing(request)
        context |= {f"s3:BucketTag/{k}": v for k, v in bucket.tags.items()}
        return Check(
            action=action,
            resource=bucket.arn if key is None else f"{bucket.arn}/{key}",
            resource_account=bucket.account,
            context=context | dict(extra or {}),
            resource_policy=self._policy(request, bucket, key, version),
            resource_tags=tags,
        )

    def _policy(
        self, request: AwsRequest, bucket: Bucket, key: str | None, version: str | None
    ) -> CompiledPolicy | None:
        document = with_acl(request, bucket, self._resources, key, version)
        if document is None:
            return None
        restricted = bucket.restrict_public_policy and request.account != bucket.account
        if restricted and is_public(document):
            # RestrictPublicBuckets: a public policy lets in nobody from outside, named or not.
            return None
        return compiled(document, PolicyKind.RESOURCE, bucket.arn)

    def _object(self, request: AwsRequest, bucket: Bucket, key: str) -> tuple[Check, ...]:
        operation, parameters = request.operation, request.parameters
        version = parameters.get("VersionId")
        action = OBJECT_ACTIONS[operation]
        if version and operation in VERSIONED:
            action = VERSIONED[operation]
        extra = object_context(request)
        checks = [self._check(request, bucket, action, key, extra, version)]
        if operation in ("CopyObject", "UploadPartCopy"):
            checks += self._copy_source(request)
        writes = operation in ("PutObject", "CopyObject", "CreateMultipartUpload")
        if writes and parameters.get("Tagging"):
            checks.append(self._check(request, bucket, "s3:PutObjectTagging", key, extra))
        if writes and _brings_acl(parameters):
            checks.append(self._check(request, bucket, "s3:PutObjectAcl", key, extra))
        if writes and parameters.get("ObjectLockMode"):
            checks.append(self._check(request, bucket, "s3:PutObjectRetention", key, extra))
        if writes and parameters.get("ObjectLockLegalHoldStatus"):
            checks.append(self._check(request, bucket, "s3:PutObjectLegalHold", key, extra))
        if parameters.get("BypassGovernanceRetention"):
            checks.append(self._check(request, bucket, "s3:BypassGovernanceRetention", key))
        if operation == "GetObjectAttributes":
            second = "s3:GetObjectVersionAttributes" if version else "s3:GetObjectAttributes"
            checks.append(self._check(request, bucket, second, key, extra, version))
        if operation in ("GetObject", "HeadObject") and not self._resources.has_object(
            bucket.name, key, version
        ):
            # Without the right to list, a missing object is refused, not reported missing.
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
            checks.append(self._check(request, bucket, "s3:ListBucket", None))
        return (*checks, *self._key_use(request, bucket, key))

    def _key_use(self, request: AwsRequest, bucket: Bucket, key: str) -> tuple[Check, ...]:
        """Objects under a customer managed key need that key's permission too (SSE-KMS)."""
        operation, parameters = request.operation, request.parameters
        needs: tuple[str, ...] = ()
        key_id: str | None = None
        if operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
            asked = parameters.get("ServerSideEncryption") == "aws:kms"
            key_id = str(parameters.get("SSEKMSKeyId") or "") if asked else bucket.kms_key
            needs = ("GenerateDataKey",)
        elif operation == "GetObject":
            key_id = self._resources.object_key(bucket.name, key, parameters.get("VersionId"))
            needs = ("Decrypt",)
        if not key_id:
            return ()
        values = {"aws:s3:arn": f"{bucket.arn}/{key}"}
        return key_checks(
            self._resources,
            request,
            key_id,
            needs,
            via="s3",
            owner=bucket.account,
            encryption_context_values=values,
        )

    def _copy_source(self, request: AwsRequest) -> tuple[Check, ...]:
        source = request.parameters.get("CopySource")
        text = unquote(str(source)).lstrip("/")
        path, _, query = text.partition("?versionId=")
        name, _, key = path.partition("/")
        bucket = self._resources.bucket(name)
        action = "s3:GetObjectVersion" if query else "s3:GetObject"
        if bucket is None:
            return (
                Check(
                    action=action,
                    resource=f"arn:aws:s3:::{path}",
                    resource_account=request.account,
                    context=common(request),
                ),
            )
        checks = [self._check(request, bucket, action, key, version=query or None)]
        if request.parameters.get("TaggingDirective", "COPY") == "COPY" and (
            self._resources.object_tags(name, key, query or None)
        ):
            tagging = "s3:GetObjectVersionTagging" if query else "s3:GetObjectTagging"
            checks.append(self._check(request, bucket, tagging, key, version=query or None))
        return tuple(checks)

    def _delete_objects(self, request: AwsRequest, bucket: Bucket) -> Plan | Unmapped:
        """Plan DeleteObjects: AWS refuses object by object, and deletes the others."""
        asked: Mapping[str, Any] = request.parameters.get("Delete") or {}
        if not asked.get("Objects"):
            return Unmapped("DeleteObjects names no object")
        if refused := _refused(request, bucket, self._resources):
            check = self._check(request, bucket, "s3:DeleteObject", str(asked["Objects"][0]["Key"]))
            return Plan(checks=(check,), account=bucket.account, instead=refused)
        members = []
        for entry in asked["Objects"]:
            version = entry.get("VersionId")
            action = "s3:DeleteObjectVersion" if version else "s3:DeleteObject"
            check = self._check(request, bucket, action, str(entry["Key"]), version=version)
            members.append(Part(content=entry, checks=(check,)))

        def narrow(kept: Sequence[Part]) -> Mapping[str, Any]:
            return {"Delete": {**asked, "Objects": [part.content for part in kept]}}

        def report(part: Part, error: AwsError) -> Mapping[str, Any]:
            named = {k: v for k, v in part.content.items() if k in ("Key", "VersionId") and v}
            return {**named, "Code": error.code, "Message": error.message}

        parts = Parts(members=tuple(members), narrow=narrow, report=report)
        return Plan(checks=(), account=bucket.account, parts=parts)


def _odd_acl(request: AwsRequest) -> AwsError | None:
    """Refuse ACLs for a new bucket, which has none unless it is made with another ownership."""
    acl, ownership = request.parameters.get("ACL"), request.parameters.get("ObjectOwnership")
    if acl is not None and acl not in CANNED_ACLS:
        return AwsError(code="InvalidArgument", message=f"{acl} is no canned ACL", status=400)
    off = ownership in (None, "BucketOwnerEnforced")
    if off and _brings_acl(request.parameters) and acl != "private":
        message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        return AwsError(code="InvalidBucketAclWithObjectOwnership", message=message, status=400)
    return None


def _brings_acl(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters.get("ACL")) or any(parameters.get(name) for name in GRANTS)


def _refused(request: AwsRequest, bucket: Bucket, resources: Resources) -> AwsError | None:
    """Refuse a bucket of another owner than expected, and a policy that may not be stored."""
    expected = request.parameters.get("ExpectedBucketOwner")
    if expected is not None and expected != bucket.account:
        return AwsError(code="AccessDenied", message="Access Denied", status=403)
    if fault := acl_fault(request, bucket, resources):
        return fault
    pages = request.parameters.get("MaxKeys")
    if isinstance(pages, int) and pages < 0:
        return AwsError(
            code="InvalidArgument", message="Argument maxKeys must be 0 or more", status=400
        )
    if request.operation != "PutBucketPolicy":
        return None
    document = str(request.parameters.get("Policy"))
    try:
        compiled(document, PolicyKind.RESOURCE, "bucket-policy")
    except MalformedPolicy as error:
        return AwsError(code="MalformedPolicy", message=str(error), status=400)
    if bucket.block_public_policy and is_public(document):
        message = (
            f"User is not authorized to perform: s3:PutBucketPolicy on resource: {bucket.arn} "
            "because public policies are prevented by the BlockPublicPolicy setting in S3 Block "
            "Public Access."
        )
        return AwsError(code="AccessDenied", message=message, status=403)
    return None
