# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""IAM decisions at the real endpoint, through boto3, against AWS's documented verdicts.

Each case arranges policies as an administrator and returns the call to judge. Web identities have
a file of their own (`test_aws_web_identity.py`).
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import OffsetClock
from iamrange.core.decision import DecisionRecord, Outcome
from iamrange.network.edge import Edge, Route

MANAGEMENT, HOME, OTHER = "100000000001", "100000000002", "200000000001"
REGION = "us-east-1"
REFUSALS = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "MissingAuthenticationTokenException",
    "ValidationError",
    "AuthorizationError",
}
Call = Callable[[], Any]


class Principal:
    """Credentials, and clients that use them."""

    def __init__(self, lab: Lab, keys: dict[str, str], name: str = "", account: str = HOME) -> None:
        self.lab, self.keys, self.name, self.account = lab, keys, name, account
        self.arn = f"arn:aws:iam::{account}:user/{name}"

    def __getattr__(self, service: str) -> Any:
        return self.lab.client(service.rstrip("_"), **self.keys)

    def assume(self, role: str, name: str = "session", **more: Any) -> Principal:
        got = self.sts.assume_role(RoleArn=role, RoleSessionName=name, **more)["Credentials"]
        return Principal(self.lab, session_keys(got), name)


def session_keys(got: dict[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": got["AccessKeyId"],
        "aws_secret_access_key": got["SecretAccessKey"],
        "aws_session_token": got["SessionToken"],
    }


class Lab:
    """One cloud behind a real listener, and what the cases build in it."""

    def __init__(self) -> None:
        self.clock = OffsetClock()
        self.records: list[DecisionRecord] = []
        self.cloud = AwsCloud(
            clock=self.clock,
            records=self.records.append,
            fetcher=HttpFetcher(resolve={}, authorities=()),
        )
        made = {a: self.cloud.create_account(a) for a in (MANAGEMENT, HOME, OTHER)}
        self.cloud.create_organization(MANAGEMENT, [HOME])
        self.loop = asyncio.new_event_loop()
        self.edge = Edge([Route("*", self.cloud)], ca=None)
        self.loop.run_until_complete(self.edge.start())
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.admins = {
            account: Principal(
                self,
                {
                    "aws_access_key_id": key.access_key_id,
                    "aws_secret_access_key": key.secret_access_key,
                },
                "admin",
                account,
            )
            for account, key in made.items()
        }
        self.admin = self.admins[HOME]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.edge.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def client(self, service: str, **keys: Any) -> Any:
        config = keys.pop("config", Config())
        connect: Any = boto3.client
        return connect(
            service,
            endpoint_url=f"http://127.0.0.1:{self.edge.port}",
            region_name=REGION,
            config=config.merge(Config(retries={"total_max_attempts": 1})),
            **keys,
        )

    def user(self, *statements: dict[str, Any], account: str = HOME, **more: Any) -> Principal:
        name, iam = unique("user"), self.admins[account].iam
        iam.create_user(UserName=name, **more)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
        return Principal(self, keys, name, account)

    def role(
        self, trust: dict[str, Any], *statements: dict[str, Any], account: str = HOME, **more: Any
    ) -> str:
        name, iam = unique("role"), self.admins[account].iam
        got = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust), **more)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
        return str(got["Role"]["Arn"])

    def secret(self, account: str = HOME, **more: Any) -> str:
        client = self.admins[account].secretsmanager
        return str(client.create_secret(Name=unique("secret"), SecretString="s", **more)["ARN"])

    def bucket(self, account: str = HOME) -> str:
        name = unique("bucket")
        self.admins[account].s3.create_bucket(Bucket=name)
        self.admins[account].s3.put_object(Bucket=name, Key="own/key", Body=b"content")
        return name

    def table(self) -> str:
        name = unique("table")
        self.admin.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return name


def unique(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(4)}"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def trusts(principal: Any, action: Any = "sts:AssumeRole", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action} | more


