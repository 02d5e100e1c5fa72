"""The AWS cloud: one ASGI application that authenticates, authorises, and then carries out.

- One server-made id a request, in the answer's headers and body and in every record.
- Whatever cannot be read, mapped or decided is refused; whatever breaks answers 500.
- Single-threaded, and nothing is kept open between requests: the process may fork in between.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
import uuid
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from iamrange.clouds.aws.authenticate import Authenticator
from iamrange.clouds.aws.authorize import PolicyAuthorizer, Unmappable
from iamrange.clouds.aws.functions import EmbeddedFunctions, FunctionInvoker
from iamrange.clouds.aws.issuer_keys import IssuerKeys
from iamrange.clouds.aws.judge import Judge
from iamrange.clouds.aws.model import AwsError, AwsRequest, AwsResponse, HttpRequest
from iamrange.clouds.aws.organization_tree import OrganizationRegistry
from iamrange.clouds.aws.organizations import OrganizationsHandler, set_up_organization
from iamrange.clouds.aws.partial import Part, Parts, completed
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.protocol import Target, locate, parse, regions
from iamrange.clouds.aws.resources import MotoResources
from iamrange.clouds.aws.responses import HttpResponse, error_response, output_response, refusal
from iamrange.clouds.aws.services.planners import planners
from iamrange.clouds.aws.sessions import SessionTable
from iamrange.clouds.aws.store import MotoIamStore
from iamrange.clouds.aws.store_answers import rewritten, stumbled, unreadable
from iamrange.clouds.aws.sts import StsHandler
from iamrange.clouds.aws.upstream import (
    EmbeddedMoto,
    UnsupportedError,
    UpstreamDownError,
    UpstreamError,
)
from iamrange.clouds.aws.upstream_waiting import waiting
from iamrange.clouds.aws.write_guard import WriteGuard
from iamrange.core.decision import DecisionRecord, Outcome, honest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from iamrange.clouds.aws.functions import FunctionRunner
    from iamrange.clouds.aws.model import Caller, Handler
    from iamrange.clouds.aws.resources import Resources
    from iamrange.clouds.aws.upstream import Upstream
    from iamrange.clouds.aws.upstream_remote import RemoteUpstream
    from iamrange.clouds.fetch import Fetcher
    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink, Tamper

_BUCKETS = frozenset({("s3", "CreateBucket"), ("s3", "DeleteBucket")})
"""What services that are held here ask of S3: whether a bucket is there (CloudTrail)."""

MAX_BODY = 16 * 1024 * 1024
DEFAULT_REGION = "us-east-1"
ACCESS_ROLE = "OrganizationAccountAccessRole"

Message = MutableMapping[str, Any]
_P = ParamSpec("_P")
_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A user's long-term credentials."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


class AwsCloud:
    """An enforcing AWS: its accounts, and the one door to them."""

    def __init__(  # noqa: PLR0913 - each is one thing that the cloud is made of
        self,
        *,
        clock: Clock,
        records: RecordSink,
        fetcher: Fetcher,
        tamper: Tamper = honest,
        upstream: Upstream | None = None,
        remote: RemoteUpstream | None = None,
        unmapped: Unmappable = "deny",
        explain: bool = False,
        functions: FunctionRunner | None = None,
    ) -> None:
        """Assemble the cloud around an upstream (default: moto in this process).

        `remote` is an emulator that holds the services' resources in the upstream's place; IAM,
        STS and the organisation stay in this process.

        `unmapped="allow"` lets operations pass that no rule puts into permissions; each is listed
        in `unmapped_operations` and in its record. `explain` puts policy, statement and condition
        into the messages of refusals; the records have them always. `functions` runs the code of
        Lambda functions; without it no code is run.
        """
        self._clock = clock
        self._records = records
        self._upstream = upstream if upstream is not None else EmbeddedMoto()
        self._store = MotoIamStore()
        self._remote = remote
        accounts = self._store.accounts
        self._resources: Resources = (
            MotoResources(accounts) if remote is None else remote.resources(accounts)
        )
        self._organizations = OrganizationRegistry()
        sessions = SessionTable()
        issuers = IssuerKeys(fetcher)
        self._authenticator = Authenticator(
            store=self._store,
            sessions=sessions,
            clock=clock,
            records=records,
            tamper=tamper,
        )
        self._authorizer = PolicyAuthorizer(
            store=self._store,
            organization=self._organizations,
            records=records,
            tamper=tamper,
            unmapped=unmapped,
            explain=explain,
        )
        self._handlers: dict[str, Handler] = {
            "sts": StsHandler.create(
                store=self._store,
                authorizer=self._authorizer,
                sessions=sessions,
                issuers=issuers,
                records=records,
                tamper=tamper,
            ),
            "organizations": OrganizationsHandler(self._organizations, self._make_member),
        }
        self._functions: FunctionInvoker | None = None
        if functions is not None:
            self._functions = FunctionInvoker(
                functions=(
                    EmbeddedFunctions(accounts) if remote is None else remote.functions(accounts)
                ),
                store=self._store,
                authorizer=self._authorizer,
                sessions=sessions,
                runner=functions,
            )
        judge = Judge(records=records, tamper=tamper)
        guard = WriteGuard(store=self._store, judge=judge)
        self._planners = planners(self._store, self._resources, self._organizations, guard, issuers)
        self._here = frozenset({"iam"})
        """Services that are held in this process, wherever the others are."""
        if remote is not None:
            self._here |= remote.lacking
            own = planners(
                self._store, MotoResources(accounts), self._organizations, guard, issuers
            )
            self._planners |= {name: own[name] for name in remote.lacking if name in own}

    @property
    def unmapped_operations(self) -> tuple[str, ...]:
        """The operations asked for until now that no rule put into permissions, refused or not."""
        return tuple(sorted(self._authorizer.unmapped))

    def create_account(self, account_id: str, *, admin_name: str = "admin") -> AccessKey:
        """Make an account with an administrator user, and return that user's key."""
        self._store.add_account(account_id)
        return AccessKey(*self._store.create_administrator(account_id, admin_name))

    def create_organization(
        self, management_id: str, member_ids: Sequence[str], organization_id: str | None = None
    ) -> str:
        """Make an organisation of accounts that are there; return its id.

        Each member gets the role `OrganizationAccountAccessRole`, which trusts the management
        account, as accounts that an organisation created have it.
        """
        organization = set_up_organization(
            self._organizations,
            management_id,
            member_ids,
            now=self._clock.now(),
            organization_id=organization_id,
        )
        for member in member_ids:
            self._store.create_access_role(member, ACCESS_ROLE, management_id)
        return organization.id

    def _make_member(self, account_id: str, role_name: str, management_id: str) -> None:
        self._store.add_account(account_id)
        self._store.create_access_role(account_id, role_name, management_id)

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"scope {scope['type']!r} is not http")
        request_id = str(uuid.uuid4())
        http = await _read(scope, receive)
        response = await self.respond(http, request_id)
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in response.headers
        ]
        if not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def respond(self, http: HttpRequest | None, request_id: str) -> HttpResponse:
        """Answer one request that was read whole; None: it was longer than we read."""
        if http is None:
            too_large = AwsError(
                code="RequestEntityTooLarge", message="the body is too long", status=413
            )
            return error_response("s3", "rest-xml", too_large, request_id)
        target = locate(http)
        if isinstance(target, AwsError):
            return error_response("s3", "rest-xml", target, request_id)
        try:
            answer = await self._answer(target, http, request_id)
        except UpstreamDownError as error:
            _LOG.warning("request %s to %s: %s", request_id, target.service, error)
            self._record_error(target, http, request_id)
            message = "Service is unable to handle request."
            answer = refusal("unavailable", target.service, target.protocol, message)
        except Exception as error:  # noqa: BLE001 - whatever broke, the client gets AWS's 500
            # The range broke: the record and the log say so, the client sees AWS's 500.
            _LOG.error("request %s to %s failed: %s", request_id, target.service, _where(error))
            self._record_error(target, http, request_id)
            message = "An internal error has occurred"
            answer = refusal("internal", target.service, target.protocol, message)
        if isinstance(answer, AwsError):
            head = http.method == "HEAD"
            return error_response(target.service, target.protocol, answer, request_id, head=head)
        return answer

    async def _answer(
        self, target: Target, http: HttpRequest, request_id: str
    ) -> HttpResponse | AwsError:
        known = self._authenticator.authenticate(target, http, request_id)
        if isinstance(known, AwsError):
            return known
        region = known.region or target.region or DEFAULT_REGION
        if region not in regions():
            return AwsError(
                code="InvalidRegion" if target.service == "s3" else "SignatureDoesNotMatch",
                message="Credential should be scoped to a valid region.",
                status=HTTPStatus.FORBIDDEN,
            )
        operation = parse(target, known.http)
        if isinstance(operation, AwsError):
            return operation
        request = AwsRequest(
            service=target.service,
            operation=operation.name,
            parameters=operation.parameters,
            region=region,
            account=known.caller.account or "",
            request_id=request_id,
            protocol=target.protocol,
            http=known.http,
            source_ip=http.peer,
            secure=http.scheme == "https",
            user_agent=http.header("user-agent") or "",
            now=self._clock.now(),
        )
        plan = await self._within(self._authorized, request, known.caller)
        if isinstance(plan, AwsError):
            return plan
        return await self._carry_out(request, known.caller, plan)

    async def _within(self, step: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Take a step that looks resources up: over HTTP it may wait, and others go on."""
        if self._remote is None:
            return step(*args, **kwargs)
        return await waiting(step, *args, **kwargs)

    def _authorized(self, request: AwsRequest, caller: Caller) -> Plan | AwsError:
        """Plan the call, and check all that the plan says."""
        planner = self._planners.get(request.service)
        if planner is None:
            if request.service in self._handlers:
                return Plan(checks=(), account=request.account)  # sts asks for itself
            why = f"{request.service} is not a service that this range decides"
            return self._unmapped(Unmapped(why, whole=True), request, caller)
        plan = planner(request, caller)
        if isinstance(plan, Unmapped):
            return self._unmapped(plan, request, caller)
        if not plan.checks and not (plan.parts and plan.parts.members):
            raise RuntimeError(f"{request.operation}: a plan that checks nothing allows everything")
        for check in plan.checks:
            refused = self._authorizer.authorize(check, request, caller)
            if refused is not None:
                return refused
        if plan.runs is not None and self._functions is not None:
            return plan
        limit = plan.instead or (plan.guard() if plan.guard is not None else None)
        return limit or self._authorizer.principals.refusal(request) or plan

    def _unmapped(self, unmapped: Unmapped, request: AwsRequest, caller: Caller) -> Plan | AwsError:
        refused = self._authorizer.judge_unmapped(unmapped, request, caller)
        return refused or Plan(checks=(), account=request.account)

    async def _carry_out(
        self, request: AwsRequest, caller: Caller, plan: Plan
    ) -> HttpResponse | AwsError:
        handler = self._handlers.get(request.service)
        if handler is not None:
            return _written(request, await handler.handle(request, caller))
        if plan.runs is not None and self._functions is not None:
            return await self._functions.invoke(request, plan.account, plan.runs)
        if plan.local is not None:
            return _written(request, plan.local())
        if plan.parts is not None:
            return await self._within(self._in_parts, request, caller, plan, plan.parts)
        overrides = plan.overrides
        if plan.prepare is not None:
            prepared = await plan.prepare()
            if isinstance(prepared, AwsError):
                return prepared
            overrides = {**overrides, **prepared}
        return await self._within(self._upstream_answer, request, caller, plan, overrides)

    def _in_parts(
        self, request: AwsRequest, caller: Caller, plan: Plan, parts: Parts
    ) -> HttpResponse | AwsError:
        """Carry out the parts that are allowed, and report the others one by one."""
        kept: list[Part] = []
        errors: list[Mapping[str, Any]] = []
        for part in parts.members:
            asked = (self._authorizer.authorize(check, request, caller) for check in part.checks)
            refused = next((error for error in asked if error is not None), None) or part.missing
            if refused is None:
                kept.append(part)
            else:
                errors.append(parts.report(part, refused))
        response = None
        if kept:
            answer = self._upstream_answer(request, caller, plan, parts.narrow(kept))
            if not errors or isinstance(answer, AwsError) or answer.status != HTTPStatus.OK:
                return answer
            response = answer
        return _written(request, AwsResponse(output=completed(request, response, errors)))

    def _upstream_answer(
        self, request: AwsRequest, caller: Caller, plan: Plan, overrides: Mapping[str, Any]
    ) -> HttpResponse | AwsError:
        try:
            response = self._store_of(request).call(
                request,
                account=plan.account,
                access_key_id=caller.access_key_id,
                overrides=overrides,
            )
        except UnsupportedError:
            message = f"the store has no operation {request.operation}; the call was authorised"
            return AwsError(code="InvalidAction", message=message, status=HTTPStatus.BAD_REQUEST)
        except UpstreamError as error:
            if self._remote is not None or not stumbled(error):
                raise
            _LOG.warning("request %s: %s", request.request_id, _where(error))
            return unreadable()
        answer = rewritten(request, response, embedded=self._remote is None)
        if isinstance(answer, AwsError):
            return answer
        response = answer
        done = response.status < HTTPStatus.MULTIPLE_CHOICES
        if plan.after is not None and done:
            plan.after()
        if done and plan.checks:
            self._authorizer.principals.remember(request, plan.checks[0].resource)
        if self._remote is not None and done:
            self._mirror(self._remote, request, plan.account)
        return response

    def _mirror(self, remote: RemoteUpstream, request: AwsRequest, account: str) -> None:
        """Tell each store of what its services look for in the other; neither decides by it."""
        if request.service == "iam":
            remote.mirror(request, account)
        elif remote.lacking and (request.service, request.operation) in _BUCKETS:
            with contextlib.suppress(UpstreamError, UnsupportedError):
                self._upstream.call(request, account=account, access_key_id=None, overrides={})

    def _store_of(self, request: AwsRequest) -> Upstream:
        """Return who holds a service: IAM is ours, wherever the resources are."""
        here = request.service in self._here
        return self._upstream if self._remote is None or here else self._remote

    async def close(self) -> None:
        """Close what the running loop holds open towards a remote upstream."""
        if self._remote is not None:
            await self._remote.close()

    def _record_error(self, target: Target, http: HttpRequest, request_id: str) -> None:
        self._records(
            DecisionRecord(
                request_id=request_id,
                time=self._clock.now(),
                point="aws.authorize",
                action=f"{target.service}:*",
                resource="",
                principal="",
                outcome=Outcome.DENY,
                reason="error",
                layers=(),
                source_ip=http.peer,
                user_agent=http.header("user-agent") or "",
            )
        )


def _where(error: BaseException) -> str:
    """Say what was raised and where, without any exception's own message."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    cause = f"\nfrom {_where(error.__cause__)}" if error.__cause__ is not None else ""
    return f"{type(error).__name__}\n{frames}{cause}"


def _written(request: AwsRequest, answer: AwsResponse | AwsError) -> HttpResponse | AwsError:
    if isinstance(answer, AwsError):
        return answer
    return output_response(
        request.service, request.operation, request.protocol, answer, request.request_id
    )


async def _read(
    scope: Mapping[str, Any], receive: Callable[[], Awaitable[Message]]
) -> HttpRequest | None:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        more = message.get("more_body", False)
    client = scope.get("client") or ("", 0)
    raw_path = scope.get("raw_path") or scope["path"].encode()
    return HttpRequest(
        method=scope["method"],
        raw_path=raw_path.decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]),
        body=bytes(body),
        scheme=scope["scheme"],
        peer=client[0],
    )
