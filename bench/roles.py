"""Decisions with 1,000 roles of one 6 KiB policy each, beside one such role.

    python -m bench.roles [SECONDS]

In process, on the embedded store: freshly signed calls by 1,000 sessions of the roles, in turn.
Setting up and signing are not counted, nor is what other processes take: rates are by CPU second.
Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import random
import string
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.authorizer import call
from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.decision import DecisionRecord

ACCOUNT, REGION = "100000000001", "us-east-1"
MANY, POLICY_BYTES, OK = 1000, 6 * 1024, 200
BATCH = 500
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        }
    ],
}
Call = tuple[dict[str, Any], bytes]


def policy(seed: int) -> str:
    """Return a policy of nearly 6 KiB whose last statement allows to read a secret."""
    rng = random.Random(seed)  # noqa: S311 - filler, no secret
    statements: list[dict[str, Any]] = []
    last = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    while True:
        text = json.dumps({"Version": "2012-10-17", "Statement": [*statements, last]})
        if len(text) > POLICY_BYTES - 300:
            return text
        name = "".join(rng.choices(string.ascii_lowercase, k=12))
        statements.append(
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/${{aws:userid}}/*"],
                "Condition": {"StringEquals": {"aws:PrincipalTag/team": name}},
            }
        )


def signed(credentials: Credentials, service: str, target: str, text: str) -> Call:
    """Return the ASGI scope and body of a signed call."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    if target:
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    host = f"{service}.{REGION}.amazonaws.com"
    request = AWSRequest("POST", f"https://{host}/", data=text, headers=headers)
    SigV4Auth(credentials, service, REGION).add_auth(request)
    raw = [(n.lower().encode(), v.encode()) for n, v in request.headers.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "scheme": "https",
        "client": ("127.0.0.1", 1),
        "headers": [*raw, (b"host", host.encode())],
    }
    return scope, text.encode()


class Range:
    """A cloud with so many roles, and 1,000 sessions of them."""

    def __init__(self) -> None:
        """Make the cloud."""
        self.records: list[DecisionRecord] = []
        self.cloud = AwsCloud(
            clock=SystemClock(), records=self.records.append, fetcher=HttpFetcher(resolve={})
        )
        key = self.cloud.create_account(ACCOUNT)
        self.admin = Credentials(key.access_key_id, key.secret_access_key)
        self.sessions: list[Credentials] = []

    async def ask(self, service: str, target: str, text: str) -> bytes:
        """Make an administrator's call."""
        status, body = await call(self.cloud, *signed(self.admin, service, target, text))
        if status != OK:
            raise SystemExit(f"{service}: {status} {body[:300]!r}")
        return body

    async def query(self, service: str, version: str, **form: str) -> Mapping[str, str]:
        """Make an administrator's call of a query protocol; return the answer's leaves."""
        text = urlencode({"Version": version, **form})
        tree = ET.fromstring(await self.ask(service, "", text))  # noqa: S314 - our own answer
        return {leaf.tag.rpartition("}")[2]: leaf.text or "" for leaf in tree.iter()}

    async def fill(self, roles: int) -> None:
        """Make the roles, their policies and their sessions."""
        for number in range(roles):
            role, iam = f"role-{number}", "2010-05-08"
            await self.query(
                "iam",
                iam,
                Action="CreateRole",
                RoleName=role,
                AssumeRolePolicyDocument=json.dumps(TRUST),
            )
            made = await self.query(
                "iam",
                iam,
                Action="CreatePolicy",
                PolicyName=f"policy-{number}",
                PolicyDocument=policy(number),
            )
            await self.query(
                "iam", iam, Action="AttachRolePolicy", RoleName=role, PolicyArn=made["Arn"]
            )
        for number in range(MANY):
            role = f"role-{number % roles}"
            got = await self.query(
                "sts",
                "2011-06-15",
                Action="AssumeRole",
                RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
                RoleSessionName="bench",
            )
            self.sessions.append(
                Credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
            )
        create = {"Name": "bench", "SecretString": "x", "ClientRequestToken": "a" * 32}
        await self.ask("secretsmanager", "secretsmanager.CreateSecret", json.dumps(create))

    async def batch(self) -> float:
        """Return the calls a second of one batch, all of them allowed."""
        text = json.dumps({"SecretId": "bench"})
        calls = [
            signed(
                self.sessions[number % len(self.sessions)],
                "secretsmanager",
                "secretsmanager.GetSecretValue",
                text,
            )
            for number in range(BATCH)
        ]
        start = time.process_time()
        for one in calls:
            status, body = await call(self.cloud, *one)
            if status != OK:
                raise SystemExit(f"refused: {status} {body[:300]!r}")
        return BATCH / (time.process_time() - start)


async def measure(roles: int, seconds: float) -> dict[str, Any]:
    """Return the rates of one range: the best and the median of its batches."""
    made = Range()
    await made.fill(roles)
    for _ in range(2 * MANY // BATCH):
        await made.batch()  # each policy is compiled once
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        rates.append(await made.batch())
        made.records.clear()
    rates.sort()
    return {
        "roles": roles,
        "batches": len(rates),
        "calls_per_cpu_second": round(rates[len(rates) // 2]),
        "best": round(rates[-1]),
    }


def main() -> None:
    """Print both rates and their ratio."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    # moto keeps one store a process, so one range after the other.
    small = asyncio.run(measure(1, seconds))
    large = asyncio.run(measure(MANY, seconds))
    ratio = large["calls_per_cpu_second"] / small["calls_per_cpu_second"]
    print(json.dumps({"small": small, "large": large, "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()
