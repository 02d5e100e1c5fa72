"""What each condition operator compares: one builder an operator family.

- A builder takes the values of the policy and returns a predicate over one value of the request.
- A predicate answers in the positive sense (`StringNotEquals` is `StringEquals` turned round by the
  caller): True if any policy value matches, False if none does, None if that cannot be told because
  a value is not of the operator's type. None never reads as a match or as a mismatch.
- An unresolved variable is "effectively null": equal to and like nothing, so that the inverted
  operators match (IAM user guide, "Policy variables with no value").
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any

from iamrange.clouds.aws.arn import arn_condition_matcher, glob, is_arn
from iamrange.clouds.aws.facts import Facts
from iamrange.clouds.aws.variables import (
    Pattern,
    Token,
    Variable,
    has_variables,
    parse_readable,
    resolve,
)

Predicate = Callable[[Facts, str], bool | None]
Builder = Callable[[Sequence[str], bool], Predicate]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_LONGEST_NUMBER = 64


def _split(
    values: Sequence[str], *, variables: bool, wildcards: bool
) -> tuple[list[Pattern], list[tuple[Token, ...]]]:
    """Return the fixed patterns, and those that must be resolved for each request."""
    fixed: list[Pattern] = []
    templates: list[tuple[Token, ...]] = []
    for value in values:
        tokens = parse_readable(value, variables=variables, wildcards=wildcards)
        if has_variables(tokens):
            templates.append(tokens)
        else:
            fixed.append(tuple(token for token in tokens if not isinstance(token, Variable)))
    return fixed, templates


def string_equals(values: Sequence[str], variables: bool) -> Predicate:  # noqa: FBT001 (one signature for all builders)
    """Compare exactly."""
    return _equals(values, variables, _same)


def string_equals_ignore_case(values: Sequence[str], variables: bool) -> Predicate:  # noqa: FBT001 (same)
    """Compare without regard to case."""
    return _equals(values, variables, str.lower)


def _same(text: str) -> str:
    return text


def _equals(values: Sequence[str], variables: bool, fold: Callable[[str], str]) -> Predicate:  # noqa: FBT001 (same)
    fixed, templates = _split(values, variables=variables, wildcards=False)
    literals = frozenset(fold(_text(pattern)) for pattern in fixed)
    if not templates:
        return lambda _, value: fold(value) in literals

    def matches(facts: Facts, value: str) -> bool:
        folded = fold(value)
        if folded in literals:
            return True
        for template in templates:
            pattern = resolve(template, facts.single)
            if pattern is not None and fold(_text(pattern)) == folded:
                return True
        return False

    return matches


def _text(pattern: Pattern) -> str:
    return "".join(token for token in pattern if isinstance(token, str))


def string_like(values: Sequence[str], variables: bool) -> Predicate:  # noqa: FBT001 (same)
    """Match with wildcards, case kept; a `*` takes any characters."""
    fixed, templates = _split(values, variables=variables, wildcards=True)
    matchers = [glob(pattern) for pattern in fixed]

    def matches(facts: Facts, value: str) -> bool:
        if any(matcher(value) for matcher in matchers):
            return True
        for template in templates:
            pattern = resolve(template, facts.single)
            if pattern is not None and glob(pattern)(value):
                return True
        return False

    return matches


def arn_like(values: Sequence[str], variables: bool) -> Predicate:  # noqa: FBT001 (same)
    """Match ARNs field by field; `ArnEquals` and `ArnLike` are the same operator."""
    fixed, templates = _split(values, variables=variables, wildcards=True)
    matchers = [arn_condition_matcher(pattern) for pattern in fixed]

    def matches(facts: Facts, value: str) -> bool | None:
        if not is_arn(value):
            return None
        found = list(matchers)
        for template in templates:
            pattern = resolve(template, facts.single)
            if pattern is not None:
                found.append(arn_condition_matcher(pattern))
        if any(matcher is not None and matcher(value) for matcher in found):
            return True
        return None if None in found else False

    return matches


def _typed(
    read: Callable[[str], Any], compare: Callable[[Any, Any], bool]
) -> Callable[[Sequence[str], bool], Predicate]:
    """Make a builder for an operator that reads both sides as one type.

    These operators know no variables (IAM user guide, "Where you can use policy variables"): a
    `${...}` among their values is a value of the wrong type.
    """

    def build(values: Sequence[str], variables: bool) -> Predicate:  # noqa: FBT001 (same)
        del variables
        read_values = [read(value) for value in values]
        known = [value for value in read_values if value is not None]
        whole = len(known) == len(read_values)

        def matches(facts: Facts, value: str) -> bool | None:
            del facts
            asked = read(value)
            if asked is None:
                return None
            if any(compare(asked, limit) for limit in known):
                return True
            return False if whole else None

        return matches

    return build


@lru_cache(maxsize=4096)
def read_number(text: str) -> Decimal | None:
    """Read an integer or a decimal."""
    text = text.strip()
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    return Decimal(text)


@lru_cache(maxsize=4096)
def read_date(text: str) -> Decimal | None:
    """Read a W3C ISO 8601 date or epoch seconds as seconds since the epoch.

    Four digits are a year, as in the W3C profile; a date without a zone is UTC.
    """
    text = text.strip()
    found = _DATE.fullmatch(text)
    if found is None:
        return read_number(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=_zone(zone),
        )
    except ValueError:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = Decimal(since.days) * 86400 + since.seconds
    return seconds + (Decimal(f"0.{fraction}") if fraction else 0)


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def read_bool(text: str) -> bool | None:
    """Read true or false, in any case."""
    return {"true": True, "false": False}.get(text.lower())


def read_binary(text: str) -> bytes | None:
    """Read base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=4096)
def read_network(text: str) -> Network | None:
    """Read an address or a CIDR range of either version; host bits may be set."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _contains(asked: Network, limit: Network) -> bool:
    if isinstance(asked, ipaddress.IPv4Network):
        return isinstance(limit, ipaddress.IPv4Network) and asked.subnet_of(limit)
    return isinstance(limit, ipaddress.IPv6Network) and asked.subnet_of(limit)


_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}

POSITIVE: dict[str, Builder] = {
    "StringEquals": string_equals,
    "StringEqualsIgnoreCase": string_equals_ignore_case,
    "StringLike": string_like,
    **{f"Numeric{name}": _typed(read_number, compare) for name, compare in _NUMERIC.items()},
    **{f"Date{name}": _typed(read_date, compare) for name, compare in _NUMERIC.items()},
    "Bool": _typed(read_bool, operator.is_),
    "BinaryEquals": _typed(read_binary, operator.eq),
    "IpAddress": _typed(read_network, _contains),
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
}
"""The operators that ask for a match."""

INVERTED: dict[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
"""The operators that ask for no match, each with the one it turns round."""
