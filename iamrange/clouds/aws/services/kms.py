"""KMS in permissions.

- A key is authorised by its ARN, whether it was named by id, ARN, alias or alias ARN, or only by
  what it encrypted.
- A key's policy must allow; the default one hands that to the account's IAM policies. A grant
  allows by itself (`kms_grants`).
- https://docs.aws.amazon.com/kms/latest/developerguide/control-access.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.actions import exists, takes_resource
from iamrange.clouds.aws.context import Context, request_tags, tag_keys
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.resources import Key, split, tag_map
from iamrange.clouds.aws.services.kms_grants import bad_grant, grants_on
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.policy import CompiledPolicy
    from iamrange.clouds.aws.resources import Resources

# Operations that use the key's material: a disabled key cannot.
_USES = frozenset(
    [
        "Encrypt",
        "Decrypt",
        "ReEncrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "Sign",
        "Verify",
        "GenerateMac",
        "VerifyMac",
        "DeriveSharedSecret",
    ]
)
_VALUES = {
    "KeySpec": "kms:KeySpec",
    "CustomerMasterKeySpec": "kms:KeySpec",
    "KeyUsage": "kms:KeyUsage",
    "Origin": "kms:KeyOrigin",
    "EncryptionAlgorithm": "kms:EncryptionAlgorithm",
    "SigningAlgorithm": "kms:SigningAlgorithm",
    "MacAlgorithm": "kms:MacAlgorithm",
    "MessageType": "kms:MessageType",
    "KeyPairSpec": "kms:DataKeyPairSpec",
    "GranteePrincipal": "kms:GranteePrincipal",
    "RetiringPrincipal": "kms:RetiringPrincipal",
    "PendingWindowInDays": "kms:ScheduleKeyDeletionPendingWindowInDays",
    "ReplicaRegion": "kms:ReplicaRegion",
}


def encryption_context(values: Mapping[str, str] | None) -> Context:
    """Return the keys that an encryption context makes; none when there is no context."""
    if not values:
        return {}
    context: Context = {f"kms:EncryptionContext:{k}": str(v) for k, v in values.items()}
    context["kms:EncryptionContextKeys"] = tuple(values)
    return context


# What a new key is when the request does not say (API_CreateKey).
_DEFAULT_KEY: Context = {
    "kms:KeySpec": "SYMMETRIC_DEFAULT",
    "kms:KeyUsage": "ENCRYPT_DECRYPT",
    "kms:KeyOrigin": "AWS_KMS",
}


def key_policy(key: Key) -> CompiledPolicy | None:
    """Return a key's policy."""
    return compiled(key.policy, PolicyKind.RESOURCE, key.arn) if key.policy is not None else None


def key_context(key: Key) -> Context:
    """Return the keys that a KMS key brings into a request by itself."""
    context: Context = {
        "kms:KeySpec": key.spec,
        "kms:KeyUsage": key.usage,
        "kms:KeyOrigin": key.origin,
        "kms:MultiRegion": "true" if key.multi_region else "false",
    }
    if key.aliases:
        context["kms:ResourceAliases"] = key.aliases
    return context


def key_checks(  # noqa: PLR0913 - one implied use of a key
    resources: Resources,
    request: AwsRequest,
    key_id: str,
    actions: tuple[str, ...],
    *,
    via: str | None = None,
    owner: str | None = None,
    encryption_context_values: Mapping[str, str] | None = None,
) -> tuple[Check, ...]:
    """Return the checks for a service's use of a key in the caller's name.

    AWS's own keys (`alias/aws/...`) need no permission of the caller's. A key that is not there
    is checked all the same: nothing allows it, so that the use is refused.
    """
    account = owner or request.account
    key = resources.key(account, request.region, key_id)
    if not actions or _is_aws_managed(key_id, key):
        return ()
    context = encryption_context(encryption_context_values)
    context["kms:CallerAccount"] = request.account
    if via is not None:
        context["kms:ViaService"] = f"{via}.{request.region}.amazonaws.com"
    if key is not None:
        context |= key_context(key)
    return tuple(
        Check(
            action=f"kms:{action}",
            resource=key.arn if key else key_id,
            resource_account=key.account if key else account,
            context=context,
            resource_policy=key_policy(key) if key else None,
            grants=grants_on(key) if key else None,
            resource_tags=key.tags if key else None,
            via=via,
        )
        for action in actions
    )


