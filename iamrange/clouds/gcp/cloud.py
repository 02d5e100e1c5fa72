"""The embedded Google Cloud: one ASGI application for every host name, found by path.

- Each request gets an id made here; it is in the answer's headers and in each record.
- Nothing here survives a fork badly: no socket, no thread, no event loop is kept.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from iamrange.clouds.gcp.access import Access
from iamrange.clouds.gcp.authenticate import Authenticator
from iamrange.clouds.gcp.credentials import Credentials
from iamrange.clouds.gcp.custom_roles import Roles
from iamrange.clouds.gcp.deny_policies import DenyPolicies
from iamrange.clouds.gcp.errors import WireError, invalid_argument, not_found
from iamrange.clouds.gcp.google_keys import Certificates
from iamrange.clouds.gcp.key_service import Keys
from iamrange.clouds.gcp.oauth2 import OAuth2
from iamrange.clouds.gcp.org_policy import OrganizationPolicies
from iamrange.clouds.gcp.pools import Pools
from iamrange.clouds.gcp.principals import Caller
from iamrange.clouds.gcp.resource_manager import ResourceManager
from iamrange.clouds.gcp.secret_manager import Secrets
from iamrange.clouds.gcp.secret_versions import SecretVersions
from iamrange.clouds.gcp.service_accounts import ServiceAccounts
from iamrange.clouds.gcp.service_usage import ServiceUsage
from iamrange.clouds.gcp.state import AccessToken, Organization, Project, State
from iamrange.clouds.gcp.sts import TokenExchange
from iamrange.clouds.gcp.wire import Body, Call, Route, find_route
from iamrange.core.clock import Clock, SystemClock
from iamrange.core.decision import RecordSink, Tamper, honest

if TYPE_CHECKING:
    from iamrange.clouds.fetch import Fetcher

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY: Final = 1 << 20
_NEVER: Final = float("inf")


class GcpCloud:
    """Google Cloud, as far as identity federation, IAM and secrets go."""

    def __init__(
        self,
        *,
        clock: Clock,
        records: RecordSink,
        fetcher: Fetcher,
        tamper: Tamper = honest,
        wall: Clock | None = None,
    ) -> None:
        """Take the ports; `wall` is the time that clients sign by, by default the machine's."""
        wall = wall or SystemClock()
        self._state = State()
        self._clock = clock
        access = self._access = Access(self._state, clock, records, tamper)
        policies = OrganizationPolicies(access)
        accounts = ServiceAccounts(access, policies)
        secrets = Secrets(access)
        self._authenticator = Authenticator(access, wall)
        self._routes: tuple[Route, ...] = (
            *TokenExchange(access, fetcher).routes(),
            *OAuth2(access, wall).routes(),
            *Certificates(self._state).routes(),
            *Credentials(access, accounts, policies, wall).routes(),
            *secrets.routes(),
            *SecretVersions(access, secrets).routes(),
            *accounts.routes(),
            *Keys(access, accounts, policies).routes(),
            *Pools(access, policies).routes(),
            *Roles(access).routes(),
            *DenyPolicies(access).routes(),
            *policies.routes(),
            *ResourceManager(access).routes(),
            *ServiceUsage(access).routes(),
        )

    def create_organization(self, organization_id: str) -> None:
        """Make an organisation.

        Raises:
            ValueError: there is one of this id.
        """
        if organization_id in self._state.organizations:
            raise ValueError(f"organization {organization_id!r}: exists already")
        self._state.organizations[organization_id] = Organization(organization_id)

    def create_project(
        self, project_id: str, number: str, *, organization: str | None = None
    ) -> str:
        """Make a project and return an access token of its administrator, which does not expire.

        In an organisation the administrator is one of the organisation's operators too.

        Raises:
            ValueError: the id or number is taken.
            KeyError: there is no such organisation.
        """
        if self._state.project(project_id) or self._state.project(number):
            raise ValueError(f"project {project_id!r} ({number}): exists already")
        above = self._state.organizations[organization] if organization is not None else None
        administrator = f"administrator@{project_id}.iamrange.example"
        self._state.projects[project_id] = Project(
            project_id, number, above, administrator, self._clock.now()
        )
        if above is not None:
            above.administrators.append(administrator)
        caller = Caller(
            "user", email=administrator, organization=above.id if above is not None else ""
        )
        return self._state.issue_token(AccessToken(caller, _NEVER, "administrator"))

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            raise ValueError(f"scope type expected 'http', got {scope['type']!r}")
        request_id = str(uuid.uuid4())
        try:
            body = await _read(receive)
            status, answer = 200, await self._answer(_call(scope, body, request_id))
        except WireError as error:
            status, answer = error.http_status, error.body()
        await _respond(send, status, answer, request_id)

    async def _answer(self, call: Call) -> Body:
        found = find_route(self._routes, call.method, call.path)
        if found is None:
            self._authenticator.authenticate(call)
            raise not_found("The requested URL was not found on this server.")
        route, parameters = found
        call.service = route.service
        if not route.public:
            self._authenticator.authenticate(call)
            self._access.require_user_project(call)
        answer = route.handler(call, **parameters)
        return await answer if isawaitable(answer) else answer


def _call(scope: _Scope, body: bytes, request_id: str) -> Call:
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        # a header given twice is one list (RFC 9110 5.3): two credentials are none
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    client = scope.get("client")
    return Call(
        request_id=request_id,
        method=scope["method"],
        path=scope["path"],
        query=dict(query),
        headers=headers,
        body=body,
        source_ip=client[0] if client else "",
    )


async def _read(receive: _Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise invalid_argument(f"The request body exceeds {MAX_BODY} bytes.")
        if not message.get("more_body"):
            return body


async def _respond(send: _Send, status: int, answer: Body, request_id: str) -> None:
    content = json.dumps(answer, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", str(len(content)).encode()),
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"private, no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
