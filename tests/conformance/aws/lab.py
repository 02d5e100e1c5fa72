# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""The harness of the AWS tables: a cloud behind a real listener, and cases judged through boto3.

- A case arranges policies as an administrator and returns the call to judge.
- A refusal counts only with a code that AWS refuses by, and a record of the decision.
- A table is one kind of decision: the run prints right/total by kind (see conftest.py).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import OffsetClock
from iamrange.core.decision import DecisionRecord, Outcome
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from iamrange.clouds.aws.upstream_remote import RemoteUpstream

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

    def __init__(self, *, lacking: Collection[str] = (), **options: Any) -> None:
        # Services that the emulator behind the authorizer is listed as lacking.
        self.lacking = lacking
        self.remote: RemoteUpstream | None = options.get("remote")
        self.clock = OffsetClock()
        self.records: list[DecisionRecord] = []
        self.cloud = AwsCloud(
            clock=self.clock,
            records=self.records.append,
            fetcher=HttpFetcher(resolve={}, authorities=()),
            **options,
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
        for ending in (self.edge.stop(), self.cloud.close()):
            asyncio.run_coroutine_threadsafe(ending, self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def client(self, service: str, **keys: Any) -> Any:
        if service in self.lacking:
            pytest.skip(f"this emulator is listed as lacking {service}")
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
        # AWS, and some emulators, block public policies on new buckets; these cases write them.
        self.admins[account].s3.delete_public_access_block(Bucket=name)
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


def one_time(seed: bytes, moment: float) -> str:
    """Return a virtual device's code at a moment (RFC 6238)."""
    counter = int(moment // 30).to_bytes(8, "big")
    digest = hmac.new(base64.b32decode(seed), counter, hashlib.sha1).digest()
    start = digest[19] & 15
    return str(int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF)[-6:].zfill(6)


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


TEAM, MY_TEAM = "aws:ResourceTag/team", "${aws:PrincipalTag/team}"
RED, BLUE = {"team": "red"}, {"team": "blue"}
TAGS = [{"Key": "team", "Value": "red"}]
EVERYTHING = allow("*")
MAY = allow("sts:AssumeRole")


def gets(who: Principal, bucket: str, key: str = "own/key") -> Call:
    return lambda: who.s3.get_object(Bucket=bucket, Key=key)


Arrange = Callable[[Lab], Call]
Record = Callable[[str, object], None]


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


def refusal_of(call: Call) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


class Cases:
    """The table of one kind of decision: a title, AWS's verdict, and how to arrange the call."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.table: dict[str, tuple[bool, Arrange]] = {}

    def __call__(self, title: str, *, allowed: bool) -> Callable[[Arrange], Arrange]:
        def keep(arrange: Arrange) -> Arrange:
            assert title not in self.table
            self.table[title] = allowed, arrange
            return arrange

        return keep

    def policy(
        self,
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

        self(title, allowed=allowed)(arrange)

    def judge(self, title: str, lab: Lab, record: Record) -> None:
        """Make the call, and hold the cloud to AWS's verdict."""
        allowed, arrange = self.table[title]
        record("aws-kind", self.kind)
        call = arrange(lab)
        refused = None
        try:
            call()
        except ClientError as error:
            refused = error
        if (refused is None) != allowed:
            record("aws-wrong", "deny" if allowed else "allow")
        assert (refused is None) == allowed, refused or "allowed, where AWS refuses"
        if refused is None:
            return
        answer = refused.response
        code, ident = answer["Error"]["Code"], answer["ResponseMetadata"]["RequestId"]
        assert code in REFUSALS, refused
        denied = {one.request_id for one in lab.records if one.outcome is Outcome.DENY}
        assert ident in denied or code == "ValidationError"
