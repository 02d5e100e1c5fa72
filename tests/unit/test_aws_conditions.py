"""Every condition operator, qualifier and suffix, on present, absent and odd keys."""

# The expected verdict is a column of the tables.
# ruff: noqa: FBT001

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.clouds.aws.conditions import UnknownOperatorError, compile_condition
from iamrange.clouds.aws.facts import Facts
from iamrange.clouds.aws.malformed import MalformedPolicy
from iamrange.clouds.aws.request import Principal, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ABSENT: dict[str, str] = {}


def ask(
    operator: str,
    values: Sequence[str],
    context: Mapping[str, str | Sequence[str]],
    *,
    key: str = "test:Key",
    variables: bool = True,
) -> bool | None:
    principal = Principal("user", "arn:aws:iam::123456789012:user/u", None, "123456789012")
    facts = Facts(Request("test:Do", "*", principal, context=context))
    return compile_condition(operator, key, values, variables=variables).test(facts)


SINGLE: list[tuple[str, list[str], str, bool | None]] = [
    ("StringEquals", ["a"], "a", True),
    ("StringEquals", ["a"], "A", False),
    ("StringEquals", ["a", "b"], "b", True),
    ("StringEquals", ["a*"], "ab", False),
    ("StringEquals", ["a*"], "a*", True),
    ("StringEquals", [], "a", False),
    ("StringEquals", [""], "", True),
    ("StringNotEquals", ["a"], "b", True),
    ("StringNotEquals", ["a"], "a", False),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", [], "a", True),
    ("StringEqualsIgnoreCase", ["Abc"], "aBC", True),
    ("StringEqualsIgnoreCase", ["Abc"], "abd", False),
    ("StringNotEqualsIgnoreCase", ["Abc"], "aBC", False),
    ("StringNotEqualsIgnoreCase", ["Abc"], "abd", True),
    ("StringLike", ["a*c"], "a/:c", True),
    ("StringLike", ["a*c"], "A/c", False),
    ("StringLike", ["a?c"], "abc", True),
    ("StringLike", ["a?c"], "a:c", True),
    ("StringLike", ["a?c"], "ac", False),
    ("StringLike", ["a.c"], "abc", False),
    ("StringLike", ["[a]+"], "a", False),
    ("StringLike", ["x", "*"], "", True),
    ("StringLike", ["*c"], "abc", True),
    ("StringLike", ["*c"], "cb", False),
    ("StringLike", ["*b*"], "abc", True),
    ("StringNotLike", ["a*"], "abc", False),
    ("StringNotLike", ["a*"], "bc", True),
    ("NumericEquals", ["5"], "5.0", True),
    ("NumericEquals", ["5"], "6", False),
    ("NumericNotEquals", ["5"], "5", False),
    ("NumericNotEquals", ["5"], "6", True),
    ("NumericLessThan", ["5"], "4", True),
    ("NumericLessThan", ["5"], "5", False),
    ("NumericLessThan", ["5", "9"], "8", True),
    ("NumericLessThanEquals", ["5"], "5", True),
    ("NumericLessThanEquals", ["5"], "6", False),
    ("NumericGreaterThan", ["5"], "10", True),
    ("NumericGreaterThan", ["-5"], "-6", False),
    ("NumericGreaterThanEquals", ["5"], "5", True),
    ("NumericGreaterThanEquals", ["5"], ".5", False),
    ("NumericEquals", ["0.1"], "0.10", True),
    ("NumericEquals", ["5"], "five", None),
    ("NumericEquals", ["five"], "5", None),
    ("NumericEquals", ["five", "5"], "5", True),
    ("NumericNotEquals", ["five"], "5", None),
    ("NumericEquals", ["5"], "NaN", None),
    ("NumericEquals", ["5"], "Infinity", None),
    ("NumericEquals", ["5"], "1" * 65, None),
    ("NumericLessThan", ["${test:limit}"], "1", None),
    ("DateEquals", ["2026-01-01T00:00:00Z"], "2026-01-01T01:00:00+01:00", True),
    ("DateEquals", ["2026-01-01"], "2026-01-01T00:00:00Z", True),
    ("DateEquals", ["2026"], "2026-01", True),
    ("DateEquals", ["2026-01-01T10:20Z"], "2026-01-01T10:20:00Z", True),
    ("DateEquals", ["2026-01-01T10:20:00.5Z"], "2026-01-01T10:20:00.500Z", True),
    ("DateEquals", ["2026-01-01T10:20:00.5Z"], "2026-01-01T10:20:00Z", False),
    ("DateEquals", ["1767225600"], "2026-01-01T00:00:00Z", True),
    ("DateNotEquals", ["2026-01-01T00:00:00Z"], "1767225600", False),
    ("DateLessThan", ["2026-01-01T00:00:00Z"], "2025-12-31T23:59:59Z", True),
    ("DateLessThan", ["2026-01-01T00:00:00Z"], "2026-01-01T00:00:00Z", False),
    ("DateLessThanEquals", ["2026-01-01T00:00:00Z"], "2026-01-01T00:00:00Z", True),
    ("DateGreaterThan", ["2026-01-01T00:00:00Z"], "2026-01-01T00:00:01Z", True),
    ("DateGreaterThan", ["2026-01-01T00:00:00-02:00"], "2026-01-01T01:00:00Z", False),
    ("DateGreaterThanEquals", ["2026-01-01T00:00:00Z"], "2026-01-01T00:00:00Z", True),
    ("DateLessThan", ["soon"], "2026-01-01T00:00:00Z", None),
    ("DateLessThan", ["2026-01-01"], "soon", None),
    ("DateLessThan", ["2026-13-01"], "2026-01-01", None),
    ("DateLessThan", ["2026-01-01T10:00:00+99:00"], "2026-01-01", None),
    ("Bool", ["true"], "true", True),
    ("Bool", ["True"], "TRUE", True),
    ("Bool", ["true"], "false", False),
    ("Bool", ["false"], "false", True),
    ("Bool", ["yes"], "true", None),
    ("Bool", ["true"], "1", None),
    ("BinaryEquals", ["QmluYXJ5"], "QmluYXJ5", True),
    ("BinaryEquals", ["QmluYXJ5"], "QmluYXJ6", False),
    ("BinaryEquals", ["!"], "QmluYXJ5", None),
    ("BinaryEquals", ["QmluYXJ5"], "Qml", None),
    ("BinaryEquals", ["é"], "QmluYXJ5", None),
    ("IpAddress", ["10.0.0.0/8"], "10.1.2.3", True),
    ("IpAddress", ["10.0.0.0/8"], "11.1.2.3", False),
    ("IpAddress", ["10.0.0.1"], "10.0.0.1", True),
    ("IpAddress", ["10.0.0.5/8"], "10.9.9.9", True),
    ("IpAddress", ["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", True),
    ("IpAddress", ["2001:db8::/32"], "2001:db9::1", False),
    ("IpAddress", ["::/0"], "10.0.0.1", False),
    ("IpAddress", ["0.0.0.0/0"], "::1", False),
    ("IpAddress", ["10.0.0.0/33"], "10.0.0.1", None),
    ("IpAddress", ["10.0.0.0/8"], "localhost", None),
    ("IpAddress", ["10.0.0.0/8"], "10.0.0.0/4", False),
    ("NotIpAddress", ["10.0.0.0/8"], "11.1.2.3", True),
    ("NotIpAddress", ["10.0.0.0/8"], "10.1.2.3", False),
    ("NotIpAddress", ["10.0.0.0/8"], "here", None),
    ("ArnEquals", ["arn:aws:s3:::b"], "arn:aws:s3:::b", True),
    ("ArnEquals", ["arn:aws:s3:::b*"], "arn:aws:s3:::bucket", True),
    ("ArnEquals", ["arn:aws:s3:::b"], "arn:aws:s3:::B", False),
    ("ArnLike", ["arn:aws:sns:*:123456789012:t"], "arn:aws:sns:us-east-1:123456789012:t", True),
    ("ArnLike", ["arn:aws:sns:*:t"], "arn:aws:sns:us-east-1:123456789012:t", None),
    ("ArnLike", ["arn:aws:sns:*:*:t"], "arn:aws:sns:us-east-1:123456789012:a:t", False),
    ("ArnLike", ["arn:aws:sns:*:*:*"], "arn:aws:sns:us-east-1:123456789012:a:t", True),
    ("ArnLike", ["arn:aws:iam::?23456789012:root"], "arn:aws:iam::123456789012:root", True),
    ("ArnLike", ["*"], "arn:aws:s3:::b", True),
    ("ArnLike", ["*"], "b", None),
    ("ArnLike", ["b"], "arn:aws:s3:::b", None),
    ("ArnNotEquals", ["arn:aws:s3:::b"], "arn:aws:s3:::c", True),
    ("ArnNotLike", ["arn:aws:s3:::b*"], "arn:aws:s3:::bucket", False),
    ("ArnNotLike", ["arn:aws:s3:::b*"], "bucket", None),
    ("Null", ["true"], "x", False),
    ("Null", ["false"], "x", True),
    ("Null", ["false"], "", True),
    ("Null", ["perhaps"], "x", None),
    ("Null", ["true", "false"], "x", True),
]


@pytest.mark.parametrize(("operator", "values", "value", "expected"), SINGLE)
def test_operator_answers_on_a_single_value(
    operator: str, values: list[str], value: str, expected: bool | None
) -> None:
    assert ask(operator, values, {"test:Key": value}) is expected


POSITIVE = [
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "NumericEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "ArnEquals",
    "ArnLike",
]
INVERTED = [
    "StringNotEquals",
    "StringNotEqualsIgnoreCase",
    "StringNotLike",
    "NumericNotEquals",
    "DateNotEquals",
    "NotIpAddress",
    "ArnNotEquals",
    "ArnNotLike",
]


@pytest.mark.parametrize("operator", POSITIVE)
def test_absent_key_fails_a_positive_operator_unless_it_may_be_absent(operator: str) -> None:
    assert ask(operator, ["1"], ABSENT) is False
    assert ask(f"{operator}IfExists", ["1"], ABSENT) is True
    assert ask(f"ForAllValues:{operator}", ["1"], ABSENT) is True
    assert ask(f"ForAnyValue:{operator}", ["1"], ABSENT) is False
    assert ask(f"ForAnyValue:{operator}IfExists", ["1"], ABSENT) is True


@pytest.mark.parametrize("operator", INVERTED)
def test_absent_key_meets_an_inverted_operator_but_not_for_any_value(operator: str) -> None:
    assert ask(operator, ["1"], ABSENT) is True
    assert ask(f"{operator}IfExists", ["1"], ABSENT) is True
    assert ask(f"ForAllValues:{operator}", ["1"], ABSENT) is True
    assert ask(f"ForAnyValue:{operator}", ["1"], ABSENT) is False
    assert ask(f"ForAnyValue:{operator}IfExists", ["1"], ABSENT) is True


def test_null_asks_for_presence_alone() -> None:
    assert ask("Null", ["true"], ABSENT) is True
    assert ask("Null", ["false"], ABSENT) is False
    assert ask("Null", ["true"], {"test:Key": []}) is True
    assert ask("Null", ["false"], {"test:Key": ["a", "b"]}) is True
    assert ask("ForAllValues:Null", ["false"], {"test:Key": ["a"]}) is True


SETS: list[tuple[str, list[str], list[str], bool | None]] = [
    ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", ["a"], [], True),
    ("ForAllValues:StringEquals", ["a"], [""], True),
    ("ForAllValues:StringEquals", ["a"], ["", "b"], False),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
    ("ForAnyValue:StringEquals", ["a"], ["c", "d"], False),
    ("ForAnyValue:StringEquals", ["a"], [], False),
    ("ForAnyValue:StringLike", ["*"], [""], False),
    ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "d"], True),
    ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "b"], False),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "c"], True),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "b"], False),
    ("ForAllValues:StringLike", ["t*"], ["ta", "tb"], True),
    ("ForAnyValue:StringNotLike", ["t*"], ["ta", "b"], True),
    ("ForAllValues:NumericLessThan", ["5"], ["1", "x"], None),
    ("ForAllValues:NumericLessThan", ["5"], ["9", "x"], False),
    ("ForAnyValue:NumericLessThan", ["5"], ["1", "x"], True),
    ("ForAnyValue:NumericLessThan", ["5"], ["9", "x"], None),
    ("ForAllValues:NotIpAddress", ["10.0.0.0/8"], ["11.0.0.1", "x"], None),
    ("ForAllValues:ArnLike", ["arn:aws:s3:::*"], ["arn:aws:s3:::a", "arn:aws:s3:::b"], True),
    ("StringEquals", ["a"], ["a"], True),
    ("StringEquals", ["a"], ["a", "a"], None),
    ("StringNotEquals", ["a"], ["b", "c"], None),
    ("StringEquals", ["a"], [], False),
    ("StringNotEquals", ["a"], [], True),
    ("StringEqualsIfExists", ["a"], [], True),
    ("StringEqualsIfExists", ["a"], ["b"], False),
]


