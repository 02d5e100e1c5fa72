"""Contexts under which statements' conditions hold: what it takes to ask whether one can allow.

- A witness is a guess that is then decided on: one that does not hold proves nothing, and a grant
  without a witness is said to be undecided, never to be absent.
- Only the caller's own choices and facts of the request are filled in. What the estate knows (tags,
  accounts, the organisation) stays as it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from iamrange.clouds.aws.conditions import FOR_ALL, FOR_ANY, IF_EXISTS, NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from iamrange.clouds.aws.documents import ParsedCondition, ParsedStatement
    from iamrange.credentials.privileges.estate import Context

_VARIABLE = re.compile(r"\$\{\s*([^},\s]+)\s*(?:,\s*'([^']*)'\s*)?\}")
_FIXED = ("aws:principal", "aws:resource", "aws:userid", "aws:username", "aws:sourceip")
"""Beginnings of keys that say who and what it is: nobody chooses them."""


def witnesses(
    statements: Iterable[ParsedStatement], known: Mapping[str, str | Sequence[str]]
) -> Iterator[Context]:
    """Yield contexts to try, the empty one first, then one for each statement's conditions."""
    yield {}
    for statement in statements:
        if statement.conditions:
            yield context_for(statement.conditions, known)


def context_for(
    conditions: Iterable[ParsedCondition], known: Mapping[str, str | Sequence[str]]
) -> Context:
    """Return keys with values that should meet the conditions, beside what is known."""
    lowered = {key.lower(): value for key, value in known.items()}
    chosen: Context = {}
    for condition in conditions:
        key = condition.key.lower()
        if key in lowered or key.startswith(_FIXED) or key in {k.lower() for k in chosen}:
            continue
        value = _value(condition, lowered)
        if value is not None:
            chosen[condition.key] = value
    return chosen


def _value(
    condition: ParsedCondition, known: Mapping[str, str | Sequence[str]]
) -> str | tuple[str, ...] | None:
    """Return a value that meets one condition; None where the key is best left away."""
    qualifier, colon, name = condition.operator.rpartition(":")
    if_exists = name.endswith(IF_EXISTS)
    name = name.removesuffix(IF_EXISTS)
    if not condition.values:
        return None
    if name == NULL:
        return "present" if condition.values[0].lower() == "false" else None
    chooser = _CHOOSERS.get(name)
    if chooser is None or if_exists:
        return None
    value = chooser(_resolved(condition.values[0], known))
    if value is None:
        return None
    return (value,) if colon and qualifier in (FOR_ALL, FOR_ANY) else value


def _resolved(text: str, known: Mapping[str, str | Sequence[str]]) -> str:
    def value(found: re.Match[str]) -> str:
        stands = known.get(found[1].lower())
        return stands if isinstance(stands, str) else found[2] or found[0]

    return _VARIABLE.sub(value, text)


def _filled(pattern: str) -> str:
    return pattern.replace("*", "x").replace("?", "x")


def _number(by: float) -> Callable[[str], str | None]:
    def choose(text: str) -> str | None:
        try:
            return f"{float(text) + by:g}"
        except ValueError:
            return None

    return choose


def _moment(by: float) -> Callable[[str], str | None]:
    def choose(text: str) -> str | None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment + timedelta(days=by)).strftime("%Y-%m-%dT%H:%M:%SZ")

    return choose


_CHOOSERS: Mapping[str, Callable[[str], str | None]] = {
    "StringEquals": str,
    "StringEqualsIgnoreCase": str,
    "StringLike": _filled,
    "ArnEquals": _filled,
    "ArnLike": _filled,
    "Bool": str,
    "BinaryEquals": str,
    "NumericEquals": _number(0),
    "NumericLessThan": _number(-1),
    "NumericLessThanEquals": _number(0),
    "NumericGreaterThan": _number(1),
    "NumericGreaterThanEquals": _number(0),
    "DateEquals": _moment(0),
    "DateLessThan": _moment(-1),
    "DateLessThanEquals": _moment(0),
    "DateGreaterThan": _moment(1),
    "DateGreaterThanEquals": _moment(0),
    "IpAddress": lambda text: text.partition("/")[0],
}
"""How to choose a value for each positive operator; the inverted ones hold of an absent key."""
