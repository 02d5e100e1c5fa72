"""Secrets Manager in permissions.

- A secret is authorised by its full ARN, however the caller named it.
- A secret under a customer managed key needs that key's permission too, asked by Secrets Manager
  in the caller's name. https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
- https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.actions import exists, takes_resource
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.partial import Part, Parts
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.public_policies import is_public
from iamrange.clouds.aws.resources import Resource, Resources, split, tag_map
from iamrange.clouds.aws.services.kms import key_checks
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.policy import CompiledPolicy

SERVICE = "secretsmanager"
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}\Z")
_WRITES_VALUE = frozenset({"CreateSecret", "UpdateSecret", "PutSecretValue"})
# The random suffix of a secret that is not there yet: `name-??????` and `name-*` match it.
_SUFFIX = "-??????"


def _policy(document: str | None, arn: str) -> CompiledPolicy | None:
    return compiled(document, PolicyKind.RESOURCE, arn) if document else None


class SecretsManagerPlanner:
    """What each operation of Secrets Manager needs."""

    def __init__(self, resources: Resources) -> None:
        """Take where secrets and keys are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        action = f"{SERVICE}:{request.operation}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        parameters = request.parameters
        if request.operation == "RotateSecret" and parameters.get("RotationLambdaARN"):
            return Unmapped("rotation would run a function's code")
        if request.operation == "CreateSecret":
            return self._create(request)
        if request.operation == "BatchGetSecretValue":
            return self._batch(request)
        if not takes_resource(action):
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        secret_id = parameters.get("SecretId")
        if not isinstance(secret_id, str) or not secret_id:
            return Unmapped("no SecretId")
        secret = self._resources.secret(request.account, request.region, secret_id)
        if secret is None:
            return self._absent(request, secret_id)
        checks = [self._check(request, secret)]
        checks += self._implied(request, secret)
        return Plan(
            checks=tuple(checks),
            account=secret.account,
            overrides={"SecretId": secret.arn},
            instead=_refused(request) or self._sealed(request, secret),
        )

    def _sealed(self, request: AwsRequest, secret: Resource) -> AwsError | None:
        """Refuse to open a secret whose key is disabled: the emulator would."""
        if not request.operation.endswith("GetSecretValue") or not secret.kms_key:
            return None
        key = self._resources.key(secret.account, request.region, secret.kms_key)
        if key is None or key.state == "Enabled":
            return None
        return AwsError(
            code="DecryptionFailure",
            message="Secrets Manager can't decrypt the protected secret text using the provided "
            f"KMS key: {key.arn} is {key.state}.",
            status=400,
        )

    def _check(self, request: AwsRequest, secret: Resource, action: str = "") -> Check:
        return Check(
            action=action or f"{SERVICE}:{request.operation}",
            resource=secret.arn,
            resource_account=secret.account,
            context=_context(request, secret.tags),
            resource_policy=_policy(secret.policy, secret.arn),
            resource_tags=secret.tags,
        )

    def _absent(self, request: AwsRequest, secret_id: str) -> Plan:
        named = split(secret_id)
        account = named[2] if named else request.account
        arn = secret_id if named else _arn(request, secret_id)
        check = Check(
            action=f"{SERVICE}:{request.operation}",
            resource=arn,
            resource_account=account,
            context=_context(request, {}),
        )
        missing = AwsError(
            code="ResourceNotFoundException",
            message="Secrets Manager can't find the specified secret.",
            status=400,
        )
        return Plan(checks=(check,), account=request.account, instead=missing)

    def _create(self, request: AwsRequest) -> Plan:
        parameters = request.parameters
        name = str(parameters["Name"])
        resource = _arn(request, name) + _SUFFIX
        tags = tag_map(parameters.get("Tags"))
        create = Check(
            action=f"{SERVICE}:CreateSecret",
            resource=resource,
            resource_account=request.account,
            context=_context(request, {}) | request_tags(tags),
        )
        checks = [create]
        if tags:
            # Tags at creation are a second permission.
            # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
            context = request_tags(tags) | {"aws:ResourceTag/" + k: v for k, v in tags.items()}
            tag = Check(
                action=f"{SERVICE}:TagResource",
                resource=resource,
                resource_account=request.account,
                context=context,
            )
            checks.append(tag)
        key = parameters.get("KmsKeyId")
        if key:
            checks += key_checks(
                self._resources, request, str(key), ("GenerateDataKey", "Decrypt"), via=SERVICE
            )
        return Plan(checks=tuple(checks), account=request.account, instead=_bad_name(name))

    def _batch(self, request: AwsRequest) -> Plan | Unmapped:
        """Plan BatchGetSecretValue: secrets that are refused or absent are listed as errors."""
        names = [str(name) for name in request.parameters.get("SecretIdList") or ()]
        filters = request.parameters.get("Filters")
        if bool(names) == bool(filters):
            return Unmapped("BatchGetSecretValue takes either a list or filters")
        account = request.account
        actions = ["BatchGetSecretValue"]
        if filters:
            # To filter is to list (API_BatchGetSecretValue, "Required permissions").
            actions.append("ListSecrets")
            names = self._resources.secret_arns(account, request.region, filters)
        checks = tuple(
            Check(action=f"{SERVICE}:{action}", resource="*", resource_account=account)
            for action in actions
        )
        members = tuple(self._batch_part(request, name) for name in dict.fromkeys(names))
        parts = Parts(members=members, narrow=_batch_of, report=_batch_error)
        return Plan(checks=checks, account=account, parts=parts)

    def _batch_part(self, request: AwsRequest, name: str) -> Part:
        secret = self._resources.secret(request.account, request.region, name)
        if secret is None:
            absent = self._absent(request, name)
            return Part(
                content=name,
                checks=tuple(
                    replace(check, action=f"{SERVICE}:GetSecretValue") for check in absent.checks
                ),
                missing=absent.instead,
            )
        foreign = AwsError(
            code="ResourceNotFoundException",
            message="iamrange reads secrets of another account one at a time.",
            status=400,
        )
        return Part(
            content=secret.arn,
            checks=(
                self._check(request, secret, f"{SERVICE}:GetSecretValue"),
                *self._implied(request, secret),
            ),
            missing=self._sealed(request, secret) if secret.account == request.account else foreign,
        )

    def _implied(self, request: AwsRequest, secret: Resource) -> tuple[Check, ...]:
        operation = request.operation
        key = str(request.parameters.get("KmsKeyId") or secret.kms_key or "")
        if not key:
            return ()
        needs: tuple[str, ...] = ()
        if operation in ("GetSecretValue", "BatchGetSecretValue"):
            needs = ("Decrypt",)
        elif operation in _WRITES_VALUE:
            needs = ("GenerateDataKey", "Decrypt")
        return key_checks(
            self._resources,
            request,
            key,
            needs,
            via=SERVICE,
            owner=secret.account,
            encryption_context_values={"SecretARN": secret.arn},
        )


