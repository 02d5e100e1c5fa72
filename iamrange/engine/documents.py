"""Canonical forms: two values that mean the same compare equal, however they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from iamrange.engine.properties import has_unknown

_ACCOUNT: Final = re.compile(r"\d{12}")
_LISTS: Final = ("Action", "NotAction", "Resource", "NotResource")


def as_text(document: Any) -> Any:  # noqa: ANN401 - a JSON text, the same as an object, or unknown
    """Return a document as JSON text; the SDK lets programs also give objects."""
    if isinstance(document, Mapping) and not has_unknown(document):
        return json.dumps(document)
    return document


def json_document(text: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON text's value; a text that is no JSON stands for itself."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def policy_document(text: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return an AWS policy with its equivalent spellings made one.

    A scalar is a list of one, order in a list means nothing, an account id as a principal is that
    account's root (IAM User Guide, "IAM JSON policy elements").
    """
    document = json_document(text)
    if not isinstance(document, Mapping):
        return document
    statements = document.get("Statement", [])
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list):
        return document
    return {**document, "Statement": [_statement(item) for item in statements]}


def _statement(statement: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(statement, Mapping):
        return statement
    result = {key: value for key, value in statement.items() if not (key == "Sid" and not value)}
    for key in _LISTS:
        if key in result:
            result[key] = unordered(_listed(result[key]))
    for key in ("Principal", "NotPrincipal"):
        principal = result.get(key)
        if isinstance(principal, Mapping):
            result[key] = {
                kind: unordered([_root(kind, name) for name in _listed(names)])
                for kind, names in principal.items()
            }
    condition = result.get("Condition")
    if isinstance(condition, Mapping):
        result["Condition"] = {
            operator: {key: unordered([_text(v) for v in _listed(vs)]) for key, vs in keys.items()}
            if isinstance(keys, Mapping)
            else keys
            for operator, keys in condition.items()
        }
    return result


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return value


def _root(kind: str, name: Any) -> Any:  # noqa: ANN401 - any JSON value
    if kind == "AWS" and isinstance(name, str) and _ACCOUNT.fullmatch(name):
        return f"arn:aws:iam::{name}:root"
    return name


def unordered(items: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a list in an order that does not depend on how it was written."""
    if not isinstance(items, list) or has_unknown(items):
        return items
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def member_document(key: str, *, policy: bool = True) -> Any:  # noqa: ANN401 - a canonical form
    """Return a form for an unordered list of objects whose member `key` is a document."""
    form = policy_document if policy else json_document

    def canonical(items: Any) -> Any:  # noqa: ANN401 - any JSON value
        if not isinstance(items, list):
            return items
        return unordered(
            [
                {**item, key: form(item[key])}
                if isinstance(item, Mapping) and key in item
                else item
                for item in items
            ]
        )

    return canonical


def trimmed(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return an object without its empty members, at every depth: absent and empty are one."""
    if isinstance(value, Mapping):
        members = {key: trimmed(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item not in (None, [], {}, "", False)}
    if isinstance(value, list):
        return [trimmed(item) for item in value]
    return value
