"""CEL as Google Cloud uses it: what it answers, and that it never raises and never opens a door."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.clouds.gcp.cel import (
    Expression,
    Failed,
    compile_condition,
    compile_expression,
    extract,
)

NAMES = frozenset({"assertion", "google", "attribute", "request"})
CLAIMS = {
    "sub": "repo:acme/agent-runner:ref:refs/heads/main",
    "repository": "acme/agent-runner",
    "verified": True,
    "level": 3,
    "groups": ["a", "b"],
    "nested": {"team": "red"},
    "arn": "arn:aws:sts::1:assumed-role/planner/session-1",
}
VARIABLES = {
    "assertion": CLAIMS,
    "google": {"subject": "s"},
    "attribute": {},
    "request": {"time": datetime(2027, 3, 28, 0, 30, tzinfo=UTC)},
}


def _value(text: str) -> object:
    expression = compile_expression(text, NAMES)
    assert isinstance(expression, Expression), expression
    return expression.evaluate(VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("assertion.sub.extract('repo:{org}/')", "acme"),
        ("assertion.arn.extract('assumed-role/{role}/')", "planner"),
        ("assertion.arn.extract('assumed-role/{rest}')", "planner/session-1"),
        ("assertion.arn.extract('{head}assumed-role/')", "arn:aws:sts::1:"),
        ("assertion.arn.extract('{all}')", CLAIMS["arn"]),
        ("assertion.arn.extract('role-x/{none}/')", ""),
        ("assertion.arn.extract('planner/{none}/')", ""),
        ("assertion.sub.split(':')[1]", "acme/agent-runner"),
        ("assertion.sub.split(':', 2)[1]", "acme/agent-runner:ref:refs/heads/main"),
        ("'a,b'.split(',').join('-')", "a-b"),
        ("size('äöü')", 3),
        ("'äöü'.size()", 3),
        ("'size(x)'.size () + size( [1, 2] )", 9),
        ("assertion.nested.size()", 1),
        ("assertion.groups.exists(g, size(g) == 1)", True),
        ('"a\\"size(b)" + r"size(c)"', 'a"size(b)size(c)'),
        ("'AbÜ'.lowerAscii()", "abÜ"),
        ("'abü'.upperAscii()", "ABü"),
        ("'a-b-c'.replace('-', '+', 1)", "a+b-c"),
        ("string(assertion.verified)", "true"),
        ("string(assertion.level)", "3"),
        ("assertion.groups.map(g, 'x' + g)", ["xa", "xb"]),
        ("assertion['nested'].team", "red"),
        ("has(assertion.nested.team) ? 'y' : 'n'", "y"),
        ("request.time.getHours('Europe/Berlin')", 1),
        ("request.time.getHours('-01:00')", 23),
        ("request.time.getDayOfWeek()", 0),
        ("request.time.getMonth()", 2),
        ("request.time.getDate()", 28),
        ("request.time < timestamp('2027-03-28T00:30:01Z')", True),
        ("request.time - duration('1800s') == date('2027-03-28')", True),
        ("'a' in assertion.groups", True),
        ("assertion.repository in ['Acme/agent-runner']", False),
        ("type(assertion.level) == int", True),
    ],
)
def test_an_expression_has_the_value_that_google_documents(text: str, expected: object) -> None:
    assert _value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "assertion.absent",
        "assertion.absent != 'evil'",
        "!(assertion.absent == 'evil')",
        "assertion.nested.absent.deeper == 'x'",
        "assertion.sub.split(':')[9] == 'x'",
        "assertion.level.startsWith('3')",
        "assertion.level > '2'",
        "assertion.sub",
        "assertion.level",
        "1 / (assertion.level - 3) == 0",
        "assertion.sub.matches('(')",
        "assertion.sub.extract('no placeholder') == ''",
        "request.time.getHours('Nowhere/City') == 0",
    ],
)
def test_a_condition_without_a_boolean_value_is_no_match(text: str) -> None:
    condition = compile_condition(text, NAMES)
    assert isinstance(condition, Expression)
    assert isinstance(condition.holds(VARIABLES), Failed)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "syntax"),
        ("assertion.sub ==", "syntax"),
        ("assertion.sub = 'x'", "syntax"),
        ("not assertion.verified", "syntax"),
        ("assertion.sub == 'x", "syntax"),
        ("claims.sub == 'x'", "undeclared reference to 'claims'"),
        ("sub == 'x'", "undeclared reference to 'sub'"),
        ("assertion.sub.beginsWith('x')", "undeclared reference to function 'beginsWith'"),
        ("'text'", "not boolean"),
        ("1 + 1", "not boolean"),
        (".".join(["assertion.groups"] + ["map(g, g)"] * 5) + " == []", "too costly"),
    ],
)
def test_an_expression_is_checked_when_it_is_written(text: str, match: str) -> None:
    problem = compile_condition(text, NAMES)
    assert isinstance(problem, Failed)
    assert match in problem.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("assertion.sub == 'x'", ("assertion.sub",)),
        (
            "assertion.Sub.startsWith('x') && google.subject != ''",
            ("assertion.sub", "google.subject"),
        ),
        ("'assertion.fake' == assertion.sub", ("assertion.sub",)),
        ("true", ()),
    ],
)
def test_the_members_that_a_condition_turns_on_are_named(
    text: str, expected: tuple[str, ...]
) -> None:
    condition = compile_condition(text, NAMES)
    assert isinstance(condition, Expression)
    assert condition.members_read() == expected
    assert condition.reads_a_claim() is bool(expected)


@given(st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_is_an_expression_or_a_failure(text: str) -> None:
    condition = compile_condition(text, NAMES)
    if isinstance(condition, Expression):
        assert isinstance(condition.holds(VARIABLES), bool | Failed)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["sub", "org", "groups"]), _JSON))
@settings(max_examples=150, deadline=None)
def test_any_claims_give_a_truth_or_a_failure_and_only_the_wanted_ones_match(
    claims: dict[str, object],
) -> None:
    condition = compile_condition("assertion.org == 'acme'", NAMES)
    assert isinstance(condition, Expression)
    holds = condition.holds({"assertion": claims, "google": {}, "attribute": {}})
    assert (holds is True) == (claims.get("org") == "acme")


@given(st.text(max_size=20), st.text(max_size=5), st.text(max_size=5))
def test_what_is_extracted_stands_between_prefix_and_suffix(
    text: str, prefix: str, suffix: str
) -> None:
    if any(brace in prefix + suffix for brace in "{}"):
        return
    found = extract(text, f"{prefix}{{x}}{suffix}")
    assert found == "" or f"{prefix}{found}{suffix}" in text


def test_a_compiled_expression_survives_a_fork() -> None:
    condition = compile_condition("assertion.sub.extract('repo:{org}/') == 'acme'", NAMES)
    assert isinstance(condition, Expression)
    assert condition.holds(VARIABLES) is True
    child = os.fork()
    if child == 0:
        os._exit(0 if condition.holds(VARIABLES) is True else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