def cond(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


READ = "secretsmanager:GetSecretValue"
ROOT = f"arn:aws:iam::{HOME}:root"


def reads(who: Principal, secret: str, **more: Any) -> Call:
    return lambda: who.secretsmanager.get_secret_value(SecretId=secret, **more)


CASES: dict[str, tuple[bool, Callable[[Lab], Call]]] = {}


def case(title: str, *, allowed: bool) -> Callable[[Callable[[Lab], Call]], Callable[[Lab], Call]]:
    def keep(arrange: Callable[[Lab], Call]) -> Callable[[Lab], Call]:
        assert title not in CASES
        CASES[title] = allowed, arrange
        return arrange

    return keep


def policy_case(
    title: str,
    statements: list[dict[str, Any]],
    *,
    allowed: bool,
    tags: dict[str, str],
    own: dict[str, str],
) -> None:
    """Declare a case that is only the user's own policy, reading a secret with those tags."""

    def arrange(lab: Lab) -> Call:
        listed = [{"Key": k, "Value": v} for k, v in tags.items()]
        secret, other = lab.secret(Tags=listed), lab.secret()
        text = json.dumps(statements).replace("@secret", secret).replace("@other", other)
        text = text.replace("@stem", secret[:-6]).replace("@name", secret[:-7])
        owned = [{"Key": k, "Value": v} for k, v in own.items()]
        return reads(lab.user(*json.loads(text), Tags=owned), secret)

    case(title, allowed=allowed)(arrange)


TEAM, MY_TEAM = "aws:ResourceTag/team", "${aws:PrincipalTag/team}"
RED, BLUE = {"team": "red"}, {"team": "blue"}
PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
EVERYTHING = allow("*")

for _title, _allowed, _tags, _own, _statements in (
    ("allow on exact ARN", True, {}, {}, [allow(READ, "@secret")]),
    ("no policy", False, {}, {}, []),
    ("explicit deny beats allow", False, {}, {}, [allow("*"), deny(READ, "@secret")]),
    (
        "deny with unmet condition is neutral",
        True,
        {},
        {},
        [EVERYTHING, deny(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/x", "y"))],
    ),
    ("resource wildcard match", True, {}, {}, [allow(READ, "@stem*")]),
    ("resource wildcard mismatch", False, {}, {}, [allow(READ, "@stem*zz")]),
    ("question marks for the suffix", True, {}, {}, [allow(READ, "@stem??????")]),
    ("name without suffix does not match", False, {}, {}, [allow(READ, "@name")]),
    ("action wildcard", True, {}, {}, [allow("secretsmanager:Get*", "@secret")]),
    ("action in other case", True, {}, {}, [allow("SecretsManager:getsecretvalue", "@secret")]),
    ("another action only", False, {}, {}, [allow("secretsmanager:DescribeSecret", "@secret")]),
    ("another secret only", False, {}, {}, [allow(READ, "@other")]),
    (
        "NotAction allow covers others",
        True,
        {},
        {},
        [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}],
    ),
    (
        "NotAction allow spares its own",
        False,
        {},
        {},
        [{"Effect": "Allow", "NotAction": "secretsmanager:*", "Resource": "*"}],
    ),
    (
        "Deny NotResource hits other ARN",
        False,
        {},
        {},
        [EVERYTHING, {"Effect": "Deny", "Action": READ, "NotResource": "@other"}],
    ),
    (
        "Deny NotResource spares the ARN",
        True,
        {},
        {},
        [EVERYTHING, {"Effect": "Deny", "Action": READ, "NotResource": "@secret"}],
    ),
    (
        "PrincipalTag match",
        True,
        {},
        RED,
        [allow(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "PrincipalTag mismatch",
        False,
        {},
        BLUE,
        [allow(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "PrincipalTag absent",
        False,
        {},
        {},
        [allow(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "IfExists with the tag absent",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("StringEqualsIfExists", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "Deny NotEqualsIfExists, tag equal",
        True,
        {},
        RED,
        [
            EVERYTHING,
            deny(
                READ, "@secret", **cond("StringNotEqualsIfExists", "aws:PrincipalTag/team", "red")
            ),
        ],
    ),
    (
        "Deny without TLS over http",
        False,
        {},
        {},
        [EVERYTHING, deny("*", **cond("Bool", "aws:SecureTransport", "false"))],
    ),
    (
        "time in the past",
        False,
        {},
        {},
        [allow(READ, "@secret", **cond("DateLessThan", "aws:CurrentTime", PAST))],
    ),
    (
        "time in the future",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("DateLessThan", "aws:CurrentTime", FUTURE))],
    ),
    (
        "epoch time",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("NumericGreaterThan", "aws:EpochTime", "1000"))],
    ),
    (
        "source address mismatch",
        False,
        {},
        {},
        [allow(READ, "@secret", **cond("IpAddress", "aws:SourceIp", "10.0.0.0/8"))],
    ),
    (
        "source address match",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("IpAddress", "aws:SourceIp", "127.0.0.0/8"))],
    ),
    ("ResourceTag literal", True, RED, {}, [allow(READ, **cond("StringEquals", TEAM, "red"))]),
    (
        "ResourceTag other literal",
        False,
        RED,
        {},
        [allow(READ, **cond("StringEquals", TEAM, "blue"))],
    ),
    (
        "ResourceTag is PrincipalTag",
        True,
        RED,
        RED,
        [allow(READ, **cond("StringEquals", TEAM, MY_TEAM))],
    ),
    (
        "ResourceTag is not PrincipalTag",
        False,
        RED,
        BLUE,
        [allow(READ, **cond("StringEquals", TEAM, MY_TEAM))],
    ),
    (
        "ResourceTag and no PrincipalTag",
        False,
        RED,
        {},
        [allow(READ, **cond("StringEquals", TEAM, MY_TEAM))],
    ),
    (
        "Allow StringNotEquals on equal tags",
        False,
        RED,
        RED,
        [allow(READ, **cond("StringNotEquals", TEAM, MY_TEAM))],
    ),
    (
        "Deny StringNotEquals on equal tags",
        True,
        RED,
        RED,
        [EVERYTHING, deny(READ, **cond("StringNotEquals", TEAM, MY_TEAM))],
    ),
    (
        "Deny StringNotEquals on other tags",
        False,
        RED,
        BLUE,
        [EVERYTHING, deny(READ, **cond("StringNotEquals", TEAM, MY_TEAM))],
    ),
    (
        "the service's own ResourceTag",
        True,
        RED,
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:ResourceTag/team", "red"))],
    ),
    (
        "the service's own ResourceTag, other",
        False,
        RED,
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:ResourceTag/team", "blue"))],
    ),
    (
        "SecretId",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:SecretId", "@secret"))],
    ),
    (
        "VersionStage that was not asked",
        False,
        {},
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT"))],
    ),
    (
        "requested region",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:RequestedRegion", REGION))],
    ),
    (
        "other region",
        False,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:RequestedRegion", "eu-west-1"))],
    ),
    (
        "principal's account",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:PrincipalAccount", HOME))],
    ),
    (
        "resource's account",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:ResourceAccount", "${aws:PrincipalAccount}"))],
    ),
    (
        "MFA with a long-term key",
        False,
        {},
        {},
        [allow(READ, **cond("Bool", "aws:MultiFactorAuthPresent", "true"))],
    ),
    (
        "BoolIfExists MFA with a long-term key",
        True,
        {},
        {},
        [allow(READ, **cond("BoolIfExists", "aws:MultiFactorAuthPresent", "true"))],
    ),
    (
        "principal type",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:PrincipalType", "User"))],
    ),
    (
        "through no service",
        True,
        {},
        {},
        [allow(READ, **cond("Bool", "aws:ViaAWSService", "false"))],
    ),
    ("user agent", True, {}, {}, [allow(READ, **cond("StringLike", "aws:UserAgent", "*Boto*"))]),
):
    policy_case(_title, _statements, allowed=_allowed, tags=_tags, own=_own)


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


def with_secret_policy(
    lab: Lab,
    statement: Callable[[Principal, str], dict[str, Any]],
    *own: dict[str, Any],
    account: str = HOME,
) -> Call:
    secret, who = lab.secret(), lab.user(*own, account=account)
    lab.admin.secretsmanager.put_resource_policy(
        SecretId=secret, ResourcePolicy=document(statement(who, secret))
    )
    return reads(who, secret)


def names(who: Principal, *, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": {"AWS": who.arn}, "Action": READ, "Resource": "*"}


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


# --- buckets


def gets(who: Principal, bucket: str, key: str = "own/key") -> Call:
    return lambda: who.s3.get_object(Bucket=bucket, Key=key)


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


# --- roles and sessions


def assuming(
    lab: Lab,
    trust: Callable[[Principal], dict[str, Any]],
    *own: dict[str, Any],
    account: str = HOME,
    role: dict[str, Any] | None = None,
    **asked: Any,
) -> Call:
    who = lab.user(*own, account=account)
    arn = lab.role(trust(who), **(role or {}))
    return lambda: who.assume(arn, **asked)


MAY = allow("sts:AssumeRole")
ID = cond("StringEquals", "sts:ExternalId", "right")
case("trust and identity allow", allowed=True)(
    lambda lab: assuming(lab, lambda _: trusts(ROOT), MAY)
)
case("trust names the user, no identity policy", allowed=True)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn))
)
case("trust names the account, no identity policy", allowed=False)(
    lambda lab: assuming(lab, lambda _: trusts(ROOT))
)
case("trust denies", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn) | {"Effect": "Deny"}, EVERYTHING)
)
case("external id right", allowed=True)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **ID), ExternalId="right")
)
case("external id wrong", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **ID), MAY, ExternalId="wrong")
)
case("external id missing", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **ID), MAY)
)
case("duration over the role's limit", allowed=False)(
    lambda lab: assuming(
        lab, lambda w: trusts(w.arn), role={"MaxSessionDuration": 3600}, DurationSeconds=7200
    )
)
case("duration within the role's limit", allowed=True)(
    lambda lab: assuming(
        lab, lambda w: trusts(w.arn), role={"MaxSessionDuration": 7200}, DurationSeconds=7200
    )
)
TAGS = [{"Key": "team", "Value": "red"}]
case("session tags without TagSession in the trust", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn), EVERYTHING, Tags=TAGS)
)
case("session tags with TagSession", allowed=True)(
    lambda lab: assuming(
        lab, lambda w: trusts(w.arn, ["sts:AssumeRole", "sts:TagSession"]), Tags=TAGS
    )
)
NAMED = cond("StringEquals", "sts:RoleSessionName", "${aws:username}")
case("role session name mismatch", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **NAMED))
)
SOURCE = cond("StringEquals", "sts:SourceIdentity", "alice")
case("source identity met", allowed=True)(
    lambda lab: assuming(
        lab,
        lambda w: trusts(w.arn, ["sts:AssumeRole", "sts:SetSourceIdentity"], **SOURCE),
        SourceIdentity="alice",
    )
)
case("source identity not met", allowed=False)(
    lambda lab: assuming(
        lab,
        lambda w: trusts(w.arn, ["sts:AssumeRole", "sts:SetSourceIdentity"], **SOURCE),
        SourceIdentity="mallory",
    )
)
case("cross-account AssumeRole, both allow", allowed=True)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn), MAY, account=OTHER)
)
case("cross-account AssumeRole, no identity policy", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn), account=OTHER)
)


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
    serial = device["SerialNumber"]
    iam.enable_mfa_device(
        UserName=who.name,
        SerialNumber=serial,
        AuthenticationCode1="123456",
        AuthenticationCode2="654321",
    )
    more = {"SerialNumber": serial, "TokenCode": "123456"} if code else {}
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


