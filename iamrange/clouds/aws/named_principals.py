"""The users and roles that a resource's policy names: they must be there when it is written.

- AWS stores a named user or role by its unique id. One that is not there cannot be stored, and one
  that is made anew under an old name is not the one that was named.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
- Only accounts of this cloud can be told; others are taken at their word.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.aws.model import AwsError
from iamrange.clouds.aws.principal_ids import principals_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest, IamStore
    from iamrange.clouds.aws.request import Principal

_ENTITY: Final = re.compile(r"arn:aws:iam::(\d{12}):(?:user|role)/.+", re.ASCII)

# Where an operation carries a resource's policy, as a path through its parameters.
_WRITES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("dynamodb", "CreateTable"): ("ResourcePolicy",),
    ("dynamodb", "PutResourcePolicy"): ("Policy",),
    ("ecr", "SetRepositoryPolicy"): ("policyText",),
    ("events", "PutPermission"): ("Policy",),
    ("kms", "CreateKey"): ("Policy",),
    ("kms", "PutKeyPolicy"): ("Policy",),
    ("logs", "PutResourcePolicy"): ("policyDocument",),
    ("s3", "PutBucketPolicy"): ("Policy",),
    ("secretsmanager", "PutResourcePolicy"): ("ResourcePolicy",),
    ("sns", "CreateTopic"): ("Attributes", "Policy"),
    ("sns", "SetTopicAttributes"): ("AttributeValue",),
    ("sqs", "CreateQueue"): ("Attributes", "Policy"),
    ("sqs", "SetQueueAttributes"): ("Attributes", "Policy"),
}
# How the services say it.
_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "dynamodb": ("ValidationException", "Invalid policy document: Invalid principal in policy"),
    "ecr": ("InvalidParameterException", "Invalid repository policy provided"),
    "events": ("ValidationException", "Invalid principal in policy"),
    "kms": (
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
    ),
    "logs": ("InvalidParameterException", "Invalid principal in policy"),
    "s3": ("MalformedPolicy", "Invalid principal in policy"),
    "secretsmanager": (
        "MalformedPolicyDocumentException",
        "This resource policy contains an unsupported principal.",
    ),
    "sns": ("InvalidParameter", "Invalid parameter: Policy statement principal is invalid"),
    "sqs": ("InvalidAttributeValue", "Invalid value for the parameter Policy."),
}


def written_policy(request: AwsRequest) -> str | None:
    """Return the resource policy that a call writes; None if it writes none."""
    return _written(request) or None


def _written(request: AwsRequest) -> str | None:
    """Return what stands in a policy's place, "" too."""
    path = _WRITES.get((request.service, request.operation))
    if path is None or request.parameters.get("AttributeName", "Policy") != "Policy":
        return None
    value: Any = request.parameters
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return None if value is None else str(value)


def _no_topic_policy(request: AwsRequest) -> bool:
    """Tell whether a topic is given something for a policy that is none: stores break on it."""
    text = _written(request) if request.service == "sns" else None
    if text is None:
        return False
    try:
        return not isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return True


@dataclass(frozen=True, slots=True)
class NamedPrincipals:
    """Knows whom policies meant when they were written."""

    store: IamStore
    _meant: dict[str, dict[str, str]] = field(default_factory=dict)

    def fault(self, document: str) -> str | None:
        """Return a principal that a document names and that is not there."""
        return next((p for p in sorted(principals_named(document)) if self._absent(p)), None)

    def _absent(self, principal: str) -> bool:
        entity = _ENTITY.fullmatch(principal)
        if entity is None:
            return False
        here = entity[1] in self.store.accounts()
        return here and self.store.unique_id(principal) is None

    def refusal(self, request: AwsRequest) -> AwsError | None:
        """Refuse a call that writes a policy for somebody who is not there, or none at all."""
        if _no_topic_policy(request):
            message = "Invalid parameter: Policy Error: null"
            return AwsError(code="InvalidParameter", message=message, status=400)
        document = written_policy(request)
        if document is None or self.fault(document) is None:
            return None
        code, message = _ERRORS[request.service]
        return AwsError(code=code, message=message, status=400)

    def remember(self, request: AwsRequest, resource: str) -> None:
        """Keep whom the policy just written on a resource means."""
        document = written_policy(request)
        if document is None:
            return
        ids = ((arn, self.store.unique_id(arn)) for arn in principals_named(document))
        self._meant[resource] = {arn: ident for arn, ident in ids if ident is not None}

    def somebody_else(self, resource: str, principal: Principal) -> bool:
        """Tell whether a resource's policy meant an earlier bearer of the principal's name."""
        meant = self._meant.get(resource)
        if not meant:
            return False
        arn = principal.role_arn or principal.user_arn or principal.arn
        return arn in meant and meant[arn] != self.store.unique_id(arn)
