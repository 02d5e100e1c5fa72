"""Where the engines read AWS differently: each reading is told by its statements, and written down.

`disagreements.md` has, under the same names, what the vendor's documentation says. A disagreement
is explained only if the engines agree as soon as the statements in question are taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.differential.cases import HOME, ROOT, SESSION, Case, Document

Reading = Callable[[Document, Case], bool]
_VARIABLE = re.compile(r"\$\{([^},]+)\}")
_INVERTED = ("StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike", "ArnNot")
_NEUTRAL: Document = {"Effect": "Deny", "Action": "iam:DeleteUser", "Resource": "*"}


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # JSON
    return value if isinstance(value, list) else [value]


def _unresolved(texts: Any, case: Case) -> bool:  # noqa: ANN401  # JSON
    known = {key.lower() for key in case.context}
    return any(
        name.lower() not in known for text in _listed(texts) for name in _VARIABLE.findall(text)
    )


def not_resource_without_a_value(statement: Document, case: Case) -> bool:
    """NotResource, in which a variable has no value."""
    beside = statement.get("NotResource")
    return beside is not None and _unresolved(beside, case)


def inverted_operator_on_a_variable_without_a_value(statement: Document, case: Case) -> bool:
    """A negated operator, whose value holds a variable that has none."""
    return any(
        operator.rpartition(":")[2].startswith(_INVERTED)
        and any(_unresolved(values, case) for values in keys.values())
        for operator, keys in statement.get("Condition", {}).items()
    )


def account_alone_in_not_principal(statement: Document, case: Case) -> bool:
    """Deny with NotPrincipal that lists the caller's account, and not all of the caller."""
    spared = _listed(statement.get("NotPrincipal", {}).get("AWS", []))
    if ROOT not in spared and HOME not in spared:
        return False
    needed = {case.principal} | (
        {case.context["aws:PrincipalArn"]} if case.principal == SESSION else set()
    )
    return not needed <= set(spared)


def network_of_the_other_family(statement: Document, case: Case) -> bool:
    """NotIpAddress, with a network of the other version of IP than the caller's address."""
    address = str(case.context.get("aws:SourceIp", ""))
    return any(
        operator.startswith("NotIpAddress")
        and any((":" in str(value)) is not (":" in address) for value in _listed(values))
        for operator, keys in statement.get("Condition", {}).items()
        for values in keys.values()
    )


def any_value_if_exists_of_an_absent_key(statement: Document, case: Case) -> bool:
    """ForAnyValue with IfExists, on a key that the request does not have."""
    return any(
        operator.startswith("ForAnyValue:")
        and operator.endswith("IfExists")
        and any(key not in case.context for key in keys)
        for operator, keys in statement.get("Condition", {}).items()
    )


READINGS: tuple[Reading, ...] = (
    not_resource_without_a_value,
    inverted_operator_on_a_variable_without_a_value,
    account_alone_in_not_principal,
    network_of_the_other_family,
    any_value_if_exists_of_an_absent_key,
)


def without(case: Case, reading: Reading) -> Case | None:
    """Return the case without the statements that are read differently; None if it has none."""
    found = False

    def strip(document: Document | None) -> Document | None:
        nonlocal found
        if document is None:
            return None
        kept = [one for one in document["Statement"] if not reading(one, case)]
        if len(kept) == len(document["Statement"]):
            return document
        found = True
        named = any({"Principal", "NotPrincipal"} & set(one) for one in document["Statement"])
        neutral = {**_NEUTRAL, **({"Principal": "*"} if named else {})}
        return {**document, "Statement": kept or [neutral]}

    def strip_all(documents: list[Document]) -> list[Document]:
        return [one for one in map(strip, documents) if one is not None]

    stripped = replace(
        case,
        identity=strip_all(case.identity),
        boundary=strip(case.boundary),
        session=strip(case.session),
        scps=strip_all(case.scps),
        rcps=strip_all(case.rcps),
        resource_policy=strip(case.resource_policy),
    )
    return stripped if found else None
