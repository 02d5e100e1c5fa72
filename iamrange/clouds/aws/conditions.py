"""Condition elements: operators, set qualifiers, IfExists, missing keys.

- A test answers True, False, or None: could not be evaluated.
- A missing key fails a positive operator and meets an inverted one, one with IfExists, and
  ForAllValues; ForAnyValue fails on it (IAM user guide, "Condition operators", "Multivalued
  context keys").
- A key with several values under an operator without qualifier cannot be evaluated: AWS documents
  no answer, and asks for a qualifier.
- Neither can a key whose value is not known here, though AWS would have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from iamrange.clouds.aws.comparisons import INVERTED, POSITIVE, Predicate, read_bool
from iamrange.clouds.aws.facts import Facts, Value

Test = Callable[[Facts], bool | None]

FOR_ALL = "ForAllValues"
FOR_ANY = "ForAnyValue"
IF_EXISTS = "IfExists"
NULL = "Null"


class UnknownOperatorError(ValueError):
    """A condition operator that the policy language does not have."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key, ready to be asked; `key` is lower case."""

    operator: str
    key: str
    test: Test


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator's name, taken apart."""

    qualifier: str | None
    name: str
    if_exists: bool


def _take_apart(operator: str) -> _Operator:
    """Split an operator into qualifier, name and suffix.

    Raises:
        UnknownOperatorError: there is no such operator.
    """
    qualifier, colon, name = operator.rpartition(":")
    if colon and qualifier not in (FOR_ALL, FOR_ANY):
        raise UnknownOperatorError(operator)
    if_exists = name.endswith(IF_EXISTS)
    name = name.removesuffix(IF_EXISTS)
    if name == NULL and not if_exists:
        return _Operator(qualifier or None, name, if_exists=False)
    if name not in POSITIVE and name not in INVERTED:
        raise UnknownOperatorError(operator)
    return _Operator(qualifier or None, name, if_exists)


def compile_condition(
    operator: str, key: str, values: Sequence[str], *, variables: bool
) -> Condition:
    """Compile one operator on one key.

    Raises:
        UnknownOperatorError: there is no such operator.
    """
    parts = _take_apart(operator)
    lowered = key.lower()
    if parts.name == NULL:
        return Condition(operator, lowered, _null(lowered, values))
    inverted = parts.name in INVERTED
    builder = POSITIVE[INVERTED.get(parts.name, parts.name)]
    predicate = builder(values, variables)
    if parts.qualifier is None:
        test = _plain(lowered, predicate, inverted=inverted, missing=inverted or parts.if_exists)
    else:
        every = parts.qualifier == FOR_ALL
        test = _qualified(
            lowered, predicate, inverted=inverted, every=every, missing=every or parts.if_exists
        )
    return Condition(operator, lowered, test)


def _null(key: str, values: Sequence[str]) -> Test:
    """Ask whether the key is absent (`true`) or present (`false`)."""
    wanted = [read_bool(value) for value in values]

    def test(facts: Facts) -> bool | None:
        value = facts.values.get(key)
        if value is None and facts.hides(key):
            return None
        absent = value is None or value == ()
        if absent in wanted:
            return True
        return None if None in wanted else False

    return test


def _plain(key: str, predicate: Predicate, *, inverted: bool, missing: bool) -> Test:
    def test(facts: Facts) -> bool | None:
        value = facts.values.get(key)
        if value is None:
            return None if facts.hides(key) else missing
        if not isinstance(value, str):
            if len(value) != 1:
                return None if value else missing
            value = value[0]
        answer = predicate(facts, value)
        if inverted and answer is not None:
            return not answer
        return answer

    return test


def _qualified(
    key: str, predicate: Predicate, *, inverted: bool, every: bool, missing: bool
) -> Test:
    """Ask every value (ForAllValues) or any value (ForAnyValue) of the request.

    Values that are all empty strings are a null data set, as good as no key (IAM user guide,
    "Multivalued context keys").
    """

    def test(facts: Facts) -> bool | None:
        value = facts.values.get(key)
        if value is None and facts.hides(key):
            return None
        values = _values(value)
        if not any(values):
            return missing
        answers: Iterable[bool | None] = (predicate(facts, value) for value in values)
        if inverted:
            answers = (None if answer is None else not answer for answer in answers)
        seen = set(answers)
        decisive = not every
        if decisive in seen:
            return decisive
        return None if None in seen else every

    return test


def _values(value: Value | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value
