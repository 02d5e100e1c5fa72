# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""Roles: source identity, session names, chains, tags that pass on, MFA, and who passes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    READ,
    REGION,
    ROOT,
    TAGS,
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
    unique,
)

case = Cases("sts and iam keys")
SET = ["sts:AssumeRole", "sts:SetSourceIdentity"]
TAG = ["sts:AssumeRole", "sts:TagSession"]


def assumes(
    lab: Lab,
    condition: dict[str, Any],
    *own: dict[str, Any],
    actions: Any = "sts:AssumeRole",
    **asked: Any,
) -> Call:
    """Assume a role whose trust names the user on a condition."""
    who = lab.user(*own)
    role = lab.role(trusts(who.arn, actions, **condition))
    return lambda: who.assume(role, **asked)


NONE: dict[str, Any] = {}
for _title, _condition, _actions, _asked, _allowed in (
    (
        "session name by a pattern",
        cond("StringLike", "sts:RoleSessionName", "job-*"),
        None,
        {"name": "job-1"},
        True,
    ),
    (
        "session name by another pattern",
        cond("StringLike", "sts:RoleSessionName", "job-*"),
        None,
        {"name": "other"},
        False,
    ),
    ("external id that is missing", cond("StringEquals", "sts:ExternalId", "x"), None, {}, False),
    (
        "external id, one of several",
        cond("StringEquals", "sts:ExternalId", ["xx", "yy"]),
        None,
        {"ExternalId": "yy"},
        True,
    ),
    ("no external id is asked for", cond("Null", "sts:ExternalId", "true"), None, {}, True),
    (
        "no external id is wanted",
        cond("Null", "sts:ExternalId", "true"),
        None,
        {"ExternalId": "xx"},
        False,
    ),
    ("source identity without the trust's permission", NONE, None, {"SourceIdentity": "aa"}, False),
    ("source identity with the trust's permission", NONE, SET, {"SourceIdentity": "aa"}, True),
    (
        "source identity that is demanded",
        cond("StringLike", "sts:SourceIdentity", "*"),
        SET,
        {},
        False,
    ),
    ("tag without the trust's permission", NONE, None, {"Tags": TAGS}, False),
    ("tag with the trust's permission", NONE, TAG, {"Tags": TAGS}, True),
    (
        "tag of the right value",
        cond("StringEquals", "aws:RequestTag/team", "red"),
        TAG,
        {"Tags": TAGS},
        True,
    ),
    (
        "tag of another value",
        cond("StringEquals", "aws:RequestTag/team", "blue"),
        TAG,
        {"Tags": TAGS},
        False,
    ),
    (
        "tag key that is allowed",
        cond("ForAllValues:StringEquals", "aws:TagKeys", ["team"]),
        TAG,
        {"Tags": TAGS},
        True,
    ),
    (
        "tag key that is not allowed",
        cond("ForAllValues:StringEquals", "aws:TagKeys", ["x"]),
        TAG,
        {"Tags": TAGS},
        False,
    ),
    (
        "transitive key that is allowed",
        cond("ForAllValues:StringEquals", "sts:TransitiveTagKeys", ["team"]),
        TAG,
        {"Tags": TAGS, "TransitiveTagKeys": ["team"]},
        True,
    ),
    (
        "transitive key that is not allowed",
        cond("ForAnyValue:StringEquals", "sts:TransitiveTagKeys", ["x"]),
        TAG,
        {"Tags": TAGS, "TransitiveTagKeys": ["team"]},
        False,
    ),
    ("MFA that is missing", cond("Bool", "aws:MultiFactorAuthPresent", "true"), None, {}, False),
):
    case(_title, allowed=_allowed)(
        lambda lab, c=_condition, a=_actions, asked=_asked: assumes(  # type: ignore[misc]  # mypy reads no default in a lambda
            lab, c, actions=a or "sts:AssumeRole", **asked
        )
    )


def chain(lab: Lab, first: dict[str, Any], second: dict[str, Any], **condition: Any) -> Call:
    """Assume a role, and from there another one."""
    who, every = lab.user(), [*SET, "sts:TagSession"]
    one = lab.role(trusts(who.arn, every), allow(every))
    two = lab.role(trusts(one, every, **condition))
    session = who.assume(one, **first)
    return lambda: session.assume(two, **second)


ALICE, BOB = {"SourceIdentity": "alice"}, {"SourceIdentity": "bob"}
IS_ALICE = cond("StringEquals", "sts:SourceIdentity", "alice")
case("source identity lives on in a chain", allowed=True)(
    lambda lab: chain(lab, ALICE, {}, **IS_ALICE)
)
case("source identity cannot be changed in a chain", allowed=False)(
    lambda lab: chain(lab, ALICE, BOB)
)
case("source identity said again in a chain", allowed=True)(
    lambda lab: chain(lab, ALICE, ALICE, **IS_ALICE)
)
case("source identity set late in a chain", allowed=True)(lambda lab: chain(lab, {}, ALICE))
PASSED_ON = {"Tags": TAGS, "TransitiveTagKeys": ["team"]}


