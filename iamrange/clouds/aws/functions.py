"""Lambda functions that are really run: with the session of the role that they were passed.

- The cloud authorises, and assumes the role as Lambda does; what runs the code is a port.
- The code gets the role's session and the event, and nothing else of the cloud's.
- https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

import moto.backends

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind, compile_policy
from iamrange.clouds.aws.request import Principal
from iamrange.clouds.aws.responses import HttpResponse
from iamrange.clouds.aws.sessions import Grant, SessionTable
from iamrange.clouds.aws.upstream_waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.clouds.aws.model import Authorizer, IamStore, RoleRecord, Session

_SERVICE: Final = "lambda.amazonaws.com"
_SESSION_SECONDS: Final = 3600
_LONGEST_EVENT: Final = 6 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as it was created. `code` is a zip file."""

    name: str
    region: str
    role_arn: str
    handler: str
    runtime: str
    seconds: int
    code: bytes = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a function returned, as JSON; or, where it failed, what it failed with."""

    payload: bytes = field(repr=False)
    failed: bool = False


class FunctionRunner(Protocol):
    """Runs a function's code with a session's credentials."""

    async def run(self, function: Function, event: bytes, session: Session) -> Ran:
        """Return what it returned."""
        ...


class Functions(Protocol):
    """Finds functions, wherever they are kept; called from inside `waiting`."""

    def find(self, account: str, region: str, name: str) -> Function | None:
        """Return the function of that name, or None."""
        ...


class EmbeddedFunctions:
    """Finds functions in the emulator of this process."""

    def __init__(self, accounts: Callable[[], frozenset[str]]) -> None:
        """Take which accounts there are: looking at another would make the emulator create it."""
        self._accounts = accounts

    def find(self, account: str, region: str, name: str) -> Function | None:
        """Return the function of that name, or None."""
        if account not in self._accounts():
            return None
        # The emulator's types know neither a name that is not a literal, nor what a function is.
        get_backend: Any = moto.backends.get_backend
        backend = get_backend("lambda")[account][region]
        found = next((f for f in backend.list_functions() if f.function_name == name), None)
        if found is None:
            return None
        return Function(
            name=name,
            region=region,
            role_arn=str(found.role),
            handler=str(found.handler),
            runtime=str(found.run_time),
            seconds=int(found.timeout),
            code=bytes(found.code_bytes),
            environment=dict(found.environment_vars or {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInvoker:
    """Answers Invoke, once it is authorised."""

    functions: Functions
    store: IamStore
    authorizer: Authorizer
    sessions: SessionTable
    runner: FunctionRunner

    async def invoke(self, request: AwsRequest, account: str, name: str) -> HttpResponse | AwsError:
        """Run a function with its role's session, and answer with what it returned."""
        kind = request.parameters.get("InvocationType") or "RequestResponse"
        event = request.parameters.get("Payload") or b"{}"
        event = event.encode() if isinstance(event, str) else bytes(event)
        if kind != "RequestResponse":
            return _error("InvalidParameterValueException", "iamrange runs functions at once.")
        if len(event) > _LONGEST_EVENT:
            return _error("RequestTooLargeException", "The event is too long.", status=413)
        function = await waiting(self.functions.find, account, request.region, name)
        if function is None:
            return _error("ResourceNotFoundException", f"Function not found: {name}", status=404)
        if not function.runtime.startswith("python"):
            return _error("InvalidRuntimeException", "iamrange runs Python functions only.")
        session = self._assumed(request, function)
        if isinstance(session, AwsError):
            return session
        ran = await self.runner.run(function, event, session)
        headers = [
            ("x-amzn-RequestId", request.request_id),
            ("X-Amz-Executed-Version", "$LATEST"),
            ("Content-Type", "application/json"),
        ]
        if ran.failed:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        return HttpResponse(HTTPStatus.OK, tuple(headers), ran.payload)

    def _assumed(self, request: AwsRequest, function: Function) -> Session | AwsError:
        """Assume the function's role as the service does: its trust policy decides."""
        role = self.store.role_by_arn(function.role_arn)
        refused = _error(
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
        )
        if role is None:
            return refused
        try:
            trust = compile_policy(role.trust_document, kind=PolicyKind.TRUST, name=role.arn)
        except MalformedPolicy:
            return refused
        check = Check(
            action="sts:AssumeRole",
            resource=role.arn,
            resource_account=role.account,
            trust=trust,
            resource_tags=role.tags,
        )
        service = Principal(kind="service", arn=_SERVICE)
        caller = Caller(principal=service, access_key_id=None, account=None)
        if self.authorizer.authorize(check, request, caller) is not None:
            return refused
        return self._session(request, role, function.name)

    def _session(self, request: AwsRequest, role: RoleRecord, name: str) -> Session:
        grant = Grant(
            principal=Principal(
                kind="assumed-role",
                arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{name}",
                role_arn=role.arn,
                account=role.account,
            ),
            account=role.account,
            user_id=f"{role.role_id}:{name}",
            issuer_arn=role.arn,
            session_name=name,
            duration=_SESSION_SECONDS,
        )
        return self.sessions.issue(grant, now=request.now)


def _error(code: str, message: str, *, status: int = HTTPStatus.BAD_REQUEST) -> AwsError:
    return AwsError(code=code, message=message, status=status)
