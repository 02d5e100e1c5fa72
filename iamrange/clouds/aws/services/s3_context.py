"""The condition keys of S3: what a call's signature, query and headers put into the request.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from iamrange.clouds.aws.context import Context
    from iamrange.clouds.aws.model import AwsRequest, HttpRequest


def common(request: AwsRequest) -> Context:
    """Return the keys of any call: how it was signed, its ACL and grants."""
    http = request.http
    context: Context = _signed(http) if request.account else {}
    payload = http.header("x-amz-content-sha256")
    if payload is not None:
        context["s3:x-amz-content-sha256"] = payload
    acl = request.parameters.get("ACL")
    if acl:
        context["s3:x-amz-acl"] = str(acl)
    for key, member in (
        ("s3:x-amz-grant-full-control", "GrantFullControl"),
        ("s3:x-amz-grant-read", "GrantRead"),
        ("s3:x-amz-grant-read-acp", "GrantReadACP"),
        ("s3:x-amz-grant-write", "GrantWrite"),
        ("s3:x-amz-grant-write-acp", "GrantWriteACP"),
    ):
        if request.parameters.get(member):
            context[key] = str(request.parameters[member])
    return context


def _signed(http: HttpRequest) -> Context:
    """Return the keys that a signed request brings; an anonymous one brings none of them.

    https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
    """
    presigned = http.header("authorization") is None
    query = dict(parse_qsl(http.query, keep_blank_values=True))
    # boto3 presigns by version 2 unless told otherwise; such a URL says when it ends, not begins.
    second = presigned and "X-Amz-Signature" not in query
    context: Context = {
        "s3:authType": "REST-QUERY-STRING" if presigned else "REST-HEADER",
        "s3:signatureversion": "AWS" if second else "AWS4-HMAC-SHA256",
    }
    signed_at = query.get("X-Amz-Date") if presigned else http.header("x-amz-date")
    try:
        moment = datetime.strptime(signed_at or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return context
    # Signatures are judged in the machine's real time, as `authenticate` does.
    context["s3:signatureAge"] = str(max(0, int((time.time() - moment.timestamp()) * 1000)))
    return context


def listing(request: AwsRequest) -> Context:
    """Return the keys of a call on a bucket: which part of it a listing asks for."""
    context: Context = {}
    for key, member in (
        ("s3:prefix", "Prefix"),
        ("s3:delimiter", "Delimiter"),
        ("s3:max-keys", "MaxKeys"),
    ):
        if request.parameters.get(member) is not None:
            context[key] = str(request.parameters[member])
    return context


def object_context(request: AwsRequest) -> Context:
    """Return the keys of a call on an object: its headers and tags."""
    parameters = request.parameters
    context: Context = {}
    for key, member in (
        ("s3:VersionId", "VersionId"),
        ("s3:x-amz-copy-source", "CopySource"),
        ("s3:x-amz-metadata-directive", "MetadataDirective"),
        ("s3:x-amz-server-side-encryption", "ServerSideEncryption"),
        ("s3:x-amz-server-side-encryption-aws-kms-key-id", "SSEKMSKeyId"),
        ("s3:x-amz-server-side-encryption-customer-algorithm", "SSECustomerAlgorithm"),
        ("s3:x-amz-storage-class", "StorageClass"),
        ("s3:x-amz-website-redirect-location", "WebsiteRedirectLocation"),
        ("s3:object-lock-mode", "ObjectLockMode"),
        ("s3:object-lock-legal-hold", "ObjectLockLegalHoldStatus"),
        ("s3:if-match", "IfMatch"),
        ("s3:if-none-match", "IfNoneMatch"),
    ):
        if parameters.get(member) is not None:
            context[key] = str(parameters[member])
    tagging = parameters.get("Tagging")
    tags: dict[str, str] = {}
    if isinstance(tagging, str):
        tags = dict(parse_qsl(tagging, keep_blank_values=True))
    elif isinstance(tagging, dict):
        tags = {str(t["Key"]): str(t["Value"]) for t in tagging.get("TagSet") or ()}
    if tags:
        context |= {f"s3:RequestObjectTag/{key}": value for key, value in tags.items()}
        context["s3:RequestObjectTagKeys"] = tuple(tags)
    return context
