"""Calls of AWS that a text asks for in words: by ARN, by operation, by what is wanted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scenarios.support_llm_blocks import aws
from scenarios.support_llm_tokens import AWS_SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.support_llm_calls import ToolCall
    from scenarios.support_llm_tokens import Token

_CAMEL = re.compile(
    r"\b((?:Get|List|Describe|Put|Create|Delete|Update|Assume|Scan|Query|Invoke|Decrypt|Encrypt|"
    r"Attach|Detach|Stop|Start|Publish|Send)[A-Z]\w{2,60}|Scan|Query|Decrypt|Encrypt|Invoke)\b"
)
_SNAKE = re.compile(
    r"\b((?:get|list|describe|put|create|delete|update|assume|attach|detach|stop|start)"
    r"(?:_[a-z0-9]{1,30}){1,6})\b"
)
_PAIR = re.compile(r"\b([A-Z][A-Za-z]{2,40})\s{0,2}[=:]\s{0,2}[\"']?([\w/+=.@:-]{1,400})")
_SECRET = re.compile(
    r"\bsecret(?:\s+(?:named|called|with\s+(?:the\s+)?(?:id|name)|id))?\s{0,3}[\"']?"
    r"([A-Za-z0-9][\w/+=.@-]*[/_\d-][\w/+=.@-]*|(?<=[\"'])[\w/+=.@-]{2,200})",
    re.IGNORECASE,
)
_TABLE = re.compile(
    r"\btable\s+(?:named\s+|called\s+)?[\"']?([A-Za-z][\w.-]{2,200})", re.IGNORECASE
)
_ITS_TABLE = re.compile(r"([A-Za-z][\w.-]{2,200})[\"']?\s+table\b", re.IGNORECASE)
_LISTED = {
    "buckets": ("s3", "list_buckets"),
    "secrets": ("secretsmanager", "list_secrets"),
    "users": ("iam", "list_users"),
    "roles": ("iam", "list_roles"),
    "tables": ("dynamodb", "list_tables"),
    "functions": ("lambda", "list_functions"),
    "keys": ("kms", "list_keys"),
    "queues": ("sqs", "list_queues"),
    "topics": ("sns", "list_topics"),
}
_SPOKEN = {"secrets manager": "secretsmanager", "parameter store": "ssm", "security token": "sts"}


def of_arn(name: str, *, assume: bool = False) -> ToolCall | None:
    """Return the call that reads what an ARN or an s3 address names, or None."""
    if name.lower().startswith("s3://"):
        return _object(name[5:])
    parts = name.split(":", 5)
    if len(parts) != 6:  # noqa: PLR2004 - arn:partition:service:region:account:resource
        return None
    service, resource = parts[2], parts[5]
    kind, _, rest = resource.partition("/")
    if service == "iam" and kind == "role":
        if assume:
            parameters = {"RoleArn": name, "RoleSessionName": "support"}
            return aws("sts", "assume_role", parameters)
        return aws("iam", "get_role", {"RoleName": rest.rpartition("/")[2]})
    if service == "s3":
        return _object(resource)
    by_service: dict[str, tuple[str, dict[str, Any]]] = {
        "secretsmanager": ("get_secret_value", {"SecretId": name}),
        "dynamodb": ("scan", {"TableName": rest}),
        "ssm": ("get_parameter", {"Name": f"/{rest}", "WithDecryption": True}),
        "kms": ("describe_key", {"KeyId": name}),
        "lambda": ("invoke", {"FunctionName": name}),
    }
    if service not in by_service:
        return None
    return aws(service, *by_service[service])


def _object(place: str) -> ToolCall | None:
    bucket, _, key = place.partition("/")
    if not bucket:
        return None
    if key and key != "*":
        return aws("s3", "get_object", {"Bucket": bucket, "Key": key})
    return aws("s3", "list_objects_v2", {"Bucket": bucket})


def of_sentence(text: str, spoken: Sequence[Token]) -> list[ToolCall]:
    """Return the calls of AWS that an order's sentence describes."""
    low = text.lower()
    named = {token.raw.partition(":")[0]: token for token in spoken if token.kind == "iam"}
    pairs: dict[str, Any] = dict(_PAIR.findall(text))
    if named:
        return [
            aws(service, token.raw.partition(":")[2], pairs, text)
            for service, token in named.items()
        ]
    service = next((one for said, one in _SPOKEN.items() if said in low), "") or next(
        (token.low for token in spoken if token.low in AWS_SERVICES), ""
    )
    operation = _CAMEL.search(text) or _SNAKE.search(text)
    table = _TABLE.search(text) or _ITS_TABLE.search(text)
    if operation and operation.group(1).lower() in {"scan", "query"} and table and not pairs:
        pairs = {"TableName": table.group(1)}
    if service and operation:
        return [aws(service, operation.group(1), pairs, text)]
    if not service and "aws" not in low:
        return []
    secret = _SECRET.search(text)
    if secret:
        return [aws("secretsmanager", "get_secret_value", {"SecretId": secret.group(1)}, text)]
    if table and "dynamodb" in low:
        return [aws("dynamodb", "scan", {"TableName": table.group(1)}, text)]
    for token in spoken:
        if token.low in _LISTED:
            return [aws(*_LISTED[token.low], {}, text)]
    return []
