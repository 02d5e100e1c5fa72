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
from iamrange.clouds.aws.mfa import enabling_fault
from iamrange.clouds.aws.model import AwsError, AwsRequest, AwsResponse, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import tag_map
from iamrange.clouds.aws.services.iam_resources import Subject, subject_of
from iamrange.clouds.aws.services.simulate import simulate_custom, simulate_principal
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from iamrange.clouds.aws.issuer_keys import IssuerKeys
    from iamrange.clouds.aws.model import OrganizationLevels
    from iamrange.clouds.aws.store import MotoIamStore
    from iamrange.clouds.aws.write_guard import WriteGuard

_NAME = re.compile(r"[\w+=,.@-]{1,128}\Z", re.ASCII)
_PATH = re.compile(r"/(?:[!-.0-~]+/)*\Z")
_NAMES = ("UserName", "RoleName", "GroupName", "PolicyName", "InstanceProfileName", "NewUserName")
_LONGEST = {"UserName": 64, "NewUserName": 64, "RoleName": 64}
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


class IamPlanner:
    """What each operation of IAM needs, and what IAM refuses to write."""

    def __init__(
        self,
        store: MotoIamStore,
        guard: WriteGuard,
        issuers: IssuerKeys,
        organization: OrganizationLevels,
    ) -> None:
        """Take the stores, the guard over what is written, and where issuers are asked."""
        self._store = store
        self._organization = organization
        self._issuers = issuers
        self._guard = guard

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation = request.operation
        action = f"iam:{operation}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
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
            instead=_bad_name(request.parameters)
            or self._bad_boundary(request)
            or self._bad_codes(request),
            guard=partial(self._guard.check, request, caller),
            local=self._local(request, caller),
            after=self._after(request),
            prepare=self._prepare(request),
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
        checks += self._renamed(request)
        if operation == "AddRoleToInstanceProfile":
            role = self._store.entity(request.account, "role", str(parameters["RoleName"]))
            arn = role.arn if role else _arn(request, f"role/{parameters['RoleName']}")
            checks.append(pass_role(request, self._store, arn, "ec2.amazonaws.com"))
        return tuple(checks)

    def _renamed(self, request: AwsRequest) -> list[Check]:
        """Renaming needs the permission under the new name and path too (API_UpdateUser)."""
        parameters = request.parameters
        kind = {"UpdateUser": "user", "UpdateGroup": "group"}.get(request.operation)
        if kind is None:
            return []
        title = kind.capitalize()
        name = parameters.get(f"New{title}Name") or parameters.get(f"{title}Name")
        path = parameters.get("NewPath") or "/"
        return [
            Check(
                action=f"iam:{request.operation}",
                resource=_arn(request, f"{kind}{path}{name}"),
                resource_account=request.account,
            )
        ]

    def _bad_boundary(self, request: AwsRequest) -> AwsError | None:
        arn = request.parameters.get("PermissionsBoundary")
        if not arn or self._store.managed_policy(str(arn)) is not None:
            return None
        message = f"Scope ARN: {arn} does not exist or is not attachable."
        return AwsError(code="NoSuchEntity", message=message, status=404)

    def _bad_codes(self, request: AwsRequest) -> AwsError | None:
        if request.operation not in ("EnableMFADevice", "ResyncMFADevice"):
            return None
        fault = enabling_fault(request, self._store)
        return (
            AwsError(code="InvalidAuthenticationCode", message=fault, status=403) if fault else None
        )

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
            case "AddClientIDToOpenIDConnectProvider" | "RemoveClientIDFromOpenIDConnectProvider":
                return partial(self._change_client_id, request)
            case "SimulatePrincipalPolicy":
                return partial(simulate_principal, self._store, self._organization, request)
            case "SimulateCustomPolicy":
                return partial(simulate_custom, request, caller)
        return None

    def _after(self, request: AwsRequest) -> Callable[[], None] | None:
        arn = request.parameters.get("PermissionsBoundary")
        if request.operation in ("CreateRole", "UpdateAssumeRolePolicy"):
            name = str(request.parameters["RoleName"])
            return partial(self._store.remember_principals, request.account, name)
        if request.operation != "CreateUser" or not arn:
            return None
        name = str(request.parameters["UserName"])

        def set_boundary() -> None:
            self._store.set_user_boundary(request.account, name, str(arn))

        return set_boundary

    def _prepare(
        self, request: AwsRequest
    ) -> Callable[[], Awaitable[Mapping[str, Any] | AwsError]] | None:
        """Return what takes the issuer's own thumbprint when the caller gives none.

        https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
        """
        parameters = request.parameters
        if request.operation != "CreateOpenIDConnectProvider" or parameters.get("ThumbprintList"):
            return None

        async def take_thumbprints() -> Mapping[str, Any] | AwsError:
            found = await self._issuers.thumbprints(str(parameters["Url"]))
            if not isinstance(found, Refusal):
                return {"ThumbprintList": list(found)}
            if "ThumbprintList" in parameters:
                return {}  # the caller wants none
            message = f"Unable to connect to the identity provider: {found.detail}"
            return AwsError(code="OpenIdIdpCommunicationError", message=message, status=400)

        return take_thumbprints

    def _change_client_id(self, request: AwsRequest) -> AwsResponse | AwsError:
        """Add or remove a client id: the emulator has neither operation."""
        arn = str(request.parameters["OpenIDConnectProviderArn"])
        client_id = str(request.parameters["ClientID"])
        added = request.operation.startswith("Add")
        if self._store.set_client_id(request.account, arn, client_id, registered=added):
            return AwsResponse()
        message = f"OpenIDConnect Provider not found for arn {arn}"
        return AwsError(code="NoSuchEntity", message=message, status=404)

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
        if value is not None and len(str(value)) > _LONGEST.get(member, 128):
            return _validation(f"The value for {member} is too long")
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


def _validation(message: str) -> AwsError:
    return AwsError(code="ValidationError", message=message, status=400)
