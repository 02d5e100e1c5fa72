# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""What sessions of roles and users may, and how long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    MAY,
    MY_TEAM,
    OTHER,
    READ,
    ROOT,
    TAGS,
    TEAM,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    allow,
    cond,
    deny,
    document,
    one_time,
    reads,
    session_keys,
    trusts,
)

case = Cases("sessions")


def session(lab: Lab, *statements: dict[str, Any], **asked: Any) -> tuple[Principal, str]:
    who = lab.user()
    role = lab.role(trusts(who.arn, ["sts:AssumeRole", "sts:TagSession"]), *statements)
    return who.assume(role, **asked), role


case("role session allowed", allowed=True)(
    lambda lab: reads(session(lab, allow(READ))[0], lab.secret())
)
case("session policy narrows", allowed=False)(
    lambda lab: reads(session(lab, EVERYTHING, Policy=document(allow("s3:*")))[0], lab.secret())
)
case("session policy and role allow", allowed=True)(
    lambda lab: reads(session(lab, EVERYTHING, Policy=document(allow(READ)))[0], lab.secret())
)
case("session policy does not widen", allowed=False)(
    lambda lab: reads(session(lab, Policy=document(EVERYTHING))[0], lab.secret())
)
case("session tag is PrincipalTag", allowed=True)(
    lambda lab: reads(
        session(lab, allow(READ, **cond("StringEquals", TEAM, MY_TEAM)), Tags=TAGS)[0],
        lab.secret(Tags=TAGS),
    )
)


@case("PrincipalArn of a session is the role's", allowed=True)
def _(lab: Lab) -> Call:
    any_role = cond("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{HOME}:role/*")
    return reads(session(lab, allow(READ, **any_role))[0], lab.secret())


@case("expired session", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = session(lab, EVERYTHING, DurationSeconds=900)[0], lab.secret()
    reads(who, secret)()

    def late() -> Any:
        lab.clock.offset += 901
        try:
            return reads(who, secret)()
        finally:
            lab.clock.offset -= 901

    return late


@case("session older than the revocation", allowed=False)
def _(lab: Lab) -> Call:
    who, role = session(lab, EVERYTHING)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))
    older = deny("*", **cond("DateLessThan", "aws:TokenIssueTime", moment))
    lab.admin.iam.put_role_policy(
        RoleName=role.rsplit("/", 1)[-1], PolicyName="revoke", PolicyDocument=document(older)
    )
    return reads(who, lab.secret())


@case("policy removed while a session lives", allowed=False)
def _(lab: Lab) -> Call:
    (who, role), secret = session(lab, EVERYTHING), lab.secret()
    reads(who, secret)()
    lab.admin.iam.delete_role_policy(RoleName=role.rsplit("/", 1)[-1], PolicyName="p")
    return reads(who, secret)


@case("forged session token", allowed=False)
def _(lab: Lab) -> Call:
    who = session(lab, EVERYTHING)[0]
    who.keys = who.keys | {"aws_session_token": "IQoJb3JpZ2luX2VjEXAMPLE"}
    return reads(who, lab.secret())


@case("session key without its token", allowed=False)
def _(lab: Lab) -> Call:
    who = session(lab, EVERYTHING)[0]
    del who.keys["aws_session_token"]
    return reads(who, lab.secret())


@case("role chaining over an hour", allowed=False)
def _(lab: Lab) -> Call:
    who, role = session(lab, EVERYTHING)
    second = lab.role(trusts(role), MaxSessionDuration=43200)
    return lambda: who.assume(second, DurationSeconds=7200)


@case("role chaining, trust names the role", allowed=True)
def _(lab: Lab) -> Call:
    who, role = session(lab, MAY)
    second = lab.role(trusts(role))
    return lambda: who.assume(second)


def mfa_session(lab: Lab, *, code: bool) -> Call:
    secret = lab.secret()
    who = lab.user(allow(READ, **cond("Bool", "aws:MultiFactorAuthPresent", "true")))
    iam = lab.admin.iam
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=who.name)["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    iam.enable_mfa_device(
        UserName=who.name,
        SerialNumber=serial,
        AuthenticationCode1=one_time(seed, lab.clock.now() - 30),
        AuthenticationCode2=one_time(seed, lab.clock.now()),
    )
    more = {"SerialNumber": serial, "TokenCode": one_time(seed, lab.clock.now() + 30)}
    more = more if code else {}
    got = who.sts.get_session_token(**more)["Credentials"]
    return reads(Principal(lab, session_keys(got)), secret)


case("GetSessionToken with MFA", allowed=True)(lambda lab: mfa_session(lab, code=True))
case("GetSessionToken without MFA", allowed=False)(lambda lab: mfa_session(lab, code=False))


@case("role made anew under the name of a session's role", allowed=False)
def _(lab: Lab) -> Call:
    (who, role), secret, iam = session(lab, EVERYTHING), lab.secret(), lab.admin.iam
    name = role.rsplit("/", 1)[-1]
    reads(who, secret)()
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trusts(ROOT)))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(EVERYTHING))
    return reads(who, secret)


