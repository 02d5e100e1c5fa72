"""Vault policies are read strictly: whatever is not known is refused, and nothing is half read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.vault.acl import Acl, matches
from iamrange.credentials.vault.policy import (
    CAPABILITIES,
    DENY,
    Policy,
    PolicyError,
    Rule,
    parse_policy,
    policy_json,
)

PATHS = st.text(st.sampled_from('ab/+*{}"\\ é#'), max_size=8).filter(lambda p: "+*" not in p)
BODIES = st.fixed_dictionaries(
    {"capabilities": st.lists(st.sampled_from(sorted(CAPABILITIES)), max_size=4)},
    optional={
        "min_wrapping_ttl": st.sampled_from(["1s", 5]),
        "required_parameters": st.lists(st.text(max_size=3), max_size=2),
        "allowed_parameters": st.dictionaries(
            st.text(max_size=3), st.lists(st.one_of(st.text(max_size=3), st.integers()), max_size=2)
        ),
    },
)
WHOLE = st.dictionaries(PATHS, BODIES, max_size=4).filter(lambda w: "${" not in json.dumps(w))


def hcl(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        inner = "\n".join(f"{json.dumps(k)} = {hcl(v)} # {k!r}" for k, v in value.items())
        return "{\n" + inner + "\n}"
    if isinstance(value, list):
        return "[" + ", ".join(map(hcl, value)) + (",]" if value else "]")
    return json.dumps(value)


@given(WHOLE)
def test_hcl_and_json_of_the_same_policy_are_read_alike(whole: dict[str, Any]) -> None:
    text = "/* all */\n" + "\n".join(f"path {json.dumps(p)} {hcl(b)}" for p, b in whole.items())
    read = parse_policy("p", text)
    assert read == parse_policy("p", json.dumps({"path": whole}))
    assert len(read.rules) == len(whole)


@given(WHOLE)
def test_what_was_read_is_written_and_read_again_as_the_same(whole: dict[str, Any]) -> None:
    rules = parse_policy("p", json.dumps({"path": whole})).rules
    one_each = {rule.pattern: rule for rule in rules}
    again = parse_policy("p", json.dumps(policy_json(tuple(one_each.values()))))
    assert again.rules == tuple(one_each.values())


@given(st.one_of(st.text(), st.text(st.sampled_from('path"a{}[]=,#\n /*+1.'), max_size=60)))
def test_any_text_is_a_policy_or_an_error_that_names_it(text: str) -> None:
    try:
        said = f"policy '{parse_policy('mine', text).name}'"
    except PolicyError as error:
        said = str(error)
    assert said.startswith("policy 'mine'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('path "a" { capabilities = ["read"] capabilities = ["list"] }', "said twice"),
        ('{"path": {"a": {"policy": "read"}, "a": {"policy": "deny"}}}', "said twice"),
        ('path "a" { capabilities = ["read"]\n mfa = 1 }', "keys that are known, got 'mfa'"),
        ('path "a" { capabilities = ["READ"] }', "capabilities of create, delete"),
        ('path "a" {\n capabilities = <<E\n}', "line 2: expected HCL"),
        ('path "a" "b" {}', "line 1: expected '{', got \"b\""),
        ('path "a/+*" {}', "no '\\+\\*'"),
        ('path "a${x}" {}', "without \\${"),
        ('path "a" {', "got its end"),
        ("[]", "expected a name or a string"),
        ('{"path": []}x', "expected HCL or JSON"),
        ('{"path": {"a": 1}}', "expected an object of paths"),
        ('{"paths": {}}', "expected paths alone"),
        ('path "a" { expiration = "soon" }', "a moment as expiration"),
        ('path "a" { expiration = "2027-01-01T00:00:00" }', "with its time zone"),
        ('path "a" { policy = "all" }', "policy of deny, read, write, sudo"),
        ('path "a" { x = ' + "[" * 9 + "]" * 9 + " }", "fewer lists in each other"),
    ],
)
def test_what_is_not_known_is_refused_with_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_policy("p", text)


def rule(pattern: str, *capabilities: str, **limits: object) -> Rule:
    return Rule(pattern=pattern, capabilities=frozenset(capabilities), limits=limits)


def test_denial_in_one_policy_is_all_that_is_left_of_a_path_in_another() -> None:
    policies = [Policy("a", (rule("k/x", "read"),)), Policy("b", (rule("k/x", DENY),))]
    assert Acl(policies).capabilities("k/x") == {DENY}
    assert Acl(reversed(policies)).capabilities("k/x") == {DENY}


def test_rule_that_has_ended_and_rule_that_names_who_asks_count_for_nothing() -> None:
    ended = rule("k/x", "read", expiration="2020-01-01T00:00:00Z")
    asks = rule("k/{{identity.entity.id}}", "read")
    acl = Acl([Policy("a", (ended, asks, rule("k/*", "list")))], now=1.8e9)
    assert acl.capabilities("k/x") == {"list"}
    assert acl.capabilities("k/{{identity.entity.id}}") == {"list"}


def test_root_policy_lets_everything_be_done() -> None:
    acl = Acl([Policy("root", ())])
    assert acl.allows("sys/anything", "sudo")
    assert acl.capabilities("x") == {"root"}


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("a/*", "a/", True),
        ("a/*", "a", False),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+/c*", "a/b/cd/e", True),
        ("a/+/c*", "a/b/d", False),
        ("a+", "ab", False),
        ("+", "a", True),
    ],
)
def test_pattern_names_paths(pattern: str, path: str, named: bool) -> None:  # noqa: FBT001 - a case's answer
    assert matches(pattern, path) is named
