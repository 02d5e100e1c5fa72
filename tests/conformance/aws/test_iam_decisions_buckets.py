# boto3's clients and the elements of policies have no types
"""Buckets and objects."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.conformance.aws.lab import (
    EVERYTHING,
    OTHER,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    gets,
    trusts,
)

case = Cases("buckets")


@case("bucket policy denies without TLS", allowed=False)
def _(lab: Lab) -> Call:
    bucket, who = lab.bucket(), lab.user(EVERYTHING)
    statement = deny("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*")
    statement |= cond("Bool", "aws:SecureTransport", "false")
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    return gets(who, bucket)


@case("identity allows, no bucket policy", allowed=True)
def _(lab: Lab) -> Call:
    bucket = lab.bucket()
    return gets(lab.user(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/own/*")), bucket)


@case("identity allows another bucket only", allowed=False)
def _(lab: Lab) -> Call:
    bucket = lab.bucket()
    return gets(lab.user(allow("s3:*", f"arn:aws:s3:::{bucket}x/*")), bucket)


def shared_bucket(lab: Lab, *own: dict[str, Any], shared: bool = True) -> Call:
    bucket, who = lab.bucket(), lab.user(*own, account=OTHER)
    if shared:
        statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": who.arn})
        lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    return gets(who, bucket)


case("cross-account bucket, both allow", allowed=True)(
    lambda lab: shared_bucket(lab, allow("s3:GetObject"))
)
case("cross-account bucket, bucket only", allowed=False)(shared_bucket)
case("cross-account bucket, identity only", allowed=False)(
    lambda lab: shared_bucket(lab, EVERYTHING, shared=False)
)


def lists(lab: Lab, prefix: str) -> Call:
    bucket = lab.bucket()
    own = allow(
        "s3:ListBucket", f"arn:aws:s3:::{bucket}", **cond("StringLike", "s3:prefix", "own/*")
    )
    who = lab.user(own)
    return lambda: who.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)


case("s3:prefix match", allowed=True)(lambda lab: lists(lab, "own/"))
case("s3:prefix mismatch", allowed=False)(lambda lab: lists(lab, "other/"))


@case("bucket policy names the role of a session", allowed=True)
def _(lab: Lab) -> Call:
    bucket, who = lab.bucket(), lab.user(allow("sts:AssumeRole"))
    role = lab.role(trusts(who.arn))
    statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": role})
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    return gets(who.assume(role), bucket)


def tagged_object(lab: Lab, value: str) -> Call:
    bucket = lab.bucket()
    lab.admin.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="class=open")
    own = allow("s3:GetObject", **cond("StringEquals", "s3:ExistingObjectTag/class", value))
    return gets(lab.user(own), bucket, "k")


case("existing object tag match", allowed=True)(lambda lab: tagged_object(lab, "open"))
case("existing object tag mismatch", allowed=False)(lambda lab: tagged_object(lab, "closed"))


@case("copy needs to read the source", allowed=False)
def _(lab: Lab) -> Call:
    bucket, mine = lab.bucket(), lab.bucket()
    who = lab.user(allow("s3:*", f"arn:aws:s3:::{mine}/*"))
    source = {"Bucket": bucket, "Key": "own/key"}
    return lambda: who.s3.copy_object(Bucket=mine, Key="copy", CopySource=source)


@case("anonymous read of a private object", allowed=False)
def _(lab: Lab) -> Call:
    bucket, nobody = lab.bucket(), lab.client("s3", config=Config(signature_version=UNSIGNED))
    return lambda: nobody.get_object(Bucket=bucket, Key="own/key")


@case("anonymous read of a public object", allowed=True)
def _(lab: Lab) -> Call:
    bucket, nobody = lab.bucket(), lab.client("s3", config=Config(signature_version=UNSIGNED))
    statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*")
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    return lambda: nobody.get_object(Bucket=bucket, Key="own/key")


@case("anonymous call to Secrets Manager", allowed=False)
def _(lab: Lab) -> Call:
    secret = lab.secret()
    nobody = lab.client("secretsmanager", config=Config(signature_version=UNSIGNED))
    return lambda: nobody.get_secret_value(SecretId=secret)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
