# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""Groups, versions, boundaries, tags at creation, and policies of secrets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    BLUE,
    EVERYTHING,
    HOME,
    OTHER,
    READ,
    RED,
    REGION,
    ROOT,
    TEAM,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    names,
    reads,
    unique,
    with_secret_policy,
)

case = Cases("identity, boundary and resource policies")


@case("group inline policy", allowed=True)
def _(lab: Lab) -> Call:
    who, secret, group = lab.user(), lab.secret(), unique("group")
    lab.admin.iam.create_group(GroupName=group)
    lab.admin.iam.put_group_policy(
        GroupName=group, PolicyName="p", PolicyDocument=document(allow(READ, secret))
    )
    lab.admin.iam.add_user_to_group(GroupName=group, UserName=who.name)
    return reads(who, secret)


@case("group left", allowed=False)
def _(lab: Lab) -> Call:
    who, secret, group = lab.user(), lab.secret(), unique("group")
    lab.admin.iam.create_group(GroupName=group)
    lab.admin.iam.put_group_policy(
        GroupName=group, PolicyName="p", PolicyDocument=document(allow(READ, secret))
    )
    lab.admin.iam.add_user_to_group(GroupName=group, UserName=who.name)
    reads(who, secret)()
    lab.admin.iam.remove_user_from_group(GroupName=group, UserName=who.name)
    return reads(who, secret)


def versioned(lab: Lab, *, make_default: bool) -> Call:
    who, secret = lab.user(), lab.secret()
    policy = lab.admin.iam.create_policy(
        PolicyName=unique("policy"), PolicyDocument=document(allow("s3:ListBucket"))
    )["Policy"]["Arn"]
    lab.admin.iam.attach_user_policy(UserName=who.name, PolicyArn=policy)
    lab.admin.iam.create_policy_version(
        PolicyArn=policy, PolicyDocument=document(allow(READ, secret)), SetAsDefault=False
    )
    if make_default:
        lab.admin.iam.set_default_policy_version(PolicyArn=policy, VersionId="v2")
    return reads(who, secret)


case("SetDefaultPolicyVersion", allowed=True)(lambda lab: versioned(lab, make_default=True))
case("version that is not default", allowed=False)(lambda lab: versioned(lab, make_default=False))


def bounded(lab: Lab, *statements: dict[str, Any], **secret: Any) -> Call:
    policy = lab.admin.iam.create_policy(
        PolicyName=unique("boundary"), PolicyDocument=document(*statements)
    )["Policy"]["Arn"]
    return reads(lab.user(EVERYTHING, PermissionsBoundary=policy), lab.secret(**secret))


case("boundary excludes the action", allowed=False)(lambda lab: bounded(lab, allow("s3:*")))
case("boundary includes the action", allowed=True)(lambda lab: bounded(lab, allow(READ)))
case("tag condition in the boundary only", allowed=False)(
    lambda lab: bounded(
        lab,
        allow(READ, **cond("StringEquals", TEAM, "blue")),
        Tags=[{"Key": "team", "Value": "red"}],
    )
)


def own_user(lab: Lab, *, other: bool) -> Call:
    who = lab.user(allow("iam:GetUser", f"arn:aws:iam::{HOME}:user/${{aws:username}}"))
    name = "admin" if other else who.name
    return lambda: who.iam.get_user(UserName=name)


case("policy variable, own user", allowed=True)(lambda lab: own_user(lab, other=False))
case("policy variable, other user", allowed=False)(lambda lab: own_user(lab, other=True))


@case("Deny with a policy variable in Resource", allowed=False)
def _(lab: Lab) -> Call:
    mine = f"arn:aws:iam::{HOME}:user/${{aws:username}}"
    who = lab.user(EVERYTHING, deny("iam:GetUser", mine))
    return lambda: who.iam.get_user(UserName=who.name)


def creates(lab: Lab, statements: list[dict[str, Any]], tags: dict[str, str]) -> Call:
    who = lab.user(*statements)
    listed = [{"Key": k, "Value": v} for k, v in tags.items()]
    return lambda: who.secretsmanager.create_secret(
        Name=unique("made"), SecretString="s", **({"Tags": listed} if listed else {})
    )


MAKE = ["secretsmanager:CreateSecret", "secretsmanager:TagResource"]
ONLY_TEAM = allow(MAKE, **cond("ForAllValues:StringEquals", "aws:TagKeys", ["team"]))
NEEDS_RED = allow(MAKE, **cond("StringEquals", "aws:RequestTag/team", "red"))
case("RequestTag missing", allowed=False)(lambda lab: creates(lab, [NEEDS_RED], {}))
case("RequestTag right", allowed=True)(lambda lab: creates(lab, [NEEDS_RED], RED))
case("RequestTag wrong", allowed=False)(lambda lab: creates(lab, [NEEDS_RED], BLUE))
case("TagKeys subset", allowed=True)(lambda lab: creates(lab, [ONLY_TEAM], RED))
case("TagKeys extra key", allowed=False)(
    lambda lab: creates(lab, [ONLY_TEAM], {"team": "red", "x": "y"})
)
case("tags at creation without TagResource", allowed=False)(
    lambda lab: creates(lab, [allow("secretsmanager:CreateSecret")], RED)
)
case("no tags at creation, no TagResource", allowed=True)(
    lambda lab: creates(lab, [allow("secretsmanager:CreateSecret")], {})
)


case("secret policy alone allows", allowed=True)(
    lambda lab: with_secret_policy(lab, lambda who, _: names(who))
)
case("secret policy explicit deny", allowed=False)(
    lambda lab: with_secret_policy(lab, lambda who, _: names(who, effect="Deny"), EVERYTHING)
)
case("secret policy Deny NotPrincipal", allowed=False)(
    lambda lab: with_secret_policy(
        lab,
        lambda _who, _secret: {
            "Effect": "Deny",
            "NotPrincipal": {"AWS": [lab.admin.arn, ROOT]},
            "Action": READ,
            "Resource": "*",
        },
        EVERYTHING,
    )
)
case("cross-account secret, both allow", allowed=True)(
    lambda lab: with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)
)
case("cross-account secret, only the secret's policy", allowed=False)(
    lambda lab: with_secret_policy(lab, lambda who, _: names(who), account=OTHER)
)


@case("cross-account secret, only identity", allowed=False)
def _(lab: Lab) -> Call:
    return reads(lab.user(EVERYTHING, account=OTHER), lab.secret())


@case("VersionStage and SecretId", allowed=True)
def _(lab: Lab) -> Call:
    secret = lab.secret()
    stage = cond("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT")
    return reads(lab.user(allow(READ, secret, **stage)), secret, VersionStage="AWSCURRENT")


@case("ARN of another region is another secret", allowed=False)
def _(lab: Lab) -> Call:
    secret = lab.secret()
    elsewhere = secret.replace(REGION, "eu-west-1")
    return reads(lab.user(allow(READ, elsewhere)), secret)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
