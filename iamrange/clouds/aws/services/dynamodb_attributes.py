"""Which attributes a call on DynamoDB names: the values of `dynamodb:Attributes` and `Select`.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.clouds.aws.context import Context

_EXPRESSIONS = (
    "ProjectionExpression",
    "FilterExpression",
    "ConditionExpression",
    "UpdateExpression",
    "KeyConditionExpression",
)
_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "between",
        "in",
        "set",
        "remove",
        "add",
        "delete",
        "attribute_exists",
        "attribute_not_exists",
        "attribute_type",
        "begins_with",
        "contains",
        "size",
        "if_not_exists",
        "list_append",
    ]
)
_TOKEN = re.compile(r"(?<![\w:#.\]])(#?[A-Za-z_][\w-]*)")


def attribute_names(part: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the top-level attributes that a request names."""
    aliases: Mapping[str, str] = part.get("ExpressionAttributeNames") or {}
    names = [name for item in items for name in item]
    names += [str(name) for name in part.get("AttributesToGet") or ()]
    for member in ("KeyConditions", "QueryFilter", "ScanFilter", "Expected", "AttributeUpdates"):
        names += list(part.get(member) or ())
    for member in _EXPRESSIONS:
        for token in _TOKEN.findall(str(part.get(member) or "")):
            if token.lower() not in _WORDS:
                names.append(aliases.get(token, token))
    return tuple(dict.fromkeys(names))


def selected(parameters: Mapping[str, Any]) -> Context:
    """Return `dynamodb:Select`, as a read asks for it or by its default."""
    if parameters.get("Select"):
        return {"dynamodb:Select": str(parameters["Select"])}
    if parameters.get("ProjectionExpression") or parameters.get("AttributesToGet"):
        return {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    default = "ALL_PROJECTED_ATTRIBUTES" if parameters.get("IndexName") else "ALL_ATTRIBUTES"
    return {"dynamodb:Select": default}
