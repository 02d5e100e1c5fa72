"""Which emulator is at a URL: asked once, when the clouds start."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from iamrange.clouds.aws.upstream import UpstreamDownError
from iamrange.clouds.aws.upstream_ask import question, written
from iamrange.clouds.aws.upstream_gaps import UpstreamKind, services_kept_embedded
from iamrange.clouds.aws.upstream_http import HttpTransport, Lane, Sent

if TYPE_CHECKING:
    from iamrange.clouds.aws.upstream_http import Answer


@dataclass(frozen=True, slots=True)
class Recognised:
    """What answered, and in which version, as it says itself."""

    kind: UpstreamKind
    version: str


async def recognise(url: str) -> Recognised:
    """Tell which emulator answers at a URL.

    Raises:
        UpstreamDownError: nothing does.
    """
    transport = HttpTransport(url)
    try:
        # ministack answers under LocalStack's name too, so it is asked first.
        for kind, target in (
            (UpstreamKind.MINISTACK, "/_ministack/health"),
            (UpstreamKind.LOCALSTACK, "/_localstack/health"),
        ):
            answer = await transport.send(Sent(method="GET", target=target, headers={}), Lane.CALL)
            version = _version(answer)
            if version is not None:
                return Recognised(kind, version)
        asked = Sent(method="GET", target="/moto-api/config", headers={})
        answer = await transport.send(asked, Lane.CALL)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES and answer.body[:1] == b"{":
            return Recognised(UpstreamKind.MOTO, "")
        return Recognised(UpstreamKind.UNKNOWN, "")
    finally:
        await transport.close()


# What an emulator must answer for a service to be there, in some editions or places only.
_FIRST_CALLS = {
    "cloudtrail": "DescribeTrails",
    "dynamodb": "ListTables",
    "ecr": "DescribeRepositories",
    "ecs": "ListClusters",
    "glue": "ListJobs",
    "kinesis": "ListStreams",
}
_PROBE_SECONDS = 20.0


async def lacking(url: str, kind: str) -> tuple[str, ...]:
    """Return the services that the emulator at a URL does not have, of those that it may lack.

    Asked once, when the clouds start: another edition has more, and a container brings what the
    Python package would have to fetch. What is there is the emulator's.
    """
    listed = sorted(services_kept_embedded(UpstreamKind(kind)))
    transport = HttpTransport(url)
    try:
        has = await asyncio.gather(*(_has(transport, service) for service in listed))
    finally:
        await transport.close()
    return tuple(name for name, there in zip(listed, has, strict=True) if not there)


async def _has(transport: HttpTransport, service: str) -> bool:
    asked = question(service, _FIRST_CALLS[service], "000000000000", "us-east-1")
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            answer = await transport.send(written(asked), Lane.CALL)
    except (TimeoutError, UpstreamDownError):
        return False
    return answer.status == HTTPStatus.OK


def _version(answer: Answer) -> str | None:
    """Return the version that a health page tells; None when it is none."""
    if answer.status != HTTPStatus.OK:
        return None
    try:
        told = json.loads(answer.body)
    except ValueError:
        return None
    services = told.get("services") if isinstance(told, dict) else None
    return str(told.get("version") or "") if isinstance(services, dict) else None