# --- keys


@case("inactive access key", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(EVERYTHING), lab.secret()
    lab.admin.iam.update_access_key(
        UserName=who.name, AccessKeyId=who.keys["aws_access_key_id"], Status="Inactive"
    )
    return reads(who, secret)


@case("deleted access key", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(EVERYTHING), lab.secret()
    reads(who, secret)()
    lab.admin.iam.delete_access_key(UserName=who.name, AccessKeyId=who.keys["aws_access_key_id"])
    return reads(who, secret)


@case("deleted user", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(EVERYTHING), lab.secret()
    reads(who, secret)()
    lab.admin.iam.delete_user_policy(UserName=who.name, PolicyName="p")
    lab.admin.iam.delete_user(UserName=who.name)
    lab.admin.iam.create_user(UserName=who.name)
    lab.admin.iam.put_user_policy(
        UserName=who.name, PolicyName="p", PolicyDocument=document(EVERYTHING)
    )
    return reads(who, secret)


@case("unknown access key", allowed=False)
def _(lab: Lab) -> Call:
    keys = {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA", "aws_secret_access_key": "x" * 40}
    return reads(Principal(lab, keys), lab.secret())


def decrypts(
    lab: Lab,
    *own: dict[str, Any],
    policy: Callable[[Principal], dict[str, Any]] | None = None,
    context: dict[str, str] | None = None,
) -> Call:
    who = lab.user(*own)
    context = context if context is not None else {}
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)
    if policy is not None:
        lab.admin.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(policy(who)))
    blob = sealed["CiphertextBlob"]
    return lambda: who.kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)


OPEN = allow("kms:Decrypt")
PURPOSE = allow("kms:Decrypt", **cond("StringEquals", "kms:EncryptionContext:purpose", "test"))
case("default key policy, identity allows", allowed=True)(lambda lab: decrypts(lab, OPEN))
case("default key policy, identity silent", allowed=False)(decrypts)
case("key policy without the account", allowed=False)(
    lambda lab: decrypts(
        lab, EVERYTHING, policy=lambda _: allow("kms:*", Principal={"AWS": lab.admin.arn})
    )
)
case("key policy names the user", allowed=True)(
    lambda lab: decrypts(lab, policy=lambda w: allow("kms:*", Principal={"AWS": w.arn}))
)
case("encryption context match", allowed=True)(
    lambda lab: decrypts(lab, PURPOSE, context={"purpose": "test"})
)
case("encryption context mismatch", allowed=False)(
    lambda lab: decrypts(lab, PURPOSE, context={"purpose": "other"})
)


def sealed_secret(lab: Lab, *own: dict[str, Any]) -> Call:
    key = lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    return reads(lab.user(*own), lab.secret(KmsKeyId=key))


VIA = allow(
    "kms:Decrypt",
    **cond("StringEquals", "kms:ViaService", f"secretsmanager.{REGION}.amazonaws.com"),
)
case("secret under a customer key, without the key", allowed=False)(
    lambda lab: sealed_secret(lab, allow(READ))
)
case("secret under a customer key, key via the service", allowed=True)(
    lambda lab: sealed_secret(lab, allow(READ), VIA)
)


def granted(lab: Lab, *operations: str) -> Call:
    who = lab.user()
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    blob = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    lab.admin.kms.create_grant(KeyId=key, GranteePrincipal=who.arn, Operations=list(operations))
    return lambda: who.kms.decrypt(CiphertextBlob=blob)


def granted_abroad(lab: Lab, *own: dict[str, Any], **constraints: Any) -> Call:
    who = lab.user(*own, account=OTHER)
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    context = {"agent": "planner"}
    blob = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)
    lab.admin.kms.create_grant(
        KeyId=key, GranteePrincipal=who.arn, Operations=["Decrypt"], Constraints=constraints
    )
    return lambda: who.kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=context)