def chained_read(lab: Lab, first: dict[str, Any], second: dict[str, Any]) -> Call:
    """Read, at the end of a chain, as a principal whose tag is red."""
    who, every = lab.user(), [*SET, "sts:TagSession"]
    one = lab.role(trusts(who.arn, every), allow(every))
    red = cond("StringEquals", "aws:PrincipalTag/team", "red")
    two = lab.role(trusts(one, every), allow(READ, **red))
    return reads(who.assume(one, **first).assume(two, **second), lab.secret())


case("transitive tag lives on in a chain", allowed=True)(
    lambda lab: chained_read(lab, PASSED_ON, {})
)
case("plain tag does not live on in a chain", allowed=False)(
    lambda lab: chained_read(lab, {"Tags": TAGS}, {})
)
case("tag said again in a chain", allowed=True)(
    lambda lab: chained_read(lab, {"Tags": TAGS}, {"Tags": TAGS})
)
case("transitive tag cannot be changed in a chain", allowed=False)(
    lambda lab: chain(lab, PASSED_ON, {"Tags": [{"Key": "team", "Value": "blue"}]})
)
case("role of the session is the principal's tag", allowed=True)(
    lambda lab: chain(
        lab, {"Tags": TAGS}, {}, **cond("StringEquals", "aws:PrincipalTag/team", "red")
    )
)
case("name of the session in a chain", allowed=True)(
    lambda lab: chain(lab, {"name": "n1"}, {}, **cond("StringLike", "aws:userid", "AROA*:n1"))
)


def iam_call(lab: Lab, own: dict[str, Any], call: Any) -> Call:
    who, target = lab.user(own), lab.user()
    return lambda: call(who.iam, target)


def managed(lab: Lab) -> str:
    return str(
        lab.admin.iam.create_policy(PolicyName=unique("m"), PolicyDocument=document(allow("s3:*")))[
            "Policy"
        ]["Arn"]
    )


ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
SAFE = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def attaches(lab: Lab, operator: str, wanted: Any, given: str) -> Call:
    own = allow("iam:AttachUserPolicy", **cond(operator, "iam:PolicyARN", wanted))
    return iam_call(
        lab, own, lambda iam, to: iam.attach_user_policy(UserName=to.name, PolicyArn=given)
    )


case("policy by a list of ARNs", allowed=True)(
    lambda lab: attaches(lab, "ArnEquals", [SAFE, "arn:aws:iam::aws:policy/x"], SAFE)
)
case("policy not of a list", allowed=False)(
    lambda lab: attaches(lab, "ArnNotEquals", [ADMIN], ADMIN)
)
case("policy by a pattern", allowed=True)(
    lambda lab: attaches(lab, "ArnLike", "arn:aws:iam::aws:policy/ReadOnly*", SAFE)
)


def bounded_by(lab: Lab, *, has: bool) -> Call:
    """Put a policy on a user who must have the boundary."""
    arn = managed(lab)
    who = lab.user(
        allow("iam:PutUserPolicy", **cond("StringEquals", "iam:PermissionsBoundary", arn))
    )
    target = lab.user(**({"PermissionsBoundary": arn} if has else {}))
    return lambda: who.iam.put_user_policy(
        UserName=target.name, PolicyName="p", PolicyDocument=document(allow("s3:*"))
    )


case("policy for a user under the boundary", allowed=True)(lambda lab: bounded_by(lab, has=True))
case("policy for a user without the boundary", allowed=False)(
    lambda lab: bounded_by(lab, has=False)
)


def deletes_boundary(lab: Lab, *, own: bool) -> Call:
    arn = managed(lab)
    keeps = deny(
        "iam:DeleteUserPermissionsBoundary", **cond("StringEquals", "iam:PermissionsBoundary", arn)
    )
    who, other = lab.user(EVERYTHING, keeps), managed(lab)
    target = lab.user(PermissionsBoundary=arn if own else other)
    return lambda: who.iam.delete_user_permissions_boundary(UserName=target.name)


case("boundary that must stay", allowed=False)(lambda lab: deletes_boundary(lab, own=True))
case("boundary that may go", allowed=True)(lambda lab: deletes_boundary(lab, own=False))


def tagged_role(lab: Lab, key: str, value: str) -> Call:
    role = lab.role(trusts(ROOT), Tags=TAGS)
    who = lab.user(allow("iam:UpdateRole", **cond("StringEquals", key, value)))
    return lambda: who.iam.update_role(RoleName=role.rpartition("/")[2], Description="d")


