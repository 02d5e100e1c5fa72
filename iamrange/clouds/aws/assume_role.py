"""AssumeRole and AssumeRoleWithWebIdentity: who may become a role, and with what session.

- The role's trust policy, the caller's own policies and the organisation's are asked through the
  `Authorizer`; a role that is not there is refused like one that does not trust the caller.
- Tags and a source identity are powers of their own: `sts:TagSession` and
  `sts:SetSourceIdentity` are asked of the same policies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.aws.mfa import mfa_context
from iamrange.clouds.aws.model import (
    Authorizer,
    AwsError,
    AwsRequest,
    AwsResponse,
    Caller,
    Check,
    ContextValues,
    IamStore,
    RoleRecord,
    Session,
)
from iamrange.clouds.aws.policy import CompiledPolicy, MalformedPolicy, PolicyKind, compile_policy
from iamrange.clouds.aws.request import Principal
from iamrange.clouds.aws.session_limits import DEFAULT_DURATION, SessionLimits
from iamrange.clouds.aws.session_options import (
    SessionPolicies,
    SessionTags,
    packed_size,
    requested_tags,
    session_policies,
    session_tags,
)
from iamrange.clouds.aws.sessions import Grant, SessionTable
from iamrange.clouds.aws.shared_issuers import shared_issuer_fault
from iamrange.clouds.aws.web_identity import ACTION, WebIdentity, WebIdentityGate
from iamrange.clouds.aws.web_identity_claims import (
    ClaimError,
    claimed_source_identity,
    claimed_tags,
    condition_keys,
    session_keys,
)
from iamrange.core.decision import Effect, LayerAnswer

if TYPE_CHECKING:
    from iamrange.clouds.aws.judge import Judge

_TOKEN_LIMIT: Final = 4096
_AUTHORIZE: Final = "aws.authorize"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    """What the new session is to carry, checked but not yet granted."""

    policies: SessionPolicies
    tags: SessionTags
    packed: int
    source_identity: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssumption:
    """The two ways into a role that this cloud has."""

    store: IamStore
    authorizer: Authorizer
    sessions: SessionTable
    gate: WebIdentityGate
    limits: SessionLimits
    judge: Judge

    def assume_role(self, request: AwsRequest, caller: Caller) -> AwsResponse | AwsError:
        """Answer AssumeRole."""
        arn = request.parameters["RoleArn"]
        wishes = self._wishes(request, caller)
        if isinstance(wishes, AwsError):
            return wishes
        role = self.store.role_by_arn(arn)
        if role is None:
            return self._refuse_trust(request, caller, arn, "no-such-role")
        context = {**_asked_context(request, wishes), **mfa_context(request)}
        if refused := self._authorize(request, caller, role, context, wishes):
            return refused
        chained = caller.principal.kind == "assumed-role"
        principal = caller.principal.arn
        if exceeded := self.limits.check(request, role, principal=principal, chained=chained):
            return exceeded
        session = self._issue(request, role, wishes, {})
        return AwsResponse(output=_output(session, wishes))

    async def assume_role_with_web_identity(self, request: AwsRequest) -> AwsResponse | AwsError:
        """Answer AssumeRoleWithWebIdentity; the call is unsigned, the token is the proof."""
        arn: str = request.parameters["RoleArn"]
        account = _account(arn)
        if account is None:
            return _invalid(f"{arn} is invalid")
        trust = _document(self.store.role_by_arn(arn))
        identity = await self.gate.examine(request, role_arn=arn, account=account, trust=trust)
        if isinstance(identity, AwsError):
            return identity
        wishes = self._claimed_wishes(request, identity)
        if isinstance(wishes, AwsError):
            return wishes
        caller = _web_caller(identity)
        # read anew: the issuer took its time to answer, and the role may have changed meanwhile
        role = self.store.role_by_arn(arn)
        if role is None:
            self._refuse_trust(request, caller, arn, "no-such-role")
            return _denied(f"Not authorized to perform {ACTION}")
        fault = shared_issuer_fault(_document(role), identity.issuer)
        if self._guarded(request, caller, role, fault):
            return _denied(f"Not authorized to perform {ACTION}")
        context = {
            **_asked_context(request, wishes),
            **condition_keys(identity.issuer, identity.claims),
            "aws:FederatedProvider": identity.provider,
        }
        if self._authorize(request, caller, role, context, wishes):
            return _denied(f"Not authorized to perform {ACTION}")
        if exceeded := self.limits.check(request, role, principal=identity.subject, chained=False):
            return exceeded
        kept = {
            **session_keys(identity.issuer, identity.claims),
            "aws:FederatedProvider": identity.provider,
        }
        session = self._issue(request, role, wishes, kept)
        about = {
            "SubjectFromWebIdentityToken": identity.subject,
            "Provider": identity.provider,
            "Audience": identity.audience,
        }
        return AwsResponse(output={**_output(session, wishes), **about})

    def _wishes(self, request: AwsRequest, caller: Caller) -> _Wishes | AwsError:
        tags = requested_tags(request, caller.session)
        asked: str | None = request.parameters.get("SourceIdentity")
        # a chain keeps its source identity, and whoever passes it on needs the power to set it
        held = caller.session.source_identity if caller.session else None
        return self._checked_wishes(request, tags, asked or held)

    def _claimed_wishes(self, request: AwsRequest, identity: WebIdentity) -> _Wishes | AwsError:
        try:
            claimed = claimed_tags(identity.claims)
            source_identity = claimed_source_identity(identity.claims)
        except ClaimError as error:
            return AwsError(code="InvalidIdentityToken", message=str(error), status=400)
        tags = session_tags(list(claimed.tags.items()), claimed.transitive_keys)
        return self._checked_wishes(request, tags, source_identity)

    def _checked_wishes(
        self, request: AwsRequest, tags: SessionTags | AwsError, source_identity: str | None
    ) -> _Wishes | AwsError:
        policies = session_policies(request, self.store)
        if isinstance(tags, AwsError):
            return tags
        if isinstance(policies, AwsError):
            return policies
        packed = packed_size(policies, tags)
        if isinstance(packed, AwsError):
            return packed
        return _Wishes(
            policies=policies,
            tags=tags,
            packed=packed,
            source_identity=source_identity,
        )

    def _authorize(
        self,
        request: AwsRequest,
        caller: Caller,
        role: RoleRecord,
        context: ContextValues,
        wishes: _Wishes,
    ) -> AwsError | None:
        """Ask for the role and for every power that the wishes need; the first refusal counts."""
        trust = _compiled_trust(role)
        if trust is None:
            return self._refuse_trust(request, caller, role.arn, "malformed-trust-policy")
        tags = {f"iam:ResourceTag/{key}": value for key, value in role.tags.items()}
        for action in _actions(request, wishes):
            check = Check(
                action=action,
                resource=role.arn,
                resource_account=role.account,
                context={**context, **tags},
                trust=trust,
                resource_tags=role.tags,
            )
            refused = self.authorizer.authorize(check, request, caller)
            if refused is not None:
                return refused
        return None

    def _guarded(
        self, request: AwsRequest, caller: Caller, role: RoleRecord, fault: str | None
    ) -> bool:
        """Refuse a role whose trust on a shared issuer names no tenant; tell whether it was."""
        if fault is None:
            return False
        layer = LayerAnswer("shared-issuer", Effect.DENY, "shared-issuer-unscoped", detail=fault)
        return self._decide(request, caller, role.arn, layer) is not None

    def _refuse_trust(self, request: AwsRequest, caller: Caller, arn: str, reason: str) -> AwsError:
        """Refuse where there is no trust policy to ask, without telling whether the role exists."""
        layer = LayerAnswer("trust", Effect.IMPLICIT_DENY, reason)
        self._decide(request, caller, arn, layer)
        return _denied(
            f"User: {caller.principal.arn} is not authorized to perform: "
            f"sts:{request.operation} on resource: {arn}"
        )

    def _decide(
        self, request: AwsRequest, caller: Caller, arn: str, layer: LayerAnswer
    ) -> LayerAnswer | None:
        return self.judge.decide(
            _AUTHORIZE,
            request,
            (layer,),
            action=f"sts:{request.operation}",
            resource=arn,
            principal=caller.principal.arn,
            account=caller.account or _account(arn) or "",
        )

    def _issue(
        self, request: AwsRequest, role: RoleRecord, wishes: _Wishes, kept: ContextValues
    ) -> Session:
        name: str = request.parameters["RoleSessionName"]
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
            duration=request.parameters.get("DurationSeconds", DEFAULT_DURATION),
            tags=wishes.tags.all,
            transitive_tag_keys=wishes.tags.transitive_keys,
            source_identity=wishes.source_identity,
            session_policies=wishes.policies.compiled,
            # IAM user guide, "Configuring MFA-protected API access": credentials of AssumeRole
            # carry no MFA information, whoever called it
            mfa_at=None,
            federated_context=kept,
        )
        size = request.parameters.get("MinimumSessionTokenSize", 0)
        return self.sessions.issue(grant, now=request.now, token_size=size)


def credentials_of(session: Session) -> dict[str, Any]:
    """Return the session's credentials as STS answers them."""
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "SessionToken": session.session_token,
        "Expiration": datetime.fromtimestamp(int(session.expires_at), UTC),
    }


