"""The one AWS call that the broker makes: AssumeRoleWithWebIdentity, as a port and its adapter.

- The call carries no AWS credentials: the agent's assertion is the credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
_HOST = "sts.us-east-1.amazonaws.com"
_VERSION = "2011-06-15"


class StsError(Exception):
    """STS answered something that is no STS answer."""


@dataclass(frozen=True, slots=True)
class AwsSession:
    """Temporary credentials; `expiration` is RFC 3339 text as STS gave it."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: str


@dataclass(frozen=True, slots=True)
class StsRefused:
    """STS's own error code and message, and its request id."""

    status: int
    code: str
    message: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What the broker asks of STS."""

    role_arn: str
    session_name: str
    token: str = field(repr=False)
    duration: int
    policy: str | None


class Sts(Protocol):
    """Assumes a role for an assertion."""

    async def assume(self, request: SessionRequest) -> AwsSession | StsRefused:
        """Return the session, or STS's refusal.

        Raises:
            StsError: there was no proper answer.
        """
        ...


class AsgiSts:
    """STS as an app in this process: no socket, and the given address as the source."""

    def __init__(self, app: App, *, source_address: str) -> None:
        """Take the AWS cloud's app and the address that it shall see the broker at."""
        self._app = app
        self._source_address = source_address

    async def assume(self, request: SessionRequest) -> AwsSession | StsRefused:
        """Return the session, or STS's refusal.

        Raises:
            StsError: there was no proper answer.
        """
        parameters = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": _VERSION,
            "RoleArn": request.role_arn,
            "RoleSessionName": request.session_name,
            "WebIdentityToken": request.token,
            "DurationSeconds": str(request.duration),
        }
        if request.policy is not None:
            parameters["Policy"] = request.policy
        status, body = await self._post(urlencode(parameters).encode())
        return read_answer(status, body)

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", _HOST.encode()),
                (b"content-type", b"application/x-www-form-urlencoded"),
                (b"content-length", str(len(body)).encode()),
                (b"user-agent", b"iamrange-broker"),
            ],
            "client": (self._source_address, 0),
            "server": (_HOST, 443),
        }
        received: list[MutableMapping[str, Any]] = []
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> MutableMapping[str, Any]:
            return pending.pop() if pending else {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            received.append(message)

        await self._app(scope, receive, send)
        if not received:
            raise StsError("sts: no answer")
        return received[0]["status"], b"".join(m.get("body", b"") for m in received[1:])


def read_answer(status: int, body: bytes) -> AwsSession | StsRefused:
    """Read STS's XML.

    Raises:
        StsError: it is not STS's XML.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - our own cloud's answer, made in this process
    except ET.ParseError as error:
        raise StsError(f"sts: status {status}, expected XML") from error
    texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    try:
        if status != 200:  # noqa: PLR2004 - HTTP's own number
            return StsRefused(
                status, texts["Code"], texts.get("Message", ""), texts.get("RequestId", "")
            )
        return AwsSession(
            texts["AccessKeyId"],
            texts["SecretAccessKey"],
            texts["SessionToken"],
            texts["Expiration"],
        )
    except KeyError as error:
        raise StsError(f"sts: status {status}, no {error.args[0]} in the answer") from error
