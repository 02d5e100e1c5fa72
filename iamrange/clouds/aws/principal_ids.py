"""The users and roles that a trust policy names, as the ones they were when it was written.

IAM keeps a named user or role by its unique id: one that is deleted and made anew under the same
name is somebody else, and not trusted.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def principals_named(document: str) -> frozenset[str]:
    """Return every AWS principal that a stored policy names."""
    return frozenset(
        member
        for element in _elements(json.loads(document))
        for member in _listed(element.get("AWS"))
        if isinstance(member, str)
    )


def with_ids(document: str, gone: Mapping[str, str]) -> str:
    """Return the policy with the ids of principals that are gone in place of their ARNs."""
    value = json.loads(document)
    for element in _elements(value):
        if "AWS" in element:
            element["AWS"] = [gone.get(member, member) for member in _listed(element["AWS"])]
    return json.dumps(value)


def _elements(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # any JSON value
    statements = value.get("Statement") if isinstance(value, dict) else None
    for statement in _listed(statements):
        for name in ("Principal", "NotPrincipal"):
            element = statement.get(name) if isinstance(statement, dict) else None
            if isinstance(element, dict):
                yield element


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # any JSON value
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