def token_size_of(session: Session) -> dict[str, Any]:
    """Return what STS says of the size of a session token."""
    size = len(session.session_token)
    return {"SessionTokenSize": size, "SessionTokenUtilization": 100 * size // _TOKEN_LIMIT}


def _output(session: Session, wishes: _Wishes) -> dict[str, Any]:
    output: dict[str, Any] = {
        "Credentials": credentials_of(session),
        "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.principal.arn},
        **token_size_of(session),
    }
    if wishes.packed:
        output["PackedPolicySize"] = wishes.packed
    if session.source_identity is not None:
        output["SourceIdentity"] = session.source_identity
    return output


def _actions(request: AwsRequest, wishes: _Wishes) -> Iterator[str]:
    yield f"sts:{request.operation}"
    # Transitive tags are passed on by the chain itself, and need the power all the same: what
    # users of EKS Pod Identity meet at their second role.
    if wishes.tags.all:
        yield "sts:TagSession"
    if wishes.source_identity is not None:
        yield "sts:SetSourceIdentity"


def _asked_context(request: AwsRequest, wishes: _Wishes) -> dict[str, Any]:
    """Return the condition keys that the request's own members make."""
    context: dict[str, Any] = {
        "sts:RoleSessionName": request.parameters["RoleSessionName"],
        **wishes.tags.context,
    }
    if "ExternalId" in request.parameters:
        context["sts:ExternalId"] = request.parameters["ExternalId"]
    if wishes.source_identity is not None:
        context["sts:SourceIdentity"] = wishes.source_identity
    return context


def _web_caller(identity: WebIdentity) -> Caller:
    """Return the caller behind a token: nobody that IAM knows, from no account."""
    principal = Principal(
        kind="web-identity",
        arn=f"{identity.provider}:{identity.audience}:{identity.subject}",
        federated=identity.provider,
    )
    return Caller(principal=principal, access_key_id=None, account=None)


def _compiled_trust(role: RoleRecord) -> CompiledPolicy | None:
    """Compile the trust policy; None for one that IAM would not have taken: it trusts nobody."""
    try:
        return compile_policy(role.trust_document, kind=PolicyKind.TRUST, name=role.arn)
    except MalformedPolicy:
        return None


def _document(role: RoleRecord | None) -> Mapping[str, Any]:
    try:
        document = json.loads(role.trust_document) if role else {}
    except ValueError:
        return {}
    return document if isinstance(document, Mapping) else {}


def _account(arn: str) -> str | None:
    """Return the account of a role's ARN, or None if it is no role's."""
    parts = arn.split(":", 5)
    named = len(parts) == 6 and parts[2] == "iam" and parts[5].startswith("role/")  # noqa: PLR2004 - fields of an ARN
    return parts[4] if named else None


def _denied(message: str) -> AwsError:
    return AwsError(code="AccessDenied", message=message, status=403)


def _invalid(message: str) -> AwsError:
    return AwsError(code="ValidationError", message=message, status=400)