case("role's tag", allowed=True)(lambda lab: tagged_role(lab, "aws:ResourceTag/team", "red"))
case("role's tag by IAM's key", allowed=True)(
    lambda lab: tagged_role(lab, "iam:ResourceTag/team", "red")
)
case("role's other tag", allowed=False)(lambda lab: tagged_role(lab, "iam:ResourceTag/team", "x"))


def service_role(lab: Lab, name: str) -> Call:
    own = allow(
        "iam:CreateServiceLinkedRole",
        **cond("StringEquals", "iam:AWSServiceName", "ecs.amazonaws.com"),
    )
    who = lab.user(own)
    return lambda: who.iam.create_service_linked_role(AWSServiceName=name)


case("role of another service", allowed=False)(lambda lab: service_role(lab, "x.amazonaws.com"))


def profile(lab: Lab, *own: dict[str, Any]) -> Call:
    """Run an instance with a profile's role."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role, name = lab.role(trust), unique("profile")
    lab.admin.iam.create_instance_profile(InstanceProfileName=name)
    lab.admin.iam.add_role_to_instance_profile(
        InstanceProfileName=name, RoleName=role.rpartition("/")[2]
    )
    text = json.dumps(own).replace("@role", role)
    who = lab.user(allow("ec2:*"), *json.loads(text))
    return lambda: who.ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": name}
    )


def passes(service: str, **more: Any) -> dict[str, Any]:
    to = {"iam:PassedToService": f"{service}.amazonaws.com"}
    return allow("iam:PassRole", "@role", Condition={"StringEquals": to} | more)


INSTANCES = f"arn:aws:ec2:{REGION}:{HOME}:instance/*"
case("instance profile without PassRole", allowed=False)(profile)
case("instance profile with PassRole", allowed=True)(lambda lab: profile(lab, passes("ec2")))
case("instance profile with PassRole to another service", allowed=False)(
    lambda lab: profile(lab, passes("lambda"))
)
case("instance profile for the instances", allowed=True)(
    lambda lab: profile(lab, passes("ec2", ArnLike={"iam:AssociatedResourceArn": INSTANCES}))
)
case("instance profile for another region's instances", allowed=False)(
    lambda lab: profile(
        lab,
        passes(
            "ec2", ArnLike={"iam:AssociatedResourceArn": INSTANCES.replace(REGION, "eu-west-1")}
        ),
    )
)


def glue_job(lab: Lab, *own: dict[str, Any]) -> Call:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "glue.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = lab.role(trust)
    who = lab.user(allow("glue:CreateJob"), *json.loads(json.dumps(own).replace("@role", role)))
    return lambda: who.glue.create_job(
        Name=unique("job"), Role=role, Command={"Name": "glueetl", "ScriptLocation": "s3://b/k"}
    )


case("job of Glue without PassRole", allowed=False)(glue_job)
case("job of Glue with PassRole", allowed=True)(lambda lab: glue_job(lab, passes("glue")))
case("job of Glue with PassRole to another service", allowed=False)(
    lambda lab: glue_job(lab, passes("ec2"))
)


def mfa(lab: Lab, operator: str, key: str, value: str, *, fresh: bool = True) -> Call:
    who = lab.user(allow(READ, **cond(operator, key, value)))
    device = lab.admin.iam.create_virtual_mfa_device(VirtualMFADeviceName=who.name)
    serial = device["VirtualMFADevice"]["SerialNumber"]
    seed, now = device["VirtualMFADevice"]["Base32StringSeed"], lab.clock.now()
    codes = [one_time(seed, now + seconds) for seconds in (-30, 0, 30)]
    lab.admin.iam.enable_mfa_device(
        UserName=who.name,
        SerialNumber=serial,
        AuthenticationCode1=codes[0],
        AuthenticationCode2=codes[1],
    )
    got = who.sts.get_session_token(SerialNumber=serial, TokenCode=codes[2])["Credentials"]
    call = reads(Principal(lab, session_keys(got)), lab.secret())

    def later() -> Any:
        lab.clock.offset += 0 if fresh else 400
        try:
            return call()
        finally:
            lab.clock.offset -= 0 if fresh else 400

    return later


AGE = "aws:MultiFactorAuthAge"
case("MFA in a session", allowed=True)(
    lambda lab: mfa(lab, "Bool", "aws:MultiFactorAuthPresent", "true")
)
case("fresh MFA", allowed=True)(lambda lab: mfa(lab, "NumericLessThan", AGE, "300"))
case("MFA of a while ago", allowed=False)(
    lambda lab: mfa(lab, "NumericLessThan", AGE, "300", fresh=False)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