case("grant suffices in another account", allowed=True)(granted_abroad)
case("denial beats a grant", allowed=False)(lambda lab: granted_abroad(lab, deny("kms:*")))
case("grant under its constraint", allowed=True)(
    lambda lab: granted_abroad(lab, EncryptionContextSubset={"agent": "planner"})
)
case("grant outside its constraint", allowed=False)(
    lambda lab: granted_abroad(lab, EncryptionContextEquals={"agent": "other"})
)


def granted_account(lab: Lab, *own: dict[str, Any]) -> Call:
    who = lab.user(*own)
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    blob = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    lab.admin.kms.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Decrypt"])
    return lambda: who.kms.decrypt(CiphertextBlob=blob)


case("grant to an account, user allowed", allowed=True)(
    lambda lab: granted_account(lab, allow("kms:Decrypt"))
)
case("grant to an account, user not allowed", allowed=False)(granted_account)
case("grant to decrypt", allowed=True)(lambda lab: granted(lab, "Decrypt"))
case("grant to encrypt only", allowed=False)(lambda lab: granted(lab, "Encrypt"))


def foreign_key(lab: Lab, *own: dict[str, Any], shared: bool) -> Call:
    who = lab.user(*own, account=OTHER)
    key = lab.admin.kms.create_key()["KeyMetadata"]
    if shared:
        both = [allow("kms:*", Principal={"AWS": ROOT}), allow("kms:*", Principal={"AWS": who.arn})]
        lab.admin.kms.put_key_policy(
            KeyId=key["KeyId"], PolicyName="default", Policy=document(*both)
        )
    return lambda: who.kms.encrypt(KeyId=key["Arn"], Plaintext=b"x")


