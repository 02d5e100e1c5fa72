"""The condition keys that every request has, by AWS's rules of when a key is there.

- A key that AWS leaves out is left out: `Bool` and `IfExists` conditions turn on that.
- https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.model import AwsRequest, Caller, OrganizationLevels

_TYPES = {
    "user": "User",
    "assumed-role": "AssumedRole",
    "role": "AssumedRole",
    "root": "Account",
    "federated": "FederatedUser",
    "anonymous": "Anonymous",
}

Context = dict[str, "str | Sequence[str]"]


def iso(moment: float) -> str:
    """Write a moment as AWS's date conditions read it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def request_context(
    request: AwsRequest, caller: Caller, organization: OrganizationLevels
) -> Context:
    """Return the keys that say who asks, from where, when and how."""
    context: Context = {
        "aws:SourceIp": request.source_ip,
        "aws:SecureTransport": "true" if request.secure else "false",
        "aws:CurrentTime": iso(request.now),
        "aws:EpochTime": str(int(request.now)),
        "aws:RequestedRegion": request.region,
        "aws:ViaAWSService": "false",
        "aws:PrincipalIsAWSService": "false",
    }
    if request.user_agent:
        context["aws:UserAgent"] = request.user_agent
    referer = request.http.header("referer")
    if referer is not None:
        context["aws:Referer"] = referer
    context |= _principal(caller, organization)
    context |= _session(caller, request.now)
    return context


def _principal(caller: Caller, organization: OrganizationLevels) -> Context:
    principal = caller.principal
    kind = _TYPES.get(principal.kind)
    context: Context = {}
    if kind is not None:
        context["aws:PrincipalType"] = kind
    if principal.kind == "anonymous":
        context["aws:userid"] = "anonymous"
        return context
    if principal.kind not in ("web-identity", "service"):
        # A role session is its role here: conditions name the role's ARN.
        context["aws:PrincipalArn"] = principal.role_arn or principal.arn
    if caller.account is not None:
        context["aws:PrincipalAccount"] = caller.account
        org, path = organization.organization_id(caller.account), organization.path(caller.account)
        if org is not None:
            context["aws:PrincipalOrgID"] = org
        if path is not None:
            context["aws:PrincipalOrgPaths"] = (path,)
    if caller.user_id is not None:
        context["aws:userid"] = caller.user_id
    if caller.user_name is not None:
        context["aws:username"] = caller.user_name
    for key, value in caller.tags.items():
        context[f"aws:PrincipalTag/{key}"] = value
    return context


def _session(caller: Caller, now: float) -> Context:
    session = caller.session
    if session is None:
        # Long-term keys have neither of these: absent, not false.
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-multifactorauthpresent
        return {}
    context: Context = {
        "aws:TokenIssueTime": iso(session.issued_at),
        "aws:MultiFactorAuthPresent": "true" if session.mfa_at is not None else "false",
    }
    if session.mfa_at is not None:
        context["aws:MultiFactorAuthAge"] = str(max(0, int(now - session.mfa_at)))
    if session.source_identity is not None:
        context["aws:SourceIdentity"] = session.source_identity
    context |= dict(session.federated_context)
    return context


def resource_context(
    account: str | None, tags: Mapping[str, str] | None, organization: OrganizationLevels
) -> Context:
    """Return the keys that say whose the resource is and how it is tagged."""
    context: Context = {}
    if account is not None:
        context["aws:ResourceAccount"] = account
        org, path = organization.organization_id(account), organization.path(account)
        if org is not None:
            context["aws:ResourceOrgID"] = org
        if path is not None:
            context["aws:ResourceOrgPaths"] = (path,)
    for key, value in (tags or {}).items():
        context[f"aws:ResourceTag/{key}"] = value
    return context


def request_tags(tags: Mapping[str, str]) -> Context:
    """Return the keys of the tags that a request brings; none at all when it brings none."""
    if not tags:
        return {}
    context: Context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    context["aws:TagKeys"] = tuple(tags)
    return context


def tag_keys(keys: Sequence[str]) -> Context:
    """Return the key of the tags that a request takes away."""
    return {"aws:TagKeys": tuple(keys)} if keys else {}


def via_service(context: Mapping[str, str | Sequence[str]], service: str) -> Context:
    """Return the context of a call that a service makes for the caller (forward access session).

    The call comes from the service's network, so the caller's address is not in it.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
    """
    name = f"{service}.amazonaws.com"
    forwarded = {key: value for key, value in context.items() if key != "aws:SourceIp"}
    return forwarded | {
        "aws:ViaAWSService": "true",
        "aws:CalledVia": (name,),
        "aws:CalledViaFirst": name,
        "aws:CalledViaLast": name,
    }
