"""What the authorizer itself costs: time inside AwsCloud less time inside its upstream.

    python bench/authorizer.py [CALLS]

In process, no socket: each call is a freshly signed GetSecretValue by a user whose managed and
inline policies decide it. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.aws.upstream import EmbeddedMoto
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.cloud import AccessKey
    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.responses import HttpResponse
    from iamrange.core.decision import DecisionRecord

ACCOUNT, REGION = "100000000001", "us-east-1"


class Timed:
    """An upstream that adds up the time spent in it."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.inner, self.spent = EmbeddedMoto(), 0.0

    def call(
        self,
        request: AwsRequest,
        *,
        account: str,
        access_key_id: str | None,
        overrides: Mapping[str, Any],
    ) -> HttpResponse:
        """Carry the call out, and count."""
        start = time.perf_counter()
        try:
            return self.inner.call(
                request, account=account, access_key_id=access_key_id, overrides=overrides
            )
        finally:
            self.spent += time.perf_counter() - start


def signed(
    key: AccessKey, service: str, target: str, body: dict[str, Any] | str
) -> tuple[dict[str, Any], bytes]:
    """Return the ASGI scope and body of a signed call."""
    form = isinstance(body, str)
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    if form:
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    host = f"{service}.{REGION}.amazonaws.com"
    request = AWSRequest("POST", f"https://{host}/", data=text, headers=headers)
    credentials = Credentials(key.access_key_id, key.secret_access_key)
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


async def call(cloud: AwsCloud, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    """Make one call, and return status and body."""
    answer: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401  # ASGI's own message
        answer.append(message)

    await cloud(scope, receive, send)
    return answer[0]["status"], answer[1]["body"]


async def measure(calls: int) -> dict[str, Any]:
    """Return the figures."""
    upstream = Timed()
    records: list[DecisionRecord] = []
    fetcher = HttpFetcher(resolve={}, authorities=())
    cloud = AwsCloud(
        clock=SystemClock(), records=records.append, fetcher=fetcher, upstream=upstream
    )
    key = cloud.create_account(ACCOUNT)
    create = {"Name": "bench", "SecretString": "x", "ClientRequestToken": "a" * 32}
    status, _ = await call(
        cloud, *signed(key, "secretsmanager", "secretsmanager.CreateSecret", create)
    )
    if status != 200:  # noqa: PLR2004 - HTTP
        raise SystemExit(f"could not create the secret: {status}")
    requests = [
        signed(key, "secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": "bench"})
        for _ in range(calls)
    ]
    own, total = [], []
    for scope, body in requests:
        before, start = upstream.spent, time.perf_counter()
        status, _ = await call(cloud, scope, body)
        spent = time.perf_counter() - start
        if status != 200:  # noqa: PLR2004 - HTTP
            raise SystemExit(f"a call was refused: {status}")
        total.append(spent)
        own.append(spent - (upstream.spent - before))
    tenths = statistics.quantiles(own, n=100)
    return {
        "calls": calls,
        "own_ms_median": round(statistics.median(own) * 1000, 3),
        "own_ms_p99": round(tenths[98] * 1000, 3),
        "total_ms_median": round(statistics.median(total) * 1000, 3),
        "records": len(records),
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))))
