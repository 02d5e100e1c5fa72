"""Block Public Access, object ownership and ACLs, as far as they change an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.conformance.aws.lab import (
    OTHER,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    allow,
    document,
    gets,
    refusal_of,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Callable

case = Cases("public access and ACLs of buckets")
OPEN = "ObjectWriter"


def acl_bucket(lab: Lab, *, ignore: bool = False, ownership: str = OPEN) -> str:
    """Make a bucket that takes ACLs, with its public access unblocked."""
    name, s3 = unique("acls"), lab.admin.s3
    s3.create_bucket(Bucket=name, ObjectOwnership=ownership)
    s3.delete_public_access_block(Bucket=name)
    s3.put_object(Bucket=name, Key="own/key", Body=b"x")
    if ignore:
        s3.put_public_access_block(
            Bucket=name, PublicAccessBlockConfiguration={"IgnorePublicAcls": True}
        )
    return name


def nobody(lab: Lab, bucket: str) -> Call:
    client = lab.client("s3", config=Config(signature_version=UNSIGNED))
    return lambda: client.get_object(Bucket=bucket, Key="own/key")


def read_by_acl(lab: Lab, acl: str, who: Callable[[Lab, str], Call], **more: Any) -> Call:  # noqa: ANN401  # the bucket's own
    bucket = acl_bucket(lab, **more)
    lab.admin.s3.put_object_acl(Bucket=bucket, Key="own/key", ACL=acl)
    return who(lab, bucket)


def stranger(lab: Lab, bucket: str) -> Call:
    return gets(lab.user(allow("s3:GetObject"), account=OTHER), bucket)


def stranger_without_policy(lab: Lab, bucket: str) -> Call:
    return gets(lab.user(account=OTHER), bucket)


def neighbour(lab: Lab, bucket: str) -> Call:
    return gets(lab.user(), bucket)


for _title, _acl, _who, _more, _allowed in (
    ("public-read object, nobody", "public-read", nobody, {}, True),
    ("public-read object, ignored", "public-read", nobody, {"ignore": True}, False),
    ("private object, nobody", "private", nobody, {}, False),
    ("authenticated-read object, nobody", "authenticated-read", nobody, {}, False),
    ("authenticated-read object, another account", "authenticated-read", stranger, {}, True),
    ("public-read, user of another account may not", "public-read", stranger_without_policy, {}, 0),
    ("public-read, user of the account", "public-read", neighbour, {}, True),
):
    case(_title, allowed=bool(_allowed))(
        lambda lab, acl=_acl, who=_who, more=_more: read_by_acl(lab, acl, who, **more)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


@case("public-read bucket lists its objects", allowed=True)
def _(lab: Lab) -> Call:
    bucket = acl_bucket(lab)
    lab.admin.s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    client = lab.client("s3", config=Config(signature_version=UNSIGNED))
    return lambda: client.list_objects_v2(Bucket=bucket)


@case("public-read bucket does not open its objects", allowed=False)
def _(lab: Lab) -> Call:
    bucket = acl_bucket(lab)
    lab.admin.s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    return nobody(lab, bucket)


@case("denial of the bucket's policy beats its ACL", allowed=False)
def _(lab: Lab) -> Call:
    bucket = acl_bucket(lab)
    lab.admin.s3.put_object_acl(Bucket=bucket, Key="own/key", ACL="public-read")
    every = f"arn:aws:s3:::{bucket}/*"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": every}
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    return nobody(lab, bucket)


def public_policy(lab: Lab, who: Callable[[Lab, str], Call], *, restrict: bool) -> Call:
    bucket = acl_bucket(lab)
    every = f"arn:aws:s3:::{bucket}/*"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": every}
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    if restrict:
        lab.admin.s3.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}
        )
    return who(lab, bucket)


case("public policy, nobody", allowed=True)(lambda lab: public_policy(lab, nobody, restrict=False))
case("public policy, restricted, nobody", allowed=False)(
    lambda lab: public_policy(lab, nobody, restrict=True)
)
case("public policy, restricted, another account", allowed=False)(
    lambda lab: public_policy(lab, stranger, restrict=True)
)
case("public policy, restricted, user of the account", allowed=True)(
    lambda lab: public_policy(lab, neighbour, restrict=True)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)


def new_bucket(lab: Lab) -> str:
    name = unique("new")
    lab.admin.s3.create_bucket(Bucket=name)
    lab.admin.s3.put_object(Bucket=name, Key="k", Body=b"x")
    return name


def test_new_bucket_is_closed_and_has_no_acls(lab: Lab) -> None:
    bucket, s3 = new_bucket(lab), lab.admin.s3
    found = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(found.values())
    every = f"arn:aws:s3:::{bucket}/*"
    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": every}
    put = lambda: s3.put_bucket_policy(Bucket=bucket, Policy=document(public))  # noqa: E731 - one line
    assert refusal_of(put) == ("AccessDenied", 403)
    acl = lambda: s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")  # noqa: E731 - one line
    assert refusal_of(acl) == ("AccessControlListNotSupported", 400)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control")


def test_public_acl_is_blocked(lab: Lab) -> None:
    bucket, s3 = acl_bucket(lab), lab.admin.s3
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    for asked in ({"ACL": "public-read"}, {"GrantRead": f"uri={_EVERYONE}"}):
        blocked = lambda asked=asked: s3.put_object_acl(Bucket=bucket, Key="own/key", **asked)  # noqa: E731 - one line
        assert refusal_of(blocked) == ("AccessDenied", 403)
        upload = lambda asked=asked: s3.put_object(Bucket=bucket, Key="k", Body=b"", **asked)  # noqa: E731 - one line
        assert refusal_of(upload) == ("AccessDenied", 403)
    s3.put_object_acl(Bucket=bucket, Key="own/key", ACL="private")


_EVERYONE = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"GrantRead": "everyone"}, "InvalidArgument"),
        ({"GrantRead": "uri="}, "InvalidArgument"),
        ({"ACL": "open"}, "InvalidArgument"),
        ({}, "MissingSecurityHeader"),
        ({"AccessControlPolicy": {"Grants": []}}, "MalformedACLError"),
    ],
)
def test_acl_that_is_none_is_refused(asked: dict[str, Any], code: str, lab: Lab) -> None:
    who: Principal = lab.admin
    bucket = acl_bucket(lab)
    assert refusal_of(lambda: who.s3.put_bucket_acl(Bucket=bucket, **asked)) == (code, 400)


def test_negative_page_is_refused(lab: Lab) -> None:
    bucket = new_bucket(lab)
    asked = lambda: lab.admin.s3.list_objects_v2(Bucket=bucket, MaxKeys=-1)  # noqa: E731 - one line
    assert refusal_of(asked) == ("InvalidArgument", 400)
