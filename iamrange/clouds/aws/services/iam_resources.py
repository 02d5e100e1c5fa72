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
    if operation in ("SimulatePrincipalPolicy", "GetContextKeysForPrincipalPolicy"):
        return _by_arn(store, str(parameters.get("PolicySourceArn")))
    if operation == "GetAccessKeyLastUsed":
        key = store.access_key(str(parameters.get("AccessKeyId")))
        if key is None or key.user_name is None or key.account != request.account:
            return Subject(arn=f"{start}user/*")
        return _named(store, request, "user", key.user_name, "/")
    if operation == "ChangePassword":
        return Unmapped("there are no console passwords here")
    if operation == "CreateServiceLinkedRole":
        service = parameters.get("AWSServiceName")
        return Subject(arn=f"{start}role/aws-service-role/{service}/*")
    for kind in kinds:
        if kind in _BY_NAME and parameters.get(_BY_NAME[kind]):
            name, path = str(parameters[_BY_NAME[kind]]), str(parameters.get("Path") or "/")
            return _named(store, request, kind, name, path)
        if kind in _BY_ARN and parameters.get(_BY_ARN[kind]):
            return _by_arn(store, str(parameters[_BY_ARN[kind]]))
    match operation:
        case "CreatePolicy":
            path = str(parameters.get("Path") or "/")
            return Subject(arn=f"{start}policy{path}{parameters['PolicyName']}")
        case "CreateOpenIDConnectProvider":
            url = str(parameters["Url"]).removeprefix("https://")
            return Subject(arn=f"{start}oidc-provider/{url}")
        case "CreateSAMLProvider":
            return Subject(arn=f"{start}saml-provider/{parameters['Name']}")
        case "CreateVirtualMFADevice":
            path = str(parameters.get("Path") or "/")
            return Subject(arn=f"{start}mfa{path}{parameters['VirtualMFADeviceName']}")
        case "GetMFADevice":
            return Subject(arn=f"{start}user/*")
    return Unmapped("which entity it is about cannot be told")


def _named(store: MotoIamStore, request: AwsRequest, kind: str, name: str, path: str) -> Subject:
    entity = store.entity(request.account, kind, name)
    if entity is None:
        return Subject(arn=f"arn:aws:iam::{request.account}:{kind}{path}{name}")
    return Subject(arn=entity.arn, tags=entity.tags, boundary=entity.boundary)


def _by_arn(store: MotoIamStore, arn: str) -> Subject:
    return Subject(arn=arn, tags=store.managed_tags(arn))