case("cross-account key, both allow", allowed=True)(
    lambda lab: foreign_key(lab, allow("kms:*"), shared=True)
)
case("cross-account key, only identity", allowed=False)(
    lambda lab: foreign_key(lab, allow("kms:*"), shared=False)
)
case("cross-account key, only its policy", allowed=False)(lambda lab: foreign_key(lab, shared=True))


def foreign_table(lab: Lab, *, shared: bool) -> Call:
    who, name = lab.user(allow("dynamodb:*"), account=OTHER), lab.table()
    arn = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{name}"
    if shared:
        lab.admin.dynamodb.put_resource_policy(
            ResourceArn=arn,
            Policy=document(allow("dynamodb:GetItem", arn, Principal={"AWS": who.arn})),
        )
    return lambda: who.dynamodb.get_item(TableName=arn, Key={"pk": {"S": "x"}})


case("cross-account table, both allow", allowed=True)(lambda lab: foreign_table(lab, shared=True))
case("cross-account table, only identity", allowed=False)(
    lambda lab: foreign_table(lab, shared=False)
)


# --- other services


def creates_function(lab: Lab, *own: dict[str, Any]) -> Call:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role, who, packed = lab.role(trust), lab.user(*own), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", "x = 1")
    return lambda: who.lambda_.create_function(
        FunctionName=unique("f"),
        Runtime="python3.12",
        Role=role,
        Handler="a.x",
        Code={"ZipFile": packed.getvalue()},
    )


PASSES = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "lambda.amazonaws.com")
)
PASSES_EC2 = allow(
    "iam:PassRole", **cond("StringEquals", "iam:PassedToService", "ec2.amazonaws.com")
)
case("CreateFunction without PassRole", allowed=False)(
    lambda lab: creates_function(lab, allow("lambda:*"))
)
case("CreateFunction with PassRole", allowed=True)(
    lambda lab: creates_function(lab, allow("lambda:*"), PASSES)
)
case("CreateFunction with PassRole to another service", allowed=False)(
    lambda lab: creates_function(lab, allow("lambda:*"), PASSES_EC2)
)


def attaches(lab: Lab, wanted: str) -> Call:
    who, target = (
        lab.user(allow("iam:AttachUserPolicy", **cond("ArnEquals", "iam:PolicyARN", wanted))),
        lab.user(),
    )
    return lambda: who.iam.attach_user_policy(
        UserName=target.name, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
    )


case("iam:PolicyARN met", allowed=True)(
    lambda lab: attaches(lab, "arn:aws:iam::aws:policy/ReadOnlyAccess")
)
case("iam:PolicyARN not met", allowed=False)(
    lambda lab: attaches(lab, "arn:aws:iam::aws:policy/AdministratorAccess")
)


def creates_bounded(lab: Lab, *, given: bool) -> Call:
    arn = lab.admin.iam.create_policy(
        PolicyName=unique("b"), PolicyDocument=document(allow("s3:*"))
    )["Policy"]["Arn"]
    who = lab.user(allow("iam:CreateUser", **cond("StringEquals", "iam:PermissionsBoundary", arn)))
    more = {"PermissionsBoundary": arn} if given else {}
    return lambda: who.iam.create_user(UserName=unique("new"), **more)


case("iam:PermissionsBoundary met", allowed=True)(lambda lab: creates_bounded(lab, given=True))
case("iam:PermissionsBoundary missing", allowed=False)(
    lambda lab: creates_bounded(lab, given=False)
)


def parameter(lab: Lab, *, other: bool) -> Call:
    name = unique("p")
    lab.admin.ssm.put_parameter(Name=f"/{name}/a", Value="x", Type="String")
    shown = f"arn:aws:ssm:{REGION}:{HOME}:parameter/{name}/{'b' if other else 'a'}"
    who = lab.user(allow("ssm:GetParameter", shown))
    return lambda: who.ssm.get_parameter(Name=f"/{name}/a")


case("parameter ARN match", allowed=True)(lambda lab: parameter(lab, other=False))
case("parameter ARN mismatch", allowed=False)(lambda lab: parameter(lab, other=True))


def queue(lab: Lab, *, other: bool) -> Call:
    name = unique("q")
    url = lab.admin.sqs.create_queue(QueueName=name)["QueueUrl"]
    shown = f"arn:aws:sqs:{REGION}:{HOME}:{name}{'x' if other else ''}"
    who = lab.user(allow("sqs:SendMessage", shown))
    return lambda: who.sqs.send_message(QueueUrl=url, MessageBody="x")


case("queue ARN match", allowed=True)(lambda lab: queue(lab, other=False))
case("queue ARN mismatch", allowed=False)(lambda lab: queue(lab, other=True))

