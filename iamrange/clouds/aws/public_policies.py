"""Whether a resource's policy lets the public in, as the guards over public policies ask.

A policy is public when a statement allows everyone and no condition pins who or from where.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.documents import parse_document
from iamrange.clouds.aws.policy import PolicyKind

if TYPE_CHECKING:
    from iamrange.clouds.aws.documents import ParsedCondition, ParsedStatement

_PINNING_KEYS = frozenset(
    [
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceorgid",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "kms:calleraccount",
    ]
)
_PINNING_OPERATORS = frozenset(
    ["StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "IpAddress"]
)
_EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})


def is_public(document: str) -> bool:
    """Tell whether a policy that was found well-formed is public.

    Raises:
        MalformedPolicy: the document is no policy of a resource.
    """
    return any(_lets_anyone_in(s) for s in parse_document(document, PolicyKind.RESOURCE).statements)


def _lets_anyone_in(statement: ParsedStatement) -> bool:
    principal = statement.principal
    everyone = principal is not None and (principal.everyone or principal.aws_everyone)
    return statement.allow and everyone and not any(_pins(c) for c in statement.conditions)


def _pins(condition: ParsedCondition) -> bool:
    operator = condition.operator.removeprefix("ForAnyValue:")
    if operator not in _PINNING_OPERATORS or condition.key.lower() not in _PINNING_KEYS:
        return False
    wild = any("*" in v or "?" in v or "${" in v or v in _EVERYWHERE for v in condition.values)
    return bool(condition.values) and not wild
