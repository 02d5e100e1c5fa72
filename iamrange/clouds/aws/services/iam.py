"""IAM in permissions.

- Entities are authorised by their full ARN, path included; "myself" is the caller's own user.
- Tags at creation, and a role handed to an instance profile, are permissions of their own.
- https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.actions import exists
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, AwsResponse, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import tag_map
from iamrange.clouds.aws.services.iam_resources import Subject, subject_of
from iamrange.clouds.aws.services.simulate import simulate_custom, simulate_principal
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.clouds.aws.store import MotoIamStore

_NAME = re.compile(r"[\w+=,.@-]{1,128}\Z", re.ASCII)
_PATH = re.compile(r"/(?:[!-.0-~]+/)*\Z")
_NAMES = ("UserName", "RoleName", "GroupName", "PolicyName", "InstanceProfileName", "NewUserName")
# Operations that, without a user name, are about the caller's own user.
_SELF = frozenset(
    [
        "GetUser",
        "CreateAccessKey",
        "ListAccessKeys",
        "UpdateAccessKey",
        "DeleteAccessKey",
        "ListMFADevices",
        "ListSigningCertificates",
        "UploadSigningCertificate",
        "UpdateSigningCertificate",
        "DeleteSigningCertificate",
        "ListServiceSpecificCredentials",
        "CreateLoginProfile",
        "ListSSHPublicKeys",
    ]
)
_TAG_ON_CREATE = {
    "CreateUser": "TagUser",
    "CreateRole": "TagRole",
    "CreatePolicy": "TagPolicy",
    "CreateInstanceProfile": "TagInstanceProfile",
    "CreateOpenIDConnectProvider": "TagOpenIDConnectProvider",
    "CreateSAMLProvider": "TagSAMLProvider",
    "CreateVirtualMFADevice": "TagMFADevice",
    "UploadServerCertificate": "TagServerCertificate",
}
_DOCUMENTS = {
    "CreatePolicy": "PolicyDocument",
    "CreatePolicyVersion": "PolicyDocument",
    "PutUserPolicy": "PolicyDocument",
    "PutRolePolicy": "PolicyDocument",
    "PutGroupPolicy": "PolicyDocument",
}
# Operations that read `iam:PermissionsBoundary` from the entity as it stands.
_BOUNDED = frozenset(
    [
        "AttachUserPolicy",
        "DetachUserPolicy",
        "PutUserPolicy",
        "DeleteUserPolicy",
        "DeleteUserPermissionsBoundary",
        "AttachRolePolicy",
        "DetachRolePolicy",
        "PutRolePolicy",
        "DeleteRolePolicy",
        "DeleteRolePermissionsBoundary",
    ]
)
_DURATIONS = (3600, 43200)


class IamPlanner:
    """What each operation of IAM needs, and what IAM refuses to write."""

    def __init__(
        self,
        store: MotoIamStore,
        guard: Callable[[AwsRequest, Caller], AwsError | None] | None = None,
    ) -> None:
        """Take the store, and the guard over trust policies and identity providers."""
        self._store = store
        self._guard = guard

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation = request.operation
        action = f"iam:{operation}"
        if not exists(action):
            return Unmapped("no such action")
        parameters = dict(request.parameters)
        overrides: dict[str, Any] = {}
        if operation in _SELF and not parameters.get("UserName"):
            if caller.user_name is None:
                return self._nobody(request, action)
            overrides["UserName"] = parameters["UserName"] = caller.user_name
        policy_arn = str(parameters.get("PolicyArn") or parameters.get("PermissionsBoundary") or "")
        self._store.offer_aws_managed(request.account, policy_arn)
        subject = subject_of(self._store, request, parameters)
        if isinstance(subject, Unmapped):
            return subject
        check = Check(
            action=action,
            resource=subject.arn,
            resource_account=request.account,
            context=self._context(request, subject),
            resource_tags=subject.tags,
        )
        return Plan(
            checks=(check, *self._more(request, subject)),
            account=request.account,
            overrides=overrides,
            instead=self._refused(request, caller),
            local=self._local(request, caller),
            after=self._after(request),
        )

    def _nobody(self, request: AwsRequest, action: str) -> Plan:
        account = request.account
        resource = f"arn:aws:iam::{account}:user/"
        check = Check(action=action, resource=resource, resource_account=account)
        message = "Must specify userName when calling with non-User credentials"
        error = AwsError(code="ValidationError", message=message, status=400)
        return Plan(checks=(check,), account=account, instead=error)

    def _context(self, request: AwsRequest, subject: Subject) -> Context:
        parameters, operation = request.parameters, request.operation
        context: Context = {f"iam:ResourceTag/{k}": v for k, v in (subject.tags or {}).items()}
        if parameters.get("PolicyArn") and operation.startswith(("Attach", "Detach")):
            context["iam:PolicyARN"] = str(parameters["PolicyArn"])
        if parameters.get("PermissionsBoundary"):
            context["iam:PermissionsBoundary"] = str(parameters["PermissionsBoundary"])
        elif operation in _BOUNDED and subject.boundary is not None:
            context["iam:PermissionsBoundary"] = subject.boundary
        if parameters.get("AWSServiceName"):
            context["iam:AWSServiceName"] = str(parameters["AWSServiceName"])
        context |= request_tags(tag_map(parameters.get("Tags")))
        context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
        return context

    def _more(self, request: AwsRequest, subject: Subject) -> tuple[Check, ...]:
        operation, parameters = request.operation, request.parameters
        checks: list[Check] = []
        tags = tag_map(parameters.get("Tags"))
        if tags and operation in _TAG_ON_CREATE:
            tag = Check(
                action=f"iam:{_TAG_ON_CREATE[operation]}",
                resource=subject.arn,
                resource_account=request.account,
                context=request_tags(tags),
            )
            checks.append(tag)
        if operation == "AddRoleToInstanceProfile":
            role = self._store.entity(request.account, "role", str(parameters["RoleName"]))
            arn = role.arn if role else _arn(request, f"role/{parameters['RoleName']}")
            checks.append(pass_role(request, self._store, arn, "ec2.amazonaws.com"))
        return tuple(checks)

    def _refused(self, request: AwsRequest, caller: Caller) -> AwsError | None:
        return (
            _bad_name(request.parameters)
            or _bad_duration(request)
            or _bad_document(request)
            or self._bad_boundary(request)
            or (self._guard(request, caller) if self._guard else None)
        )

    def _bad_boundary(self, request: AwsRequest) -> AwsError | None:
        arn = request.parameters.get("PermissionsBoundary")
        if not arn or self._store.managed_policy(str(arn)) is not None:
            return None
        message = f"Scope ARN: {arn} does not exist or is not attachable."
        return AwsError(code="NoSuchEntity", message=message, status=404)

    def _local(
        self, request: AwsRequest, caller: Caller
    ) -> Callable[[], AwsResponse | AwsError] | None:
        name = str(request.parameters.get("UserName"))
        arn = request.parameters.get("PermissionsBoundary")
        match request.operation:
            case "PutUserPermissionsBoundary":
                return partial(self._set_boundary, request.account, name, str(arn))
            case "DeleteUserPermissionsBoundary":
                return partial(self._set_boundary, request.account, name, None)
            case "SimulatePrincipalPolicy":
                return partial(simulate_principal, self._store, request)
            case "SimulateCustomPolicy":
                return partial(simulate_custom, request, caller)
        return None

    def _after(self, request: AwsRequest) -> Callable[[], None] | None:
        arn = request.parameters.get("PermissionsBoundary")
        if request.operation != "CreateUser" or not arn:
            return None
        name = str(request.parameters["UserName"])
        return lambda: self._store.set_user_boundary(request.account, name, str(arn)) and None

    def _set_boundary(self, account: str, name: str, arn: str | None) -> AwsResponse | AwsError:
        if self._store.set_user_boundary(account, name, arn):
            return AwsResponse()
        message = f"The user with name {name} cannot be found."
        return AwsError(code="NoSuchEntity", message=message, status=404)


def pass_role(request: AwsRequest, store: MotoIamStore, role_arn: str, service: str) -> Check:
    """Return the check for handing a role to a service.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    role = store.role_by_arn(role_arn)
    tags = dict(role.tags) if role else {}
    context: Context = {f"iam:ResourceTag/{key}": value for key, value in tags.items()}
    context["iam:PassedToService"] = service
    return Check(
        action="iam:PassRole",
        resource=role_arn,
        resource_account=role_arn.split(":")[4] if role_arn.count(":") >= 5 else request.account,  # noqa: PLR2004 - an ARN's fields
        context=context,
        resource_tags=tags,
    )


