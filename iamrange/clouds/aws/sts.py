"""The security token service: one handler, each operation by its own name.

- Parameters are held against the service model's limits first, as STS does.
- An operation that is not here is refused, never forwarded: the embedded store would grant it
  unchecked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.assume_role import RoleAssumption, credentials_of, token_size_of
from iamrange.clouds.aws.constraints import violation
from iamrange.clouds.aws.judge import Judge
from iamrange.clouds.aws.mfa import presents_mfa
from iamrange.clouds.aws.model import (
    Authorizer,
    AwsError,
    AwsRequest,
    AwsResponse,
    Caller,
    Check,
    IamStore,
)
from iamrange.clouds.aws.request import Principal
from iamrange.clouds.aws.session_limits import SessionLimits
from iamrange.clouds.aws.session_options import packed_size, requested_tags, session_policies
from iamrange.clouds.aws.sessions import Grant, SessionTable
from iamrange.clouds.aws.sts_callers import CallerRules
from iamrange.clouds.aws.web_identity import WebIdentityGate
from iamrange.core.decision import RecordSink, Tamper, honest

if TYPE_CHECKING:
    from iamrange.clouds.aws.issuer_keys import IssuerKeys

_USER_DURATION: Final = 43_200
_ROOT_DURATION: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class StsHandler:
    """Answers STS calls; implements `Handler`."""

    store: IamStore
    authorizer: Authorizer
    sessions: SessionTable
    assumption: RoleAssumption
    callers: CallerRules

    @classmethod
    def create(  # noqa: PLR0913 - the ports of one service, by name
        cls,
        *,
        store: IamStore,
        authorizer: Authorizer,
        sessions: SessionTable,
        issuers: IssuerKeys,
        records: RecordSink,
        tamper: Tamper = honest,
    ) -> StsHandler:
        """Put the service together from its ports."""
        judge = Judge(records=records, tamper=tamper)
        assumption = RoleAssumption(
            store=store,
            authorizer=authorizer,
            sessions=sessions,
            gate=WebIdentityGate(store=store, issuers=issuers, judge=judge),
            limits=SessionLimits(judge=judge),
            judge=judge,
        )
        return cls(
            store=store,
            authorizer=authorizer,
            sessions=sessions,
            assumption=assumption,
            callers=CallerRules(store=store, judge=judge),
        )

    async def handle(self, request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
        """Answer the call, or refuse it."""
        if fault := violation(request):
            return fault
        if request.operation == "AssumeRoleWithWebIdentity":
            return await self.assumption.assume_role_with_web_identity(request)
        if refused := self.callers.check(request, caller):
            return refused
        operations = {
            "AssumeRole": self.assumption.assume_role,
            "GetCallerIdentity": _caller_identity,
            "GetSessionToken": self._session_token,
            "GetFederationToken": self._federation_token,
            "GetAccessKeyInfo": self._access_key_info,
        }
        operation = operations.get(request.operation)
        if operation is None:
            message = f"The action {request.operation} is not valid for this endpoint."
            return AwsError(code="InvalidAction", message=message, status=400)
        return operation(request, caller)

    def _session_token(self, request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
        """Answer GetSessionToken: it needs no permission, and no policy can forbid it."""
        grant = Grant(
            principal=caller.principal,
            account=caller.account or "",
            user_id=caller.user_id or "",
            issuer_arn=caller.principal.arn,
            session_name=caller.user_name or "",
            duration=_duration(request, caller),
            mfa_at=request.now if presents_mfa(request) else None,
        )
        size = request.parameters.get("MinimumSessionTokenSize", 0)
        session = self.sessions.issue(grant, now=request.now, token_size=size)
        return AwsResponse(
            output={"Credentials": credentials_of(session), **token_size_of(session)}
        )

    def _federation_token(self, request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
        """Answer GetFederationToken: without session policies its credentials can do nothing."""
        tags, policies = requested_tags(request, None), session_policies(request, self.store)
        if isinstance(tags, AwsError):
            return tags
        if isinstance(policies, AwsError):
            return policies
        packed = packed_size(policies, tags)
        if isinstance(packed, AwsError):
            return packed
        name, account = request.parameters["Name"], caller.account or ""
        arn = f"arn:aws:sts::{account}:federated-user/{name}"
        actions = ["sts:GetFederationToken", *(["sts:TagSession"] if tags.given else [])]
        for action in actions:
            check = Check(
                action=action, resource=arn, resource_account=account, context=tags.context
            )
            if refused := self.authorizer.authorize(check, request, caller):
                return refused
        grant = Grant(
            principal=Principal(
                kind="federated", arn=arn, account=account, user_arn=caller.principal.arn
            ),
            account=account,
            user_id=f"{account}:{name}",
            issuer_arn=caller.principal.arn,
            session_name=name,
            duration=_duration(request, caller),
            tags=tags.all,
            session_policies=policies.compiled or (),
        )
        size = request.parameters.get("MinimumSessionTokenSize", 0)
        session = self.sessions.issue(grant, now=request.now, token_size=size)
        output = {
            "Credentials": credentials_of(session),
            "FederatedUser": {"FederatedUserId": session.user_id, "Arn": arn},
            **token_size_of(session),
        }
        return AwsResponse(output=output | ({"PackedPolicySize": packed} if packed else {}))

    def _access_key_info(self, request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
        check = Check(action="sts:GetAccessKeyInfo", resource="*", resource_account=caller.account)
        if refused := self.authorizer.authorize(check, request, caller):
            return refused
        key_id = request.parameters["AccessKeyId"]
        session, key = self.sessions.by_access_key(key_id), self.store.access_key(key_id)
        account = session.account if session else key.account if key else None
        if account is None:
            message = f"Access key {key_id} is not valid"
            return AwsError(code="ValidationError", message=message, status=400)
        return AwsResponse(output={"Account": account})


def _caller_identity(request: AwsRequest, caller: Caller) -> AwsResponse:
    """Answer GetCallerIdentity: it needs no permission, and no policy can forbid it."""
    del request
    return AwsResponse(
        output={
            "UserId": caller.user_id or caller.account or "",
            "Account": caller.account or "",
            "Arn": caller.principal.arn,
        }
    )


def _duration(request: AwsRequest, caller: Caller) -> int:
    """Return the duration; a root user's sessions last an hour at most, whatever it asked."""
    limit = _ROOT_DURATION if caller.principal.kind == "root" else None
    asked: int = request.parameters.get("DurationSeconds", limit or _USER_DURATION)
    return min(asked, limit) if limit else asked