LEADING = allow(
    "dynamodb:*", **cond("ForAllValues:StringEquals", "dynamodb:LeadingKeys", ["${aws:username}"])
)


def item(lab: Lab, *, own: bool) -> Call:
    table, who = lab.table(), lab.user(LEADING)
    key = {"pk": {"S": who.name if own else "someone-else"}}
    return lambda: who.dynamodb.get_item(TableName=table, Key=key)


case("leading key match", allowed=True)(lambda lab: item(lab, own=True))
case("leading key mismatch", allowed=False)(lambda lab: item(lab, own=False))


@case("leading key mismatch in one of a batch", allowed=False)
def _(lab: Lab) -> Call:
    table, who = lab.table(), lab.user(LEADING)
    keys = [{"pk": {"S": name}} for name in (who.name, "someone-else")]
    return lambda: who.dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})


@case("leading key mismatch in a query", allowed=False)
def _(lab: Lab) -> Call:
    table, who = lab.table(), lab.user(LEADING)
    return lambda: who.dynamodb.query(
        TableName=table,
        KeyConditionExpression="#k = :v",
        ExpressionAttributeNames={"#k": "pk"},
        ExpressionAttributeValues={":v": {"S": "someone-else"}},
    )


def stops(lab: Lab, team: str) -> Call:
    got = lab.admin.ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": TAGS}],
    )
    ids = [got["Instances"][0]["InstanceId"]]
    who = lab.user(allow("ec2:StopInstances", **cond("StringEquals", TEAM, team)))
    return lambda: who.ec2.stop_instances(InstanceIds=ids)


case("EC2 ResourceTag match", allowed=True)(lambda lab: stops(lab, "red"))
case("EC2 ResourceTag mismatch", allowed=False)(lambda lab: stops(lab, "blue"))


@case("SimulatePrincipalPolicy", allowed=True)
def _(lab: Lab) -> Call:
    who = lab.user(allow(READ))

    def simulated() -> None:
        got = lab.admin.iam.simulate_principal_policy(
            PolicySourceArn=who.arn, ActionNames=[READ, "s3:GetObject"]
        )["EvaluationResults"]
        assert [one["EvalDecision"] for one in got] == ["allowed", "implicitDeny"]

    return simulated


def secure_parameter(lab: Lab, *own: dict[str, Any], place: str = "/") -> Call:
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    name = f"{place}{unique('secure')}"
    lab.admin.ssm.put_parameter(Name=name, Value="v", Type="SecureString", KeyId=key)
    who = lab.user(allow("ssm:GetParameter"), *own)
    return lambda: who.ssm.get_parameter(Name=name, WithDecryption=True)


for _place in ("", "/", "/two/levels/"):
    case(f"secure parameter in {_place!r} without its key", allowed=False)(
        functools.partial(secure_parameter, place=_place)
    )
case("secure parameter with its key", allowed=True)(
    lambda lab: secure_parameter(
        lab, allow("kms:Decrypt", **cond("StringLike", "kms:ViaService", "ssm.*"))
    )
)


@case("parameter named by its ARN", allowed=True)
def _(lab: Lab) -> Call:
    name = f"/{unique('app')}/a"
    lab.admin.ssm.put_parameter(Name=name, Value="v", Type="String")
    arn = f"arn:aws:ssm:{REGION}:{HOME}:parameter{name}"
    who = lab.user(allow("ssm:GetParameter", arn))
    return lambda: who.ssm.get_parameter(Name=arn)


@case("operation that is not mapped", allowed=False)
def _(lab: Lab) -> Call:
    return lambda: lab.admin.dynamodb.execute_statement(Statement='SELECT * FROM "t"')


@case("service that is not decided", allowed=False)
def _(lab: Lab) -> Call:
    return lambda: lab.admin.cloudtrail.list_trails(NextToken="x")


# --- organisations


def under_scp(lab: Lab, *statements: dict[str, Any]) -> Call:
    organizations, secret = lab.admins[MANAGEMENT].organizations, lab.secret()
    policy = organizations.create_policy(
        Name=unique("scp"),
        Description="d",
        Type="SERVICE_CONTROL_POLICY",
        Content=document(*statements),
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=policy, TargetId=HOME)

    def limited() -> Any:
        try:
            return reads(lab.admin, secret)()
        finally:
            organizations.detach_policy(PolicyId=policy, TargetId=HOME)

    return limited


case("SCP denies the account's administrator", allowed=False)(
    lambda lab: under_scp(lab, deny(READ))
)
case("SCP denies something else", allowed=True)(lambda lab: under_scp(lab, deny("s3:*")))


@case("RCP denies another account what the secret's policy allows", allowed=False)
def _(lab: Lab) -> Call:
    organizations = lab.admins[MANAGEMENT].organizations
    shared = with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)
    shared()
    foreign = {"StringNotEquals": {"aws:PrincipalAccount": HOME}}
    policy = organizations.create_policy(
        Name=unique("rcp"),
        Description="d",
        Type="RESOURCE_CONTROL_POLICY",
        Content=document(deny(READ, Principal="*", Condition=foreign)),
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=policy, TargetId=HOME)

    def limited() -> Any:
        try:
            return shared()
        finally:
            organizations.detach_policy(PolicyId=policy, TargetId=HOME)

    return limited


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    running = Lab()
    yield running
    running.stop()


