"""Which emulator is at a URL: asked once, when the clouds start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

from iamrange.clouds.aws.upstream_http import HttpTransport, Lane, Sent

if TYPE_CHECKING:
    from iamrange.clouds.aws.upstream_http import Answer


class UpstreamKind(StrEnum):
    """The emulators that are known; any other is taken by LocalStack's conventions."""

    MOTO = "moto"
    LOCALSTACK = "localstack"
    MINISTACK = "ministack"
    UNKNOWN = "unknown"


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
