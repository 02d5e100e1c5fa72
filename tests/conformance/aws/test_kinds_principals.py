# ruff: noqa: ANN401  # boto3's clients have no types
"""Whom policies name: they must be there, and stay the ones who were meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.aws.lab import (
    HOME,
    OTHER,
    READ,
    REGION,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    allow,
    document,
    gets,
    reads,
    refusal_of,
    session_keys,
    trusts,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Callable

case = Cases("principals in resource policies")
NOBODY = f"arn:aws:iam::{HOME}:user/nobody-there"
FOREIGN = f"arn:aws:iam::{OTHER}:role/nobody-there"


def made_anew(lab: Lab, who: Principal) -> Principal:
    """Delete a user and make another under its name."""
    iam = lab.admins[who.account].iam
    iam.delete_access_key(UserName=who.name, AccessKeyId=who.keys["aws_access_key_id"])
    iam.delete_user(UserName=who.name)
    iam.create_user(UserName=who.name)
    key = iam.create_access_key(UserName=who.name)["AccessKey"]
    keys = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    return Principal(lab, keys, who.name, who.account)


def shares_secret(lab: Lab, secret: str, arn: str) -> None:
    statement = allow(READ, Principal={"AWS": arn})
    lab.admin.secretsmanager.put_resource_policy(
        SecretId=secret, ResourcePolicy=document(statement)
    )


def secret_of_a_namesake(lab: Lab, *, again: bool) -> Call:
    who, secret = lab.user(), lab.secret()
    shares_secret(lab, secret, who.arn)
    reads(who, secret)()
    new = made_anew(lab, who)
    if again:
        shares_secret(lab, secret, who.arn)
    return reads(new, secret)


case("secret's policy means the user that was", allowed=False)(
    lambda lab: secret_of_a_namesake(lab, again=False)
)
case("secret's policy written again means the new user", allowed=True)(
    lambda lab: secret_of_a_namesake(lab, again=True)
)


@case("bucket's policy means the user that was", allowed=False)
def _(lab: Lab) -> Call:
    who, bucket = lab.user(), lab.bucket()
    statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": who.arn})
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    gets(who, bucket)()
    return gets(made_anew(lab, who), bucket)


@case("denial of the user that was spares the new one", allowed=True)
def _(lab: Lab) -> Call:
    who, secret = lab.user(), lab.secret()
    statement = allow(READ, Principal={"AWS": who.arn}) | {"Effect": "Deny"}
    lab.admin.secretsmanager.put_resource_policy(
        SecretId=secret, ResourcePolicy=document(statement)
    )
    new = made_anew(lab, who)
    lab.admin.iam.put_user_policy(
        UserName=new.name, PolicyName="p", PolicyDocument=document(allow(READ))
    )
    return reads(new, secret)


@case("session of a role that was made anew", allowed=False)
def _(lab: Lab) -> Call:
    who, secret, iam = lab.user(), lab.secret(), lab.admin.iam
    role = lab.role(trusts(who.arn))
    shares_secret(lab, secret, role)
    reads(who.assume(role), secret)()
    name = role.rpartition("/")[2]
    iam.delete_role(RoleName=name)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trusts(who.arn)))
    return reads(who.assume(role), secret)


@case("federated session of a user that was made anew", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(allow("sts:GetFederationToken")), lab.secret()
    shares_secret(lab, secret, who.arn)
    lab.admin.iam.delete_user_policy(UserName=who.name, PolicyName="p")
    new = made_anew(lab, who)
    lab.admin.iam.put_user_policy(
        UserName=new.name,
        PolicyName="p",
        PolicyDocument=document(allow("sts:GetFederationToken")),
    )
    got = new.sts.get_federation_token(Name="guest", Policy=document(allow(READ)))
    return reads(Principal(lab, session_keys(got["Credentials"])), secret)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)


def trust(lab: Lab, who: str) -> Any:
    return lab.role(trusts(who))


def secret(lab: Lab, who: str) -> Any:
    shares_secret(lab, lab.secret(), who)


def bucket(lab: Lab, who: str) -> Any:
    name = lab.bucket()
    statement = allow("s3:GetObject", f"arn:aws:s3:::{name}/*", Principal={"AWS": who})
    lab.admin.s3.put_bucket_policy(Bucket=name, Policy=document(statement))


def key(lab: Lab, who: str) -> Any:
    mine = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{HOME}:root"})
    lab.admin.kms.create_key(Policy=document(mine, allow("kms:*", Principal={"AWS": who})))


def queue(lab: Lab, who: str) -> Any:
    statement = allow("sqs:SendMessage", Principal={"AWS": who})
    lab.admin.sqs.create_queue(QueueName=unique("q"), Attributes={"Policy": document(statement)})


def topic(lab: Lab, who: str) -> Any:
    statement = allow("sns:Publish", Principal={"AWS": who})
    arn = lab.admin.sns.create_topic(Name=unique("t"))["TopicArn"]
    lab.admin.sns.set_topic_attributes(
        TopicArn=arn, AttributeName="Policy", AttributeValue=document(statement)
    )


def table(lab: Lab, who: str) -> Any:
    arn = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{lab.table()}"
    statement = allow("dynamodb:GetItem", arn, Principal={"AWS": who})
    lab.admin.dynamodb.put_resource_policy(ResourceArn=arn, Policy=document(statement))


@pytest.mark.parametrize("write", [trust, secret, bucket, key, queue, topic, table])
@pytest.mark.parametrize("nobody", [NOBODY, FOREIGN])
def test_policy_for_somebody_who_is_not_there_is_refused(
    write: Callable[[Lab, str], Any], nobody: str, lab: Lab
) -> None:
    assert refusal_of(lambda: write(lab, nobody))[1] == 400
    write(lab, "arn:aws:iam::300000000003:user/of-an-account-elsewhere")
    write(lab, lab.user().arn)