def _is_aws_managed(key_id: str, key: Key | None) -> bool:
    aliases = (key_id, *(key.aliases if key else ()))
    return any(a.rpartition(":")[2].startswith("alias/aws/") for a in aliases)


class KmsPlanner:
    """What each operation of KMS needs."""

    def __init__(self, resources: Resources) -> None:
        """Take where keys are looked up."""
        self._resources = resources

    def __call__(self, request: AwsRequest, _caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation = request.operation
        action = f"kms:{operation}"
        if operation == "ReEncrypt":
            return self._re_encrypt(request)
        if not exists(action):
            return Unmapped("no such action", whole=True)
        if operation == "CreateKey":
            return self._create_key(request)
        if operation in ("CreateAlias", "UpdateAlias", "DeleteAlias"):
            return self._alias(request)
        if not takes_resource(action):
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        key = self._key(request)
        if not isinstance(key, Key):
            return key
        return Plan(
            checks=(self._check(request, key, action),),
            account=key.account,
            overrides={"KeyId": key.id} if request.parameters.get("KeyId") else {},
            instead=_out_of_service(operation, key) or _bad_policy(request) or bad_grant(request),
        )

    def _key(self, request: AwsRequest) -> Key | Plan | Unmapped:
        """Find the key that a call is about: the one named, or the one that sealed a text."""
        named = request.parameters.get("KeyId")
        if request.operation == "Decrypt":
            sealed = request.parameters.get("CiphertextBlob")
            key = self._resources.sealing_key(request.region, sealed)
            if key is None:
                return self._absent(request, str(named or "*"), "InvalidCiphertextException")
            stated = self._named(request, str(named)) if named else key
            if stated is None or stated.arn != key.arn:
                return self._absent(request, str(named), "IncorrectKeyException")
            return key
        if not isinstance(named, str) or not named:
            return Unmapped("no key is named")
        return self._named(request, named) or self._absent(request, named, "NotFoundException")

    def _named(self, request: AwsRequest, key_id: str) -> Key | None:
        return self._resources.key(request.account, request.region, key_id)

    def _check(self, request: AwsRequest, key: Key, action: str) -> Check:
        return Check(
            action=action,
            resource=key.arn,
            resource_account=key.account,
            context=key_context(key) | _context(request),
            resource_policy=key_policy(key),
            grants=grants_on(key),
            resource_tags=key.tags,
        )

    def _absent(self, request: AwsRequest, named: str, code: str) -> Plan:
        start = f"arn:aws:kms:{request.region}:{request.account}:"
        place = named if named.startswith("alias/") else f"key/{named}"
        arn = named if split(named) or named == "*" else f"{start}{place}"
        found = split(arn)
        check = Check(
            action=f"kms:{request.operation}",
            resource=arn,
            resource_account=found[2] if found else request.account,
            context=_context(request),
        )
        message = f"Key '{arn}' does not exist" if code == "NotFoundException" else ""
        error = AwsError(code=code, message=message, status=400)
        return Plan(checks=(check,), account=request.account, instead=error)

    def _create_key(self, request: AwsRequest) -> Plan:
        tags = tag_map(request.parameters.get("Tags"))
        multi_region = "true" if request.parameters.get("MultiRegion") else "false"
        context = _DEFAULT_KEY | _context(request) | {"kms:MultiRegion": multi_region}
        actions = ["kms:CreateKey", *(["kms:TagResource"] if tags else [])]
        checks = tuple(
            Check(
                action=action,
                resource="*",
                resource_account=request.account,
                context=context,
            )
            for action in actions
        )
        return Plan(checks=checks, account=request.account, instead=_bad_policy(request))

    def _alias(self, request: AwsRequest) -> Plan | Unmapped:
        name = str(request.parameters.get("AliasName"))
        alias = f"arn:aws:kms:{request.region}:{request.account}:{name}"
        action = f"kms:{request.operation}"
        checks = [
            Check(
                action=action,
                resource=alias,
                resource_account=request.account,
                context=_context(request),
            )
        ]
        named = [request.parameters.get("TargetKeyId")]
        if request.operation != "CreateAlias":
            named.append(name)
        overrides = {}
        for key_id in named:
            if key_id is None:
                continue
            key = self._named(request, str(key_id))
            if key is None or key.account != request.account:
                return self._absent(request, str(key_id), "NotFoundException")
            checks.append(self._check(request, key, action))
            if key_id == request.parameters.get("TargetKeyId"):
                overrides["TargetKeyId"] = key.id
        return Plan(checks=tuple(checks), account=request.account, overrides=overrides)

    def _re_encrypt(self, request: AwsRequest) -> Plan | Unmapped:
        parameters = request.parameters
        source = self._resources.sealing_key(request.region, parameters.get("CiphertextBlob"))
        target = self._named(request, str(parameters.get("DestinationKeyId")))
        if source is None or target is None or source.account != target.account:
            return Unmapped("ReEncrypt of keys that are not there, or of two accounts")
        same = "true" if source.arn == target.arn else "false"
        checks = []
        for key, action, member in (
            (source, "kms:ReEncryptFrom", "SourceEncryptionContext"),
            (target, "kms:ReEncryptTo", "DestinationEncryptionContext"),
        ):
            context = key_context(key) | _context(request)
            context |= encryption_context(parameters.get(member))
            context["kms:ReEncryptOnSameKey"] = same
            checks.append(
                Check(
                    action=action,
                    resource=key.arn,
                    resource_account=key.account,
                    context=context,
                    resource_policy=key_policy(key),
                    grants=grants_on(key),
                    resource_tags=key.tags,
                )
            )
        return Plan(
            checks=tuple(checks),
            account=target.account,
            overrides={"DestinationKeyId": target.id, "SourceKeyId": source.id},
            instead=_out_of_service("ReEncrypt", source) or _out_of_service("ReEncrypt", target),
        )


def _context(request: AwsRequest) -> Context:
    parameters = request.parameters
    context = encryption_context(parameters.get("EncryptionContext"))
    context["kms:CallerAccount"] = request.account
    for member, key in _VALUES.items():
        if parameters.get(member) is not None:
            context[key] = str(parameters[member])
    named = parameters.get("KeyId")
    if isinstance(named, str) and "alias/" in named:
        context["kms:RequestAlias"] = "alias/" + named.split("alias/", 1)[1]
    if parameters.get("Operations"):
        context["kms:GrantOperations"] = tuple(str(name) for name in parameters["Operations"])
    if parameters.get("Constraints"):
        context["kms:GrantConstraintType"] = next(iter(parameters["Constraints"]))
    if parameters.get("BypassPolicyLockoutSafetyCheck") is not None:
        bypass = parameters["BypassPolicyLockoutSafetyCheck"]
        context["kms:BypassPolicyLockoutSafetyCheck"] = "true" if bypass else "false"
    context |= request_tags(tag_map(parameters.get("Tags")))
    context |= tag_keys([str(key) for key in parameters.get("TagKeys") or ()])
    return context


def _out_of_service(operation: str, key: Key) -> AwsError | None:
    if operation not in _USES or key.state == "Enabled":
        return None
    if key.state == "Disabled":
        return AwsError(code="DisabledException", message=f"{key.arn} is disabled.", status=400)
    message = f"{key.arn} is pending deletion."
    return AwsError(code="KMSInvalidStateException", message=message, status=400)


def _bad_policy(request: AwsRequest) -> AwsError | None:
    document = request.parameters.get("Policy")
    if document is None or request.operation not in ("CreateKey", "PutKeyPolicy"):
        return None
    try:
        compiled(str(document), PolicyKind.RESOURCE, "key-policy")
    except MalformedPolicy as error:
        return AwsError(code="MalformedPolicyDocumentException", message=str(error), status=400)
    return None
