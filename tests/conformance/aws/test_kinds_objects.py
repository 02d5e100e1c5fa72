# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""S3's own keys: prefixes, encryption, ACL headers, tags, storage, versions, signatures."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conformance.aws.lab import (
    EVERYTHING,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    gets,
    unique,
)

case = Cases("s3 keys")


def puts(lab: Lab, own: dict[str, Any], *more: dict[str, Any], **asked: Any) -> Call:
    bucket, who = lab.bucket(), lab.user(own, *more)
    return lambda: who.s3.put_object(Bucket=bucket, Key="k", Body=b"x", **asked)


def put(**condition: Any) -> dict[str, Any]:
    return allow("s3:PutObject", Condition=condition)


SSE, ACL = "s3:x-amz-server-side-encryption", "s3:x-amz-acl"
TAGGING = allow("s3:PutObjectTagging")
OWNER = "bucket-owner-full-control"
for _title, _own, _asked, _allowed in (
    (
        "encryption that is wanted",
        put(StringEquals={SSE: "AES256"}),
        {"ServerSideEncryption": "AES256"},
        True,
    ),
    ("encryption that is missing", put(StringEquals={SSE: "AES256"}), {}, False),
    (
        "encryption of another kind",
        put(StringEquals={SSE: "AES256"}),
        {"ServerSideEncryption": "aws:kms"},
        False,
    ),
    ("no encryption, by null", put(Null={SSE: "true"}), {}, True),
    (
        "storage class",
        put(StringEquals={"s3:x-amz-storage-class": "STANDARD_IA"}),
        {"StorageClass": "STANDARD_IA"},
        True,
    ),
    (
        "other storage class",
        put(StringEquals={"s3:x-amz-storage-class": "STANDARD_IA"}),
        {"StorageClass": "GLACIER"},
        False,
    ),
    ("tags without their permission", put(), {"Tagging": "team=red"}, False),
    ("body's digest", put(StringLike={"s3:x-amz-content-sha256": "UNSIGNED-*"}), {}, False),
    (
        "signature's version",
        put(StringEquals={"s3:signatureversion": "AWS4-HMAC-SHA256"}),
        {},
        True,
    ),
    ("signature in the header", put(StringEquals={"s3:authType": "REST-HEADER"}), {}, True),
    ("signature in the query", put(StringEquals={"s3:authType": "REST-QUERY-STRING"}), {}, False),
    ("fresh signature", put(NumericLessThan={"s3:signatureAge": "600000"}), {}, True),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, asked=_asked: puts(lab, own, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )

RED_TAG = {"s3:RequestObjectTag/team": "red"}
for _title, _condition, _asked, _allowed in (
    ("object's tag in the request", {"StringEquals": RED_TAG}, {"Tagging": "team=red"}, True),
    (
        "object's other tag in the request",
        {"StringEquals": RED_TAG},
        {"Tagging": "team=blue"},
        False,
    ),
    (
        "object's tag keys",
        {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team"]}},
        {"Tagging": "team=red"},
        True,
    ),
    (
        "object's tag key too many",
        {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team"]}},
        {"Tagging": "team=red&x=y"},
        False,
    ),
):
    case(_title, allowed=_allowed)(
        lambda lab, c=_condition, asked=_asked: puts(lab, put(**c), TAGGING, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def with_acl(lab: Lab, own: list[dict[str, Any]], **asked: Any) -> Call:
    name = unique("acl")
    lab.admin.s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    lab.admin.s3.delete_public_access_block(Bucket=name)
    who = lab.user(*own)
    return lambda: who.s3.put_object(Bucket=name, Key="k", Body=b"x", **asked)


PUT_ACL = allow("s3:PutObjectAcl")
for _title, _statements, _asked, _allowed in (
    ("ACL without its permission", [put()], {"ACL": "public-read"}, False),
    ("ACL with its permission", [put(), PUT_ACL], {"ACL": "public-read"}, True),
    ("ACL that is wanted", [put(StringEquals={ACL: OWNER}), PUT_ACL], {"ACL": OWNER}, True),
    ("ACL that is missing", [put(StringEquals={ACL: OWNER}), PUT_ACL], {}, False),
    (
        "public ACL denied",
        [EVERYTHING, deny("s3:*", **cond("StringEquals", ACL, ["public-read"]))],
        {"ACL": "public-read"},
        False,
    ),
    (
        "grant header denied",
        [EVERYTHING, deny("s3:*", **cond("Null", "s3:x-amz-grant-read", "false"))],
        {"GrantRead": "uri=http://acs.amazonaws.com/groups/global/AllUsers"},
        False,
    ),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_statements, asked=_asked: with_acl(lab, own, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def lists(lab: Lab, condition: dict[str, Any], **asked: Any) -> Call:
    bucket = lab.bucket()
    who = lab.user(allow("s3:ListBucket", f"arn:aws:s3:::{bucket}", Condition=condition))
    return lambda: who.s3.list_objects_v2(Bucket=bucket, **asked)


HOME_ONLY = {"StringLike": {"s3:prefix": ["home/*", ""]}}
LISTED: tuple[tuple[str, dict[str, Any], dict[str, Any], bool], ...] = (
    ("listing of a folder", HOME_ONLY, {"Prefix": "home/a"}, True),
    ("listing of another folder", HOME_ONLY, {"Prefix": "other/"}, False),
    ("listing of a folder's namesake", HOME_ONLY, {"Prefix": "home"}, False),
    ("listing of the top", HOME_ONLY, {"Prefix": ""}, True),
    ("listing without a prefix", {"StringEquals": {"s3:prefix": "home/"}}, {}, False),
    ("listing by a delimiter", {"StringEquals": {"s3:delimiter": "/"}}, {"Delimiter": "/"}, True),
    ("listing without the delimiter", {"StringEquals": {"s3:delimiter": "/"}}, {}, False),
    ("listing of few", {"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 10}, True),
    ("listing of many", {"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 11}, False),
    ("listing of any number", {"NumericLessThanEquals": {"s3:max-keys": "10"}}, {}, False),
)
for _title, _condition, _asked, _allowed in LISTED:
    case(_title, allowed=_allowed)(
        lambda lab, c=_condition, asked=_asked: lists(lab, c, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def versions(lab: Lab, *actions: str, own: bool) -> Call:
    bucket = lab.bucket()
    lab.admin.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = lab.admin.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    wanted = version if own else "other"
    who = lab.user(allow(list(actions), **cond("StringEqualsIfExists", "s3:VersionId", wanted)))
    return lambda: who.s3.get_object(Bucket=bucket, Key="k", VersionId=version)


case("version needs its own action", allowed=False)(
    lambda lab: versions(lab, "s3:GetObject", own=True)
)
case("version by its action", allowed=True)(
    lambda lab: versions(lab, "s3:GetObjectVersion", own=True)
)
case("another version", allowed=False)(lambda lab: versions(lab, "s3:GetObjectVersion", own=False))


def presigned(lab: Lab, own: dict[str, Any]) -> Call:
    bucket, who = lab.bucket(), lab.user(own)
    client = lab.client("s3", config=Config(signature_version="s3v4"), **who.keys)
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "own/key"}, ExpiresIn=60
    )

    def fetch() -> None:
        answer = requests.get(url, timeout=10)
        if answer.status_code != 200:
            ident = answer.headers["x-amz-request-id"]
            told: Any = {
                "Error": {"Code": "AccessDenied", "Message": answer.text},
                "ResponseMetadata": {"RequestId": ident},
            }
            raise ClientError(told, "GetObject")

    return fetch


AUTH = "s3:authType"
case("signed link", allowed=True)(
    lambda lab: presigned(
        lab, allow("s3:GetObject", **cond("StringEquals", AUTH, "REST-QUERY-STRING"))
    )
)
case("signed link where none is allowed", allowed=False)(
    lambda lab: presigned(lab, allow("s3:GetObject", **cond("StringEquals", AUTH, "REST-HEADER")))
)
case("signed link of somebody who may not", allowed=False)(
    lambda lab: presigned(lab, allow("s3:PutObject"))
)


def copies(lab: Lab, source: str) -> Call:
    bucket = lab.bucket()
    lab.admin.s3.put_object(Bucket=bucket, Key="other", Body=b"x")
    wanted = cond("StringEquals", "s3:x-amz-copy-source", f"{bucket}/own/key")
    who = lab.user(allow("s3:GetObject"), allow("s3:PutObject", **wanted))
    return lambda: who.s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/{source}")


case("copy of the source", allowed=True)(lambda lab: copies(lab, "own/key"))
case("copy of another source", allowed=False)(lambda lab: copies(lab, "other"))


def odd_key(lab: Lab, pattern: str, key: str) -> Call:
    bucket = lab.bucket()
    lab.admin.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return gets(lab.user(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/{pattern}")), bucket, key)


for _title, _pattern, _key, _allowed in (
    ("key with a space", "a b", "a b", True),
    ("key with a plus", "a+b", "a+b", True),
    ("plus is no space", "a b", "a+b", False),
    ("key with a percent sign", "a%20b", "a%20b", True),
    ("escape is no character", "a b", "a%20b", False),
    ("key with letters of Unicode", "\u00e9t\u00e9", "\u00e9t\u00e9", True),
    ("composed is not decomposed", "\u00e9", "e\u0301", False),
    ("key with a star, by itself", "a*b", "a*b", True),
    ("key with a dot that is no pattern", "a.b", "axb", False),
    ("key with brackets", "[ab]", "a", False),
    ("key with a dollar", "a${$}b", "a$b", True),
    ("key with dots does not climb", "public/*", "public/../own/key", True),
    ("key with a slash at the start", "/a", "/a", True),
    ("slash at the start counts", "a", "/a", False),
    ("question mark is one character", "a?c", "abc", True),
    ("question mark is not two", "a?c", "abbc", False),
):
    case(_title, allowed=_allowed)(
        lambda lab, pattern=_pattern, key=_key: odd_key(lab, pattern, key)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
