"""Wildcards in actions and resources, and how an ARN's fields bound them."""

# The expected verdict is a column of the tables.
# ruff: noqa: FBT001

from __future__ import annotations

import pytest

from iamrange.clouds.aws.arn import (
    action_matcher,
    anything,
    complete,
    is_arn,
    resource_matcher,
)
from iamrange.clouds.aws.variables import Variable, Wildcard, has_variables, parse, resolve


def matches(pattern: str, resource: str) -> bool:
    tokens = complete(parse(pattern, variables=False, wildcards=True))
    return resource_matcher(tuple(t for t in tokens if not isinstance(t, Variable)))(resource)


SECRET = "arn:aws:secretsmanager:us-east-1:100000000002:secret:agents/a-AbCdEf"

RESOURCES: list[tuple[str, str, bool]] = [
    ("*", SECRET, True),
    ("*", "*", True),
    (SECRET, SECRET, True),
    (SECRET, SECRET.lower(), False),
    (SECRET, SECRET + "x", False),
    (SECRET, "*", False),
    ("arn:aws:s3:::b/*", "arn:aws:s3:::b/a/b:c", True),
    ("arn:aws:s3:::b/*", "arn:aws:s3:::b", False),
    ("arn:aws:s3:::b*", "arn:aws:s3:::b", True),
    ("arn:aws:s3:::b/*/x", "arn:aws:s3:::b/a/c/x", True),
    ("arn:aws:s3:::b/*/x", "arn:aws:s3:::b/x", False),
    ("arn:aws:s3:::b/?", "arn:aws:s3:::b/c", True),
    ("arn:aws:s3:::b/?", "arn:aws:s3:::b/cd", False),
    ("arn:aws:s3:::b/?", "arn:aws:s3:::b/", False),
    ("arn:aws:s3:::b/*a*b", "arn:aws:s3:::b/xaxbxb", True),
    ("arn:aws:s3:::b/ab*ba", "arn:aws:s3:::b/aba", False),
    ("arn:aws:s3:::b/a*b*ba", "arn:aws:s3:::b/aba", False),
    ("arn:aws:s3:::b/a**", "arn:aws:s3:::b/a", True),
    ("arn:aws:s3:::b.d", "arn:aws:s3:::bxd", False),
    ("arn:aws:s3:::b/(a|b)", "arn:aws:s3:::b/a", False),
    ("arn:aws:s3:::b/a+", "arn:aws:s3:::b/aa", False),
    ("arn:aws:s3:::b/x*", "arn:aws:s3:::b/x\nnewline", True),
    ("arn:aws:secretsmanager:*:100000000002:secret:agents/*", SECRET, True),
    ("arn:aws:secretsmanager:*:100000000003:secret:agents/*", SECRET, False),
    ("arn:aws:secretsmanager:us-*:100000000002:secret:agents/*", SECRET, True),
    ("arn:aws:secretsmanager:us-*-1:100000000002:secret:agents/*", SECRET, True),
    ("arn:aws:secretsmanager:us-*-2:100000000002:secret:agents/*", SECRET, False),
    ("arn:aws:secretsmanager:us-?ast-1:100000000002:secret:*-??????", SECRET, True),
    ("arn:aws:secretsmanager:us-east-1?100000000002:secret:*", SECRET, False),
    ("arn:aws:secretsmanager:u*1:100000000002:secret:*", SECRET, True),
    ("arn:aws:secretsmanager:u*2:secret:*", SECRET, False),
    ("arn:aws:lambda:us-east-1:1:function:f*", "arn:aws:lambda:us-east-1:1:function:f:live", True),
    ("arn:aws:lambda:*:function:f", "arn:aws:lambda:us-east-1:1:function:f", True),
    ("arn:aws:logs:us-?:1:a*b?c", "arn:aws:logs:us-1:1:a:x/b:c", True),
    ("arn:aws:logs:us-?:1:a*b?c", "arn:aws:logs:us-1:1:ab", False),
    ("arn:aws:sqs", "arn:aws:sqs:us-east-1:1:q", True),
    ("arn:aws:sqs", "arn:aws:sns:us-east-1:1:q", False),
    ("arn:aws:s3:*", "arn:aws:s3:::b/k", True),
    ("arn:*", "arn:aws:s3:::b/k", True),
    ("arn:aws:iam::1", "arn:aws:iam::1:role/r", True),
    ("arn:aws:iam::1", "arn:aws:iam::12:role/r", False),
]


@pytest.mark.parametrize(("pattern", "resource", "expected"), RESOURCES)
def test_resource_pattern(pattern: str, resource: str, expected: bool) -> None:
    assert matches(pattern, resource) is expected


def test_wildcard_that_ends_a_field_may_take_colons_and_no_other_may() -> None:
    evil = "arn:aws:svc:us-1:999:x:1:secret:s"
    assert matches("arn:aws:svc:*:1:secret:s", evil)
    assert not matches("arn:aws:svc:*-1:1:secret:s", evil)
    assert not matches("arn:aws:svc:us-?:1:secret:s", evil)


@pytest.mark.parametrize(
    ("pattern", "action", "expected"),
    [
        ("*", "s3:getobject", True),
        ("s3:*", "s3:getobject", True),
        ("S3:GetObject", "s3:getobject", True),
        ("s3:get*", "s3:getobject", True),
        ("s3:Get*Acl", "s3:getobjectacl", True),
        ("s3:Get*Acl", "s3:getobject", False),
        ("s3:?etObject", "s3:getobject", True),
        ("s3:GetObject", "s3:getobjectacl", False),
        ("s3:", "s3:getobject", False),
        ("s3.*", "s3:getobject", False),
        ("*:Get*", "s3:getobject", True),
    ],
)
def test_action_pattern_ignores_case(pattern: str, action: str, expected: bool) -> None:
    assert action_matcher(pattern)(action) is expected


def test_hostile_pattern_is_matched_in_linear_time() -> None:
    # Backtracking matchers take longer than the universe on this one.
    pattern = "arn:aws:s3:::" + "a?*" * 200 + "b"
    assert not matches(pattern, "arn:aws:s3:::" + "a" * 1500)


def test_anything_matches_anything() -> None:
    assert anything("")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("arn:aws:s3:::b", True), ("arn:aws:s3::b", False), ("urn:aws:s3:::b", False), ("", False)],
)
def test_an_arn_has_six_fields(text: str, expected: bool) -> None:
    assert is_arn(text) is expected


def test_variables_are_read_before_colons_are() -> None:
    tokens = parse(
        "arn:aws:s3:::b/${aws:PrincipalTag/a:b, 'x:y'}/*", variables=True, wildcards=True
    )
    assert has_variables(tokens)
    assert resolve(tokens, lambda _: None) == ("arn:aws:s3:::b/", "x:y", "/", Wildcard.MANY)
    assert resolve(tokens, {"aws:principaltag/a:b": "v"}.get) == (
        "arn:aws:s3:::b/",
        "v",
        "/",
        Wildcard.MANY,
    )


def test_value_of_a_variable_cannot_move_the_fields_of_an_arn() -> None:
    tokens = complete(parse("arn:aws:sqs:us-1:${a:b}", variables=True, wildcards=True))
    pattern = resolve(tokens, lambda _: "1:queue")
    assert pattern is not None
    assert not resource_matcher(pattern)("arn:aws:sqs:us-1:1:queue")
    assert resource_matcher(pattern)("arn:aws:sqs:us-1:1:queue:x")