def _batch_of(kept: Sequence[Part]) -> Mapping[str, Any]:
    return {"SecretIdList": [part.content for part in kept], "Filters": None, "MaxResults": None}


def _batch_error(part: Part, error: AwsError) -> Mapping[str, Any]:
    return {"SecretId": part.content, "ErrorCode": error.code, "Message": error.message}


def _arn(request: AwsRequest, name: str) -> str:
    return f"arn:aws:{SERVICE}:{request.region}:{request.account}:secret:{name}"


def _context(request: AwsRequest, tags: Mapping[str, str]) -> Context:
    parameters = request.parameters
    context: Context = {f"{SERVICE}:ResourceTag/{key}": value for key, value in tags.items()}
    if request.operation != "CreateSecret":
        # Replicas are not kept here: a secret's region is its primary one.
        context[f"{SERVICE}:SecretPrimaryRegion"] = request.region
    for key, member in (
        ("SecretId", "SecretId"),
        ("VersionId", "VersionId"),
        ("VersionStage", "VersionStage"),
        ("Name", "Name"),
        ("Description", "Description"),
        ("KmsKeyId", "KmsKeyId"),
        ("RotationLambdaARN", "RotationLambdaARN"),
        ("RecoveryWindowInDays", "RecoveryWindowInDays"),
    ):
        if parameters.get(member) is not None:
            context[f"{SERVICE}:{key}"] = str(parameters[member])
    for key, member in (
        ("ForceDeleteWithoutRecovery", "ForceDeleteWithoutRecovery"),
        ("BlockPublicPolicy", "BlockPublicPolicy"),
    ):
        if parameters.get(member) is not None:
            context[f"{SERVICE}:{key}"] = "true" if parameters[member] else "false"
    if request.operation == "TagResource":
        context |= request_tags(tag_map(parameters.get("Tags")))
    if request.operation == "UntagResource":
        context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    return context


def _bad_name(name: str) -> AwsError | None:
    if _NAME.match(name):
        return None
    return AwsError(
        code="ValidationException",
        message="Invalid name. Must be a valid name containing alphanumeric characters, or any of "
        "the following: -/_+=.@!",
        status=400,
    )


def _refused(request: AwsRequest) -> AwsError | None:
    """Refuse a resource policy that is no policy, or public against the caller's word."""
    if request.operation not in ("PutResourcePolicy", "ValidateResourcePolicy"):
        return None
    document: Any = request.parameters.get("ResourcePolicy")
    try:
        compiled(str(document), PolicyKind.RESOURCE, "resource-policy")
    except MalformedPolicy as error:
        return AwsError(code="MalformedPolicyDocumentException", message=str(error), status=400)
    if request.parameters.get("BlockPublicPolicy") and is_public(str(document)):
        message = "This resource policy allows broad access and BlockPublicPolicy is set."
        return AwsError(code="PublicPolicyException", message=message, status=400)
    return None