@pytest.mark.parametrize("title", CASES)
def test_request_is_decided_as_aws_decides_it(title: str, lab: Lab) -> None:
    allowed, arrange = CASES[title]
    call = arrange(lab)
    if allowed:
        call()
        return
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    code, ident = answer["Error"]["Code"], answer["ResponseMetadata"]["RequestId"]
    assert code in REFUSALS, caught.value
    denied = {record.request_id for record in lab.records if record.outcome is Outcome.DENY}
    assert ident in denied or code == "ValidationError"


@pytest.mark.parametrize("grantee", ["nobody", "*", "arn:aws:iam::*:user/x", "arn:aws:s3:::b"])
def test_grant_to_no_principal_is_refused_and_spoils_no_key(grantee: str, lab: Lab) -> None:
    kms = lab.admin.kms
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(ClientError) as caught:
        kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=["Decrypt"])
    assert caught.value.response["Error"]["Code"] in ("InvalidArnException", "ValidationException")
    assert kms.encrypt(KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize(
    ("operator", "value"), [("NumericLessThan", 10), ("Bool", True), ("NumericEquals", [1, 2.5])]
)
def test_condition_values_may_be_numbers_and_booleans(operator: str, value: Any, lab: Lab) -> None:
    lab.user(allow("s3:*", **cond(operator, "aws:PrincipalTag/level", value)))


@pytest.mark.parametrize("action", ["sts:TagSessions", "s3:GetObject", "sts:Assume"])
def test_trust_policy_takes_no_action_that_sts_does_not_have(action: str, lab: Lab) -> None:
    with pytest.raises(ClientError) as caught:
        lab.role(trusts(ROOT, ["sts:AssumeRole", action]))
    assert caught.value.response["Error"]["Code"] == "MalformedPolicyDocument"


def refusal_of(call: Call) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_delete_objects_is_answered_object_by_object(lab: Lab) -> None:
    bucket = lab.bucket()
    who = lab.user(allow("s3:DeleteObject", f"arn:aws:s3:::{bucket}/own/*"))
    wanted = {"Objects": [{"Key": "own/key"}, {"Key": "other"}]}
    got = who.s3.delete_objects(Bucket=bucket, Delete=wanted)
    assert [one["Key"] for one in got["Deleted"]] == ["own/key"]
    assert [(one["Key"], one["Code"]) for one in got["Errors"]] == [("other", "AccessDenied")]
    nothing = lab.user().s3.delete_objects(Bucket=bucket, Delete=wanted)
    assert "Deleted" not in nothing
    assert len(nothing["Errors"]) == 2


def test_batch_of_secrets_is_answered_secret_by_secret(lab: Lab) -> None:
    mine, other = lab.secret(), lab.secret()
    who = lab.user(allow("secretsmanager:BatchGetSecretValue"), allow(READ, mine))
    absent = "absent"
    got = who.secretsmanager.batch_get_secret_value(SecretIdList=[mine, other, absent])
    assert [one["ARN"] for one in got["SecretValues"]] == [mine]
    codes = {one["SecretId"]: one["ErrorCode"] for one in got["Errors"]}
    assert codes == {other: "AccessDeniedException", absent: "AccessDeniedException"}
    admin = lab.admin.secretsmanager
    got = admin.batch_get_secret_value(SecretIdList=[other, absent])
    assert [one["ErrorCode"] for one in got["Errors"]] == ["ResourceNotFoundException"]
    name = admin.describe_secret(SecretId=other)["Name"]
    filters = [{"Key": "name", "Values": [name]}]
    found = admin.batch_get_secret_value(Filters=filters)["SecretValues"]
    assert [one["ARN"] for one in found] == [other]
    listed = refusal_of(lambda: who.secretsmanager.batch_get_secret_value(Filters=filters))
    assert listed == ("AccessDeniedException", 400)


@pytest.mark.parametrize(
    ("service", "operation", "asked", "refusal"),
    [
        ("secretsmanager", "list_secrets", {}, ("MissingAuthenticationTokenException", 400)),
        ("dynamodb", "list_tables", {}, ("MissingAuthenticationTokenException", 400)),
        ("kms", "list_keys", {}, ("MissingAuthenticationTokenException", 400)),
        ("ssm", "describe_parameters", {}, ("MissingAuthenticationTokenException", 400)),
        ("organizations", "list_roots", {}, ("MissingAuthenticationTokenException", 400)),
        ("iam", "list_users", {}, ("MissingAuthenticationToken", 403)),
        ("sts", "get_caller_identity", {}, ("MissingAuthenticationToken", 403)),
        ("s3", "list_buckets", {}, ("AccessDenied", 403)),
        ("s3", "get_object", {"Bucket": "nobody-has-it", "Key": "k"}, ("AccessDenied", 403)),
    ],
)
def test_anonymous_call_is_refused_in_the_services_own_words(
    service: str, operation: str, asked: dict[str, Any], refusal: tuple[str, int], lab: Lab
) -> None:
    client = lab.client(service, config=Config(signature_version=UNSIGNED))
    assert refusal_of(lambda: getattr(client, operation)(**asked)) == refusal


def test_anonymous_read_brings_no_signature_version(lab: Lab) -> None:
    bucket = lab.bucket()
    everything = f"arn:aws:s3:::{bucket}/*"
    signed = {"StringNotEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}
    reading = allow("s3:GetObject", everything, Principal="*")
    nobody = lab.client("s3", config=Config(signature_version=UNSIGNED))
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(reading))
    nobody.get_object(Bucket=bucket, Key="own/key")
    unsigned = deny("s3:GetObject", everything, Principal="*", Condition=signed)
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(reading, unsigned))
    assert refusal_of(lambda: nobody.get_object(Bucket=bucket, Key="own/key"))[1] == 403
    lab.admin.s3.get_object(Bucket=bucket, Key="own/key")


