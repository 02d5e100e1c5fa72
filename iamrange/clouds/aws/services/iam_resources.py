"""Which entity an IAM operation is about, by the kinds that the authorization reference names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.actions import resource_types
from iamrange.clouds.aws.plan import Unmapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.store import MotoIamStore

_BY_NAME = {
    "user": "UserName",
    "role": "RoleName",
    "group": "GroupName",
    "instance-profile": "InstanceProfileName",
}
_BY_ARN = {
    "oidc-provider": "OpenIDConnectProviderArn",
    "saml-provider": "SAMLProviderArn",
    "policy": "PolicyArn",
    "mfa": "SerialNumber",
}
# Lists are about a path: `arn:aws:iam::ACCOUNT:user/`, seen in AWS's own refusals.
_LISTS = {
    "ListUsers": "user",
    "ListRoles": "role",
    "ListGroups": "group",
    "ListInstanceProfiles": "instance-profile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The entity that an operation is about."""

    arn: str
    tags: Mapping[str, str] | None = None
    boundary: str | None = None


def subject_of(
    store: MotoIamStore, request: AwsRequest, parameters: Mapping[str, Any]
) -> Subject | Unmapped:
    """Return the entity, as it is or as it would be called."""
    start = f"arn:aws:iam::{request.account}:"
    operation = request.operation
    if operation in _LISTS:
        path = str(parameters.get("PathPrefix") or "/")
        return Subject(arn=f"{start}{_LISTS[operation]}{path}")
    kinds = resource_types(f"iam:{operation}")
    if not kinds:
        return Subject(arn="*")
    special = _SPECIAL.get(operation)
    if special is not None:
        return special(store, request, parameters)
    for kind in kinds:
        if kind in _BY_NAME and parameters.get(_BY_NAME[kind]):
            name, path = str(parameters[_BY_NAME[kind]]), str(parameters.get("Path") or "/")
            return _named(store, request, kind, name, path)
        if kind in _BY_ARN and parameters.get(_BY_ARN[kind]):
            return _by_arn(store, str(parameters[_BY_ARN[kind]]))
    pattern = _CREATED.get(operation)
    if pattern is None:
        return Unmapped("which entity it is about cannot be told", whole=True)
    given = {"Path": "/"} | {k: v for k, v in parameters.items() if isinstance(v, str)}
    return Subject(arn=start + pattern.format_map(given).replace("https://", ""))


def _source(store: MotoIamStore, _request: AwsRequest, parameters: Mapping[str, Any]) -> Subject:
    return _by_arn(store, str(parameters.get("PolicySourceArn")))


def _key_owner(store: MotoIamStore, request: AwsRequest, parameters: Mapping[str, Any]) -> Subject:
    key = store.access_key(str(parameters.get("AccessKeyId")))
    if key is None or key.user_name is None or key.account != request.account:
        return Subject(arn=f"arn:aws:iam::{request.account}:user/*")
    return _named(store, request, "user", key.user_name, "/")


_SPECIAL = {
    "SimulatePrincipalPolicy": _source,
    "GetContextKeysForPrincipalPolicy": _source,
    "GetAccessKeyLastUsed": _key_owner,
}
# What is created, and what is known by no name of its own yet.
_CREATED = {
    "CreatePolicy": "policy{Path}{PolicyName}",
    "CreateOpenIDConnectProvider": "oidc-provider/{Url}",
    "CreateSAMLProvider": "saml-provider/{Name}",
    "CreateVirtualMFADevice": "mfa{Path}{VirtualMFADeviceName}",
    "CreateServiceLinkedRole": "role/aws-service-role/{AWSServiceName}/*",
    "GetMFADevice": "user/*",
}


def _named(store: MotoIamStore, request: AwsRequest, kind: str, name: str, path: str) -> Subject:
    entity = store.entity(request.account, kind, name)
    if entity is None:
        return Subject(arn=f"arn:aws:iam::{request.account}:{kind}{path}{name}")
    return Subject(arn=entity.arn, tags=entity.tags, boundary=entity.boundary)


def _by_arn(store: MotoIamStore, arn: str) -> Subject:
    return Subject(arn=arn, tags=store.managed_tags(arn))