def federated(lab: Lab, *policy: dict[str, Any]) -> Call:
    who = lab.user(EVERYTHING)
    more = {"Policy": document(*policy)} if policy else {}
    got = who.sts.get_federation_token(Name="guest", **more)["Credentials"]
    return reads(Principal(lab, session_keys(got)), lab.secret())


case("federated user within its policy", allowed=True)(lambda lab: federated(lab, allow(READ)))
case("federated user without a policy", allowed=False)(federated)


@case("user under a new name keeps keys and policies", allowed=True)
def _(lab: Lab) -> Call:
    who = lab.user(allow(READ))
    lab.admin.iam.update_user(UserName=who.name, NewUserName=f"{who.name}-renamed")
    return reads(who, lab.secret())


def trusted_again(lab: Lab, *, rewritten: bool) -> Call:
    """Delete a trusted user, make another of the same name, and let it assume the role."""
    iam, who = lab.admin.iam, lab.user()
    role = lab.role(trusts([who.arn, f"arn:aws:iam::{OTHER}:root"]))
    who.assume(role)
    iam.delete_access_key(UserName=who.name, AccessKeyId=who.keys["aws_access_key_id"])
    iam.delete_user(UserName=who.name)
    iam.create_user(UserName=who.name)
    key = iam.create_access_key(UserName=who.name)["AccessKey"]
    if rewritten:
        iam.update_assume_role_policy(
            RoleName=role.rpartition("/")[2], PolicyDocument=document(trusts(who.arn))
        )
    keys = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    return lambda: Principal(lab, keys).assume(role)


case("trusted user made anew under the same name", allowed=False)(
    lambda lab: trusted_again(lab, rewritten=False)
)
case("trusted user made anew, trust written again", allowed=True)(
    lambda lab: trusted_again(lab, rewritten=True)
)


def assumes_tagged(lab: Lab, value: str) -> Call:
    role = lab.role(trusts(ROOT), Tags=[{"Key": "env", "Value": "lab"}])
    who = lab.user(allow("sts:AssumeRole", **cond("StringEquals", "iam:ResourceTag/env", value)))
    return lambda: who.assume(role)


case("role's tag by IAM's own key", allowed=True)(lambda lab: assumes_tagged(lab, "lab"))
case("role's tag by IAM's own key, mismatch", allowed=False)(
    lambda lab: assumes_tagged(lab, "prod")
)


def creates_key(lab: Lab, **asked: Any) -> Call:
    who = lab.user(allow("kms:CreateKey", **cond("StringEquals", "kms:KeySpec", SYMMETRIC)))
    return lambda: who.kms.create_key(**asked)


SYMMETRIC = "SYMMETRIC_DEFAULT"
case("new key of the usual kind, not named", allowed=True)(creates_key)
case("new key of another kind", allowed=False)(
    lambda lab: creates_key(lab, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
)


# --- what sessions carry, and where they are not taken


@case("session tag takes the place of the role's, whatever its case", allowed=True)
def _(lab: Lab) -> Call:
    tagger = lab.user(allow(["sts:AssumeRole", "sts:TagSession"]))
    role = lab.role(
        trusts(ROOT, ["sts:AssumeRole", "sts:TagSession"]),
        allow(READ, **cond("StringEquals", "aws:PrincipalTag/team", "red")),
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    return reads(tagger.assume(role, Tags=[{"Key": "Team", "Value": "red"}]), lab.secret())


def chained_tags(lab: Lab, *trusted: str) -> Call:
    actions = ["sts:AssumeRole", "sts:TagSession"]
    first = lab.role(trusts(ROOT, actions), allow(actions))
    second = lab.role(trusts(ROOT, list(trusted)))
    who = lab.user(allow(actions)).assume(
        first, Tags=[{"Key": "team", "Value": "red"}], TransitiveTagKeys=["team"]
    )
    return lambda: who.assume(second)


case("chain hands transitive tags on with TagSession", allowed=True)(
    lambda lab: chained_tags(lab, "sts:AssumeRole", "sts:TagSession")
)
case("chain hands transitive tags on without TagSession", allowed=False)(
    lambda lab: chained_tags(lab, "sts:AssumeRole")
)


@case("user's session without MFA calls IAM", allowed=False)
def _(lab: Lab) -> Call:
    got = lab.user(EVERYTHING).sts.get_session_token()["Credentials"]
    who = Principal(lab, session_keys(got))
    return lambda: who.iam.list_users(MaxItems=1)


@case("federated user calls IAM", allowed=False)
def _(lab: Lab) -> Call:
    who = lab.user(EVERYTHING)
    got = who.sts.get_federation_token(Name="guest", Policy=document(EVERYTHING))["Credentials"]
    guest = Principal(lab, session_keys(got))
    return lambda: guest.iam.list_users(MaxItems=1)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