@pytest.mark.parametrize(("operator", "values", "asked", "expected"), SETS)
def test_qualifier_answers_on_several_values(
    operator: str, values: list[str], asked: list[str], expected: bool | None
) -> None:
    assert ask(operator, values, {"test:Key": asked}) is expected


def test_qualifier_takes_a_plain_string_as_a_set_of_one() -> None:
    assert ask("ForAnyValue:StringEquals", ["a"], {"test:Key": "a"}) is True


@pytest.mark.parametrize("spelled", ["test:key", "TEST:KEY", "test:Key"])
def test_condition_keys_are_read_in_any_case(spelled: str) -> None:
    assert ask("StringEquals", ["a"], {spelled: "a"}, key="Test:kEY") is True


def test_tag_keys_in_condition_keys_are_read_in_any_case() -> None:
    context = {"aws:PrincipalTag/Team": "blue"}
    assert ask("StringEquals", ["blue"], context, key="aws:principaltag/TEAM") is True


def test_keys_that_differ_in_case_alone_are_several_values() -> None:
    context = {"aws:ResourceTag/Team": "blue", "aws:ResourceTag/team": "red"}
    assert ask("StringEquals", ["blue"], context, key="aws:ResourceTag/team") is None
    same = {"aws:ResourceTag/Team": "blue", "aws:ResourceTag/team": "blue"}
    assert ask("StringEquals", ["blue"], same, key="aws:ResourceTag/team") is True
    joined = {"aws:TagKeys": ["a"], "AWS:tagkeys": "b", "aws:tagKEYS": ["c"]}
    assert ask("ForAllValues:StringEquals", ["a", "b", "c"], joined, key="aws:TagKeys") is True
    assert ask("ForAllValues:StringEquals", ["a", "b"], joined, key="aws:TagKeys") is False


