"""Policy variables with and without defaults, in resources and in conditions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    MY_TEAM,
    READ,
    REGION,
    TAGS,
    TEAM,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    gets,
    reads,
    trusts,
    unique,
)

case = Cases("policy variables")
SECRETS = f"arn:aws:secretsmanager:{REGION}:{HOME}:secret"
TAG = "${aws:PrincipalTag/place, 'shared'}"
NO_DEFAULT = "${aws:PrincipalTag/place}"


def placed(lab: Lab, place: str, *own: dict[str, Any], tagged: str | None = None) -> Call:
    """Read a secret whose name starts with a place."""
    made = lab.admin.secretsmanager.create_secret(Name=unique(f"{place}/x"), SecretString="s")
    tags = [{"Key": "place", "Value": tagged}] if tagged is not None else []
    return reads(lab.user(*own, Tags=tags), made["ARN"])


def at(variable: str) -> dict[str, Any]:
    return allow(READ, f"{SECRETS}:{variable}/*")


def outside(variable: str, effect: str) -> dict[str, Any]:
    return {"Effect": effect, "Action": READ, "NotResource": f"{SECRETS}:{variable}/*"}


for _title, _place, _tagged, _own, _allowed in (
    ("tag in a resource", "red", "red", [at(NO_DEFAULT)], True),
    ("other tag in a resource", "red", "blue", [at(NO_DEFAULT)], False),
    ("no tag in a resource", "red", None, [at(NO_DEFAULT)], False),
    ("default in a resource", "shared", None, [at(TAG)], True),
    ("default of a tag that is there", "shared", "red", [at(TAG)], False),
    ("default that is another place", "red", None, [at(TAG)], False),
    ("star in a tag is no wildcard", "red", "*", [at(NO_DEFAULT)], False),
    ("question marks in a tag are no wildcards", "red", "r@d", [at(NO_DEFAULT)], False),
    ("NotResource spares the default", "shared", None, [EVERYTHING, outside(TAG, "Deny")], True),
    (
        "NotResource denies beside the default",
        "red",
        None,
        [EVERYTHING, outside(TAG, "Deny")],
        False,
    ),
    ("NotResource spares the tag's place", "red", "red", [EVERYTHING, outside(TAG, "Deny")], True),
    (
        "NotResource denies beside the tag's",
        "blue",
        "red",
        [EVERYTHING, outside(TAG, "Deny")],
        False,
    ),
    (
        "Allow NotResource without a value allows nothing",
        "red",
        None,
        [outside(NO_DEFAULT, "Allow")],
        False,
    ),
    (
        "Deny NotResource without a value denies",
        "red",
        None,
        [EVERYTHING, outside(NO_DEFAULT, "Deny")],
        False,
    ),
    (
        "Deny on a resource without a value is neutral",
        "red",
        None,
        [EVERYTHING, deny(READ, f"{SECRETS}:{NO_DEFAULT}/*")],
        True,
    ),
    (
        "Deny on a resource by default",
        "shared",
        None,
        [EVERYTHING, deny(READ, f"{SECRETS}:{TAG}/*")],
        False,
    ),
    (
        "condition by default",
        "red",
        None,
        [
            allow(
                READ,
                **cond(
                    "StringEquals", "aws:RequestedRegion", "${aws:PrincipalTag/place, 'us-east-1'}"
                ),
            )
        ],
        True,
    ),
    (
        "condition by tag",
        "red",
        "us-east-1",
        [allow(READ, **cond("StringEquals", "aws:RequestedRegion", NO_DEFAULT))],
        True,
    ),
    (
        "condition without a value",
        "red",
        None,
        [allow(READ, **cond("StringEquals", "aws:RequestedRegion", NO_DEFAULT))],
        False,
    ),
    (
        "inverted condition without a value",
        "red",
        None,
        [allow(READ, **cond("StringNotEquals", "aws:RequestedRegion", NO_DEFAULT))],
        True,
    ),
    ("escaped star is a star", "red", None, [at("${*}")], False),
    ("escaped question mark is one", "red", None, [at("r${?}d")], False),
    (
        "ARN condition with a variable",
        "red",
        "x",
        [
            allow(
                READ,
                **cond(
                    "ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{HOME}:user/${{aws:username}}"
                ),
            )
        ],
        True,
    ),
    (
        "like with a variable and a star",
        "red",
        "us-",
        [allow(READ, **cond("StringLike", "aws:RequestedRegion", NO_DEFAULT + "*"))],
        True,
    ),
    ("variable whose case differs", "red", "red", [at("${AWS:principaltag/PLACE}")], True),
):
    case(_title, allowed=_allowed)(
        lambda lab, place=_place, own=_own, tagged=_tagged: placed(lab, place, *own, tagged=tagged)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def old_version(lab: Lab) -> Call:
    """Read by a policy of the older version, in which variables are text."""
    who, secret = lab.user(), lab.secret()
    statement = allow(READ, **cond("StringLike", "aws:username", "${aws:username}"))
    text = document(statement).replace("2012-10-17", "2008-10-17")
    lab.admin.iam.put_user_policy(UserName=who.name, PolicyName="p", PolicyDocument=text)
    return reads(who, secret)


case("variable in a policy of 2008", allowed=False)(old_version)


def in_bucket_policy(lab: Lab, key: str) -> Call:
    bucket, who = lab.bucket(), lab.user()
    mine = f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*"
    statement = allow("s3:GetObject", mine, Principal={"AWS": who.arn})
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    name = key.format(who.name)
    lab.admin.s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    return gets(who, bucket, name)


case("variable in a bucket's policy, own folder", allowed=True)(
    lambda lab: in_bucket_policy(lab, "home/{}/x")
)
case("variable in a bucket's policy, other folder", allowed=False)(
    lambda lab: in_bucket_policy(lab, "home/{}x/x")
)


def in_boundary(lab: Lab, value: str) -> Call:
    arn = lab.admin.iam.create_policy(
        PolicyName=unique("b"),
        PolicyDocument=document(allow(READ, **cond("StringEquals", TEAM, MY_TEAM))),
    )["Policy"]["Arn"]
    who = lab.user(EVERYTHING, Tags=TAGS, PermissionsBoundary=arn)
    return reads(who, lab.secret(Tags=[{"Key": "team", "Value": value}]))


case("variable in a boundary, equal", allowed=True)(lambda lab: in_boundary(lab, "red"))
case("variable in a boundary, other", allowed=False)(lambda lab: in_boundary(lab, "blue"))


def in_session_policy(lab: Lab, value: str) -> Call:
    who = lab.user()
    role = lab.role(trusts(who.arn, ["sts:AssumeRole", "sts:TagSession"]), EVERYTHING)
    narrowed = document(allow(READ, **cond("StringEquals", TEAM, MY_TEAM)))
    session = who.assume(role, Tags=TAGS, Policy=narrowed)
    return reads(session, lab.secret(Tags=[{"Key": "team", "Value": value}]))


case("variable in a session policy, equal", allowed=True)(lambda lab: in_session_policy(lab, "red"))
case("variable in a session policy, other", allowed=False)(
    lambda lab: in_session_policy(lab, "blue")
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
