"""What the authorizer adds in front of an emulator, beside direct calls to the same one.

    python -m bench.upstream [moto|localstack|ministack|URL] [CALLS]

- Direct and authorised calls alternate in one run, by the same kind of client: one kept connection,
  requests signed beforehand. The difference of the medians is what is added.
- Then 200 clients at once, half of them refused: every one must get its own answer.

Prints one JSON line; exits 1 when a client got no answer or a wrong one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.aws.upstream_remote import RemoteUpstream
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import SystemClock
from iamrange.network.edge import Edge, Route
from tests.conformance.aws.emulators import Located, located

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.decision import DecisionRecord

ACCOUNT, REGION = "100000000002", "us-east-1"
CLIENTS, ROUNDS = 200, 5
OK = 200
STRANGER = "200000000001"
# DescribeSecret and GetResourcePolicy, sent together, before the call itself.
LOOKUPS = 2


class Caller:
    """Signed calls to one address by one user."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        """Take where, and as whom."""
        self.url, self.credentials = url, Credentials(key, secret)

    def signed(self, target: str, body: Mapping[str, Any]) -> tuple[str, dict[str, str], bytes]:
        """Return a call on Secrets Manager, signed now."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"secretsmanager.{target}",
        }
        request = AWSRequest("POST", f"{self.url}/", data=json.dumps(body), headers=headers)
        SigV4Auth(self.credentials, "secretsmanager", REGION).add_auth(request)
        # moto finds the account in a header, the others in the access key.
        signed = dict(request.headers.items()) | {"x-moto-account-id": ACCOUNT}
        return f"{self.url}/", signed, json.dumps(body).encode()


async def send(
    session: aiohttp.ClientSession, call: tuple[str, dict[str, str], bytes]
) -> tuple[int, bytes, float]:
    """Make one call; return status, body and seconds."""
    url, headers, body = call
    start = time.perf_counter()
    async with session.post(url, headers=headers, data=body) as answer:
        content = await answer.read()
        return answer.status, content, time.perf_counter() - start


def shown(seconds: list[float]) -> dict[str, float]:
    """Return median and p99 in milliseconds."""
    return {
        "median_ms": round(statistics.median(seconds) * 1000, 2),
        "p99_ms": round(statistics.quantiles(seconds, n=100)[98] * 1000, 2),
    }


async def latency(direct: Caller, ours: Caller, arn: str, calls: int) -> dict[str, Any]:
    """Return both latencies and what is added."""
    took: dict[str, list[float]] = {"direct": [], "authorised": []}
    async with aiohttp.ClientSession() as session:
        for caller in (direct, ours):
            for _ in range(20):
                await send(session, caller.signed("GetSecretValue", {"SecretId": arn}))
        for _ in range(calls):
            for name, caller in (("direct", direct), ("authorised", ours)):
                call = caller.signed("GetSecretValue", {"SecretId": arn})
                status, content, seconds = await send(session, call)
                if status != OK:
                    raise SystemExit(f"{name}: {status} {content[:200]!r}")
                took[name].append(seconds)
    both = {name: shown(seconds) for name, seconds in took.items()}
    added = {
        kind: round(both["authorised"][kind] - both["direct"][kind], 2)
        for kind in ("median_ms", "p99_ms")
    }
    return {**both, "added": added}


async def crowd(allowed: Caller, refused: Caller, arn: str) -> dict[str, Any]:
    """Return how 200 clients at once were answered, each on a connection of its own."""
    took: list[float] = []

    async def client(caller: Caller, status: int, expected: bytes) -> int:
        good = 0
        async with aiohttp.ClientSession() as session:
            for _ in range(ROUNDS):
                call = caller.signed("GetSecretValue", {"SecretId": arn})
                told, content, seconds = await send(session, call)
                took.append(seconds)
                good += told == status and expected in content
        return good

    start = time.perf_counter()
    answers = await asyncio.gather(
        *(client(allowed, OK, b'"bench-') for _ in range(CLIENTS // 2)),
        *(client(refused, 400, b"AccessDeniedException") for _ in range(CLIENTS // 2)),
    )
    right = sum(answers)
    calls = CLIENTS * ROUNDS
    return {
        "clients": CLIENTS,
        "calls": calls,
        "wrong": calls - right,
        "calls_per_second": round(calls / (time.perf_counter() - start)),
        **shown(took),
    }


async def measure(found: Located, calls: int) -> dict[str, Any]:
    """Return the figures in front of one emulator."""
    records: list[DecisionRecord] = []
    cloud = AwsCloud(
        clock=SystemClock(),
        records=records.append,
        fetcher=HttpFetcher(resolve={}),
        remote=RemoteUpstream(found.url, found.kind),
    )
    admin = cloud.create_account(ACCOUNT)
    stranger = cloud.create_account(STRANGER)
    edge = Edge([Route("*", cloud)], ca=None)
    await edge.start()
    url = f"http://127.0.0.1:{edge.port}"
    ours = Caller(url, admin.access_key_id, admin.secret_access_key)
    theirs = Caller(url, stranger.access_key_id, stranger.secret_access_key)
    direct = Caller(found.url, ACCOUNT, "test")
    name = f"bench-{time.time_ns()}"
    try:
        async with aiohttp.ClientSession() as session:
            create = {"Name": name, "SecretString": "x", "ClientRequestToken": "a" * 32}
            status, content, _ = await send(session, ours.signed("CreateSecret", create))
            if status != OK:
                raise SystemExit(f"CreateSecret: {status} {content[:200]!r}")
        arn = str(json.loads(content)["ARN"])
        figures = await latency(direct, ours, arn, calls)
        return {
            "upstream": str(found.kind),
            "calls": calls,
            **figures,
            "at_once": await crowd(ours, theirs, arn),
            "lookups_a_call": LOOKUPS,
        }
    finally:
        await edge.stop()
        await cloud.close()


def main() -> None:
    """Print the figures."""
    wanted, calls = (*sys.argv[1:], *("moto", "500")[len(sys.argv) - 1 :])
    with located(wanted) as found:
        if found is None:
            raise SystemExit("which emulator?")
        figures = asyncio.run(measure(found, int(calls)))
    print(json.dumps(figures))
    if figures["at_once"]["wrong"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