VARIABLES: list[tuple[str, str, dict[str, str | list[str]], bool]] = [
    ("StringEquals", "${aws:username}", {"aws:username": "k"}, True),
    ("StringEquals", "${AWS:UserName}", {"aws:username": "k"}, True),
    ("StringEquals", "${aws:username}", {"aws:username": "other"}, False),
    ("StringEquals", "${aws:username}", {}, False),
    ("StringNotEquals", "${aws:username}", {}, True),
    ("StringNotLike", "${aws:username}*", {}, True),
    ("StringLike", "${aws:username}*", {}, False),
    ("StringLike", "${aws:username}", {"aws:username": "*"}, False),
    ("StringEquals", "${aws:username, 'k'}", {}, True),
    ("StringEquals", "${aws:username, 'k'}", {"aws:username": "j"}, False),
    ("StringEquals", "${aws:TagKeys}", {"aws:TagKeys": ["k"]}, False),
    ("StringLike", "${*}", {}, False),
    ("StringEqualsIgnoreCase", "${aws:username}", {"aws:username": "K"}, True),
    ("StringNotEquals", "${aws:username}", {"aws:username": "k"}, False),
]


@pytest.mark.parametrize(("operator", "value", "context", "expected"), VARIABLES)
def test_variable_in_a_condition_value(
    operator: str, value: str, context: dict[str, str | list[str]], expected: bool
) -> None:
    assert ask(operator, [value], {"test:Key": "k", **context}) is expected