def test_block_public_access_keeps_public_policies_out(lab: Lab) -> None:
    bucket, nobody = lab.bucket(), lab.client("s3", config=Config(signature_version=UNSIGNED))
    public = document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*"))
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=public)
    nobody.get_object(Bucket=bucket, Key="own/key")
    settings = {"BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    lab.admin.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=settings)
    assert refusal_of(lambda: nobody.get_object(Bucket=bucket, Key="own/key"))[1] == 403
    again = lambda: lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=public)  # noqa: E731 - one line
    assert refusal_of(again) == ("AccessDenied", 403)
    secret = lab.secret()
    closed = refusal_of(
        lambda: lab.admin.secretsmanager.put_resource_policy(
            SecretId=secret,
            ResourcePolicy=document(allow(READ, Principal="*")),
            BlockPublicPolicy=True,
        )
    )
    assert closed == ("PublicPolicyException", 400)


def test_bucket_of_another_owner_than_expected_is_refused(lab: Lab) -> None:
    bucket = lab.bucket()
    asked = {"Bucket": bucket, "Key": "own/key"}
    lab.admin.s3.get_object(**asked, ExpectedBucketOwner=HOME)
    refused = refusal_of(lambda: lab.admin.s3.get_object(**asked, ExpectedBucketOwner=OTHER))
    assert refused == ("AccessDenied", 403)


def test_simulator_names_the_missing_keys_and_knows_groups(lab: Lab) -> None:
    name = unique("group")
    iam = lab.admin.iam
    iam.create_group(GroupName=name)
    statement = allow("s3:ListBucket", **cond("StringEquals", "s3:prefix", "home/"))
    iam.put_group_policy(GroupName=name, PolicyName="p", PolicyDocument=document(statement))
    arn = f"arn:aws:iam::{HOME}:group/{name}"
    asked = {"PolicySourceArn": arn, "ActionNames": ["s3:ListBucket"]}
    got = iam.simulate_principal_policy(**asked)["EvaluationResults"][0]
    assert (got["EvalDecision"], got["MissingContextValues"]) == ("implicitDeny", ["s3:prefix"])
    entry = {
        "ContextKeyName": "s3:prefix",
        "ContextKeyValues": ["home/"],
        "ContextKeyType": "string",
    }
    got = iam.simulate_principal_policy(**asked, ContextEntries=[entry])["EvaluationResults"][0]
    assert (got["EvalDecision"], got["MissingContextValues"]) == ("allowed", [])


def test_part_of_no_upload_is_refused(lab: Lab) -> None:
    asked = {"Bucket": lab.bucket(), "Key": "k", "UploadId": "gone"}
    part = functools.partial(lab.admin.s3.upload_part, **asked, PartNumber=1, Body=b"x")
    complete = functools.partial(
        lab.admin.s3.complete_multipart_upload,
        **asked,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "e"}]},
    )
    assert refusal_of(part) == refusal_of(complete) == ("NoSuchUpload", 404)


@pytest.mark.parametrize("value", [{}, {"S": "a", "N": "1"}])
def test_key_of_no_single_type_is_refused(value: dict[str, str], lab: Lab) -> None:
    table = lab.table()
    get = functools.partial(lab.admin.dynamodb.get_item, TableName=table, Key={"pk": value})
    write = functools.partial(
        lab.admin.dynamodb.batch_write_item,
        RequestItems={table: [{"PutRequest": {"Item": {"pk": value}}}]},
    )
    assert refusal_of(get)[1] == refusal_of(write)[1] == 400


def test_upload_is_finished_under_its_own_key_only(lab: Lab) -> None:
    bucket, s3 = lab.bucket(), lab.admin.s3
    started = s3.create_multipart_upload(Bucket=bucket, Key="private")["UploadId"]
    whole = {"Bucket": bucket, "UploadId": started}
    tag = s3.upload_part(**whole, Key="private", PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    mine = lab.user(allow("s3:*", f"arn:aws:s3:::{bucket}/public/*")).s3
    for call in (
        functools.partial(mine.upload_part, PartNumber=2, Body=b"y"),
        functools.partial(mine.complete_multipart_upload, MultipartUpload=parts),
        mine.abort_multipart_upload,
        mine.list_parts,
    ):
        refused = refusal_of(functools.partial(call, **whole, Key="public/x"))
        assert refused == ("NoSuchUpload", 404)
    s3.complete_multipart_upload(**whole, Key="private", MultipartUpload=parts)