def _arn(request: AwsRequest, rest: str) -> str:
    return f"arn:aws:iam::{request.account}:{rest}"


def _bad_name(parameters: Mapping[str, Any]) -> AwsError | None:
    for member in _NAMES:
        value = parameters.get(member)
        if value is not None and not _NAME.match(str(value)):
            return _validation(
                f"The specified value for {member[0].lower()}{member[1:]} is invalid. It must "
                "contain only alphanumeric characters and/or the following: +=,.@_-"
            )
    for member in ("Path", "NewPath"):
        value = parameters.get(member)
        if value is not None and not _PATH.match(str(value)):
            return _validation(
                "The specified value for path is invalid. It must begin and end with / and "
                "contain only alphanumeric characters and/or / characters."
            )
    return None


def _bad_duration(request: AwsRequest) -> AwsError | None:
    if request.operation not in ("CreateRole", "UpdateRole"):
        return None
    value = request.parameters.get("MaxSessionDuration")
    low, high = _DURATIONS
    if value is None or low <= int(value) <= high:
        return None
    limit = (
        f"less than or equal to {high}" if int(value) > high else f"greater than or equal to {low}"
    )
    return _validation(
        f"1 validation error detected: Value '{int(value)}' at 'maxSessionDuration' failed to "
        f"satisfy constraint: Member must have value {limit}"
    )


def _bad_document(request: AwsRequest) -> AwsError | None:
    member = _DOCUMENTS.get(request.operation)
    if member is None:
        return None
    try:
        compiled(str(request.parameters.get(member)), PolicyKind.IDENTITY, "document")
    except MalformedPolicy as error:
        return AwsError(code="MalformedPolicyDocument", message=str(error), status=400)
    return None


def _validation(message: str) -> AwsError:
    return AwsError(code="ValidationError", message=message, status=400)