def test_fixed_values_beside_a_variable_count() -> None:
    values = ["k*", "k", "${aws:username}"]
    for operator in ("StringEquals", "StringLike", "StringEqualsIgnoreCase"):
        assert ask(operator, values, {"test:Key": "k"}) is True
    assert ask("StringLike", ["${aws:username}?"], {"test:Key": "ka", "aws:username": "k"}) is True


def test_arn_condition_resolves_variables_and_ignores_unresolved_ones() -> None:
    context = {"test:Key": "arn:aws:iam::1:user/a:b", "aws:username": "a:b"}
    assert ask("ArnEquals", ["arn:aws:iam::1:user/${aws:username}"], context) is True
    assert ask("ArnLike", ["arn:aws:iam::1:user/${aws:missing}"], context) is False
    assert ask("ArnNotLike", ["arn:aws:iam::1:user/${aws:missing}"], context) is True


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [("a${*}b", "a*b", True), ("a${*}b", "axb", False), ("${?}", "?", True), ("${$}", "$", True)],
)
def test_escapes_are_literal_characters(value: str, text: str, expected: bool) -> None:
    assert ask("StringLike", [value], {"test:Key": text}) is expected
    assert ask("StringEquals", [value], {"test:Key": text}) is expected


@pytest.mark.parametrize(
    "value", ["${aws:username", "${aws:user name}", "${}", "${a:b, c}", "${${a:b}}"]
)
@pytest.mark.parametrize("operator", ["StringEquals", "StringNotLike", "ArnLike"])
def test_variable_that_nobody_can_read_is_refused(operator: str, value: str) -> None:
    with pytest.raises(MalformedPolicy, match="legacy parsing"):
        compile_condition(operator, "test:key", [value], variables=True)
    assert ask(operator, [value], ABSENT, variables=False) is not None


def test_variables_and_escapes_are_text_in_documents_of_2008() -> None:
    context = {"test:Key": "${aws:username}", "aws:username": "bob"}
    assert ask("StringEquals", ["${aws:username}"], context, variables=False) is True
    assert ask("StringEquals", ["${aws:username}"], context) is False
    assert ask("StringLike", ["a${*}"], {"test:Key": "a${xyz}"}, variables=False) is True


@pytest.mark.parametrize(
    "operator",
    [
        "StringMatches",
        "stringequals",
        "NullIfExists",
        "ForAll:StringEquals",
        "ForAllValues:",
        ":StringEquals",
        "IfExists",
        "ForAllValues:ForAnyValue:StringEquals",
        "StringEqualsIfExistsIfExists",
        "",
    ],
)
def test_unknown_operator_is_refused(operator: str) -> None:
    with pytest.raises(UnknownOperatorError):
        compile_condition(operator, "test:key", ["a"], variables=True)
