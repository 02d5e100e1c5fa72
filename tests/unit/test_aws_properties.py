"""What holds for every document, request and pattern."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from iamrange.clouds.aws.arn import glob, resource_matcher
from iamrange.clouds.aws.comparisons import INVERTED, POSITIVE
from iamrange.clouds.aws.conditions import compile_condition
from iamrange.clouds.aws.decide import (
    CompiledPolicy,
    MalformedPolicy,
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    combine,
    compile_policy,
    decide,
    evaluate,
)
from iamrange.clouds.aws.facts import Facts
from iamrange.clouds.aws.variables import Pattern, Variable, parse, resolve
from iamrange.core.decision import Effect, Outcome

UNHURRIED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy: no example is wrong for being slow."""

Json = Any
"""What json.loads may return."""

HOME, AWAY = "100000000002", "200000000001"
USER_ARN = f"arn:aws:iam::{HOME}:user/alice"
ROLE_ARN = f"arn:aws:iam::{HOME}:role/r"
SESSION_ARN = f"arn:aws:sts::{HOME}:assumed-role/r/s"
PRINCIPALS = [
    Principal("user", USER_ARN, None, HOME),
    Principal("assumed-role", SESSION_ARN, ROLE_ARN, HOME),
    Principal("root", f"arn:aws:iam::{HOME}:root", None, HOME),
    Principal("federated", f"arn:aws:sts::{HOME}:federated-user/alice", None, HOME, None, USER_ARN),
    Principal("web-identity", "web", federated="idp.example"),
    Principal("service", "lambda.amazonaws.com"),
    Principal("anonymous", "anonymous"),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
odd_text = st.sampled_from(
    [
        "*",
        "",
        "s3:*",
        "sts:AssumeRole",
        "arn:aws:s3:::b/${aws:username}/*",
        "arn:aws:iam::123456789012:root",
        "arn:",
        "${",
        "true",
        "Allow",
        "Deny",
        "2012-10-17",
        "10.0.0.0/8",
    ]
)
odd_values = (
    json_values | odd_text | st.lists(odd_text, max_size=3)
    | st.dictionaries(
        st.sampled_from(["AWS", "Service", "Federated", "StringLike", "Null", "Bool"]),
        odd_text | st.lists(odd_text, max_size=2) | st.dictionaries(odd_text, odd_text, max_size=2),
        max_size=2,
    )
)  # fmt: skip
odd_statements = st.dictionaries(
    st.sampled_from(
        [
            "Sid",
            "Effect",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Principal",
            "NotPrincipal",
            "Condition",
            "Other",
        ]
    ),
    odd_values,
)
odd_documents = (
    st.fixed_dictionaries(
        {
            "Version": st.sampled_from(["2012-10-17", "2008-10-17"]) | json_values,
            "Statement": odd_statements | st.lists(odd_statements, max_size=3) | json_values,
        }
    )
    | json_values
)


@UNHURRIED
@given(document=odd_documents, kind=st.sampled_from(PolicyKind))
def test_odd_document_is_compiled_or_malformed_and_nothing_else(
    document: Json, kind: PolicyKind
) -> None:
    for value in (document, json.dumps(document)):
        with suppress(MalformedPolicy):
            compile_policy(value, kind=kind, name="p")


@UNHURRIED
@given(text=st.text(), kind=st.sampled_from(PolicyKind))
def test_odd_text_is_malformed(text: str, kind: PolicyKind) -> None:
    with pytest.raises(MalformedPolicy):
        compile_policy(text, kind=kind, name="p")


pattern_text = st.text(alphabet="ab:/*?.+", max_size=12)
subject_text = st.text(alphabet="ab:/.+", max_size=12)


def fixed(text: str) -> Pattern:
    tokens = parse(text, variables=False, wildcards=True)
    return tuple(token for token in tokens if not isinstance(token, Variable))


@UNHURRIED
@given(pattern=pattern_text, subject=subject_text)
def test_glob_agrees_with_a_reference(pattern: str, subject: str) -> None:
    reference = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    assert glob(fixed(pattern))(subject) is bool(re.fullmatch(reference, subject, re.DOTALL))


def reference_arn(pattern: str) -> str:
    """Translate field by field: the rule for wildcards in an ARN's head, written differently."""
    fields = pattern.split(":", 5)
    out = []
    for number, field in enumerate(fields):
        text = ""
        for position, character in enumerate(field):
            free = number == 5 or len(fields) < 6 or position == len(field) - 1
            if character == "*":
                text += ".*" if free else "[^:]*"
            elif character == "?":
                text += "." if number == 5 or len(fields) < 6 else "[^:]"
            else:
                text += re.escape(character)
        out.append(text)
    return ":".join(out)


@UNHURRIED
@given(
    pattern=st.lists(st.text("ab*?", max_size=4), min_size=6, max_size=7).map(":".join),
    subject=st.lists(st.text("ab", max_size=4), min_size=6, max_size=8).map(":".join),
)
def test_resource_pattern_agrees_with_a_reference(pattern: str, subject: str) -> None:
    expected = bool(re.fullmatch(reference_arn(pattern), subject))
    assert resource_matcher(fixed(pattern))(subject) is expected


@UNHURRIED
@given(pattern=pattern_text)
def test_a_resource_pattern_matches_its_own_wildcards_filled_in(pattern: str) -> None:
    filled = pattern.replace("*", "").replace("?", "a")
    assert resource_matcher(fixed(pattern))(filled)


@UNHURRIED
@given(text=st.text(alphabet="a${}*?,' :"), value=st.text(max_size=5))
def test_any_text_with_variables_is_read_and_resolved(text: str, value: str) -> None:
    for wildcards in (False, True):
        tokens = parse(text, variables=True, wildcards=wildcards)
        resolve(tokens, lambda _: value)
        resolve(tokens, lambda _: None)


@UNHURRIED
@given(text=st.text())
def test_text_without_variables_is_kept_as_it_is(text: str) -> None:
    assert "".join(str(t) for t in parse(text, variables=False, wildcards=False)) == text


operators = st.sampled_from([*POSITIVE, *INVERTED])
condition_values = st.lists(
    odd_text.filter(lambda text: text != "${")
    | st.text(max_size=6).filter(lambda text: "${" not in text),
    max_size=3,
)


def facts(value: Json) -> Facts:
    context = {} if value is None else {"test:key": value}
    return Facts(Request("test:Do", "*", PRINCIPALS[0], None, context))


@UNHURRIED
@given(
    operator=operators,
    qualifier=st.sampled_from(["", "ForAllValues:", "ForAnyValue:"]),
    suffix=st.sampled_from(["", "IfExists"]),
    values=condition_values,
    asked=st.none() | st.text(max_size=6) | st.lists(st.text(max_size=4), max_size=3),
)
def test_condition_answers_whatever_it_is_asked(
    operator: str, qualifier: str, suffix: str, values: list[str], asked: Json
) -> None:
    condition = compile_condition(qualifier + operator + suffix, "test:key", values, variables=True)
    assert condition.test(facts(asked)) in (True, False, None)


@UNHURRIED
@given(name=st.sampled_from(sorted(INVERTED)), values=condition_values, asked=st.text(max_size=6))
def test_inverted_operator_is_the_opposite_or_both_cannot_tell(
    name: str, values: list[str], asked: str
) -> None:
    positive = compile_condition(INVERTED[name], "test:key", values, variables=True)
    inverted = compile_condition(name, "test:key", values, variables=True)
    answer = positive.test(facts(asked))
    assert inverted.test(facts(asked)) is (None if answer is None else not answer)


actions = st.sampled_from(["*", "s3:*", "s3:GetObject", "s3:Put*", "kms:Decrypt", "sts:*"])
resources = st.sampled_from(
    ["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::c"]
)
blocks = st.sampled_from(
    [
        {},
        {"StringEquals": {"aws:username": "alice"}},
        {"StringNotEquals": {"aws:PrincipalTag/team": "${aws:ResourceTag/team}"}},
        {"BoolIfExists": {"aws:SecureTransport": "true"}},
        {"NumericLessThan": {"s3:max-keys": "10"}},
        {"ForAnyValue:StringLike": {"aws:TagKeys": "t*"}},
    ]
)
people = st.sampled_from(
    ["*", {"AWS": HOME}, {"AWS": USER_ARN}, {"AWS": ROLE_ARN}, {"AWS": SESSION_ARN}]
)


@st.composite
def statements(draw: st.DrawFn, *, effect: str | None = None, principal: bool) -> dict[str, Any]:
    action = draw(st.sampled_from(["Action", "NotAction"]))
    resource = draw(st.sampled_from(["Resource", "NotResource"]))
    made = {
        "Effect": effect or draw(st.sampled_from(["Allow", "Allow", "Deny"])),
        action: draw(actions),
        resource: draw(resources),
        "Condition": draw(blocks),
    }
    return {**made, "Principal": draw(people)} if principal else made


def made(kind: PolicyKind, listed: list[dict[str, Any]]) -> CompiledPolicy:
    return compile_policy(
        {"Version": "2012-10-17", "Statement": listed}, kind=kind, name=kind.value
    )


own = st.lists(statements(principal=False), min_size=1, max_size=3)
theirs = st.lists(statements(principal=True), min_size=1, max_size=3)


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, list[dict[str, Any]] | None]:
    return {
        "identity": draw(own),
        "boundary": draw(st.none() | own),
        "session": draw(st.none() | own),
        "scp": draw(st.none() | own),
        "resource": draw(st.none() | theirs),
    }


def policy_set(world: dict[str, list[dict[str, Any]] | None]) -> PolicySet:
    def one(name: str, kind: PolicyKind) -> CompiledPolicy | None:
        listed = world[name]
        return made(kind, listed) if listed is not None else None

    identity, session = one("identity", PolicyKind.IDENTITY), one("session", PolicyKind.SESSION)
    scp = one("scp", PolicyKind.SCP)
    return PolicySet(
        identity=(identity,) if identity else (),
        boundary=one("boundary", PolicyKind.BOUNDARY),
        session=(session,) if session else None,
        resource=one("resource", PolicyKind.RESOURCE),
        scps=((scp,),) if scp else (),
    )


requests = st.builds(
    Request,
    action=st.sampled_from(["s3:GetObject", "s3:PutObject", "kms:Decrypt", "sts:AssumeRole"]),
    resource=st.sampled_from(["*", "arn:aws:s3:::b/alice/k", "arn:aws:s3:::c"]),
    principal=st.sampled_from(PRINCIPALS),
    resource_account=st.sampled_from([None, HOME, AWAY]),
    context=st.fixed_dictionaries(
        {},
        optional={
            "aws:username": st.sampled_from(["alice", "bob", "*"]),
            "aws:PrincipalTag/team": st.just("blue"),
            "aws:ResourceTag/team": st.sampled_from(["blue", "red"]),
            "aws:SecureTransport": st.sampled_from(["true", "false"]),
            "s3:max-keys": st.sampled_from(["5", "50", "many"]),
            "aws:TagKeys": st.lists(st.sampled_from(["team", "x"]), max_size=2),
        },
    ),
)


@UNHURRIED
@given(world=worlds(), request=requests, data=st.data())
def test_adding_a_deny_never_turns_a_refusal_into_a_permission(
    world: dict[str, Any], request: Request, data: st.DataObject
) -> None:
    before = decide(request, policy_set(world)).outcome
    name = data.draw(st.sampled_from([name for name, listed in world.items() if listed]))
    extra = data.draw(statements(effect="Deny", principal=name == "resource"))
    after = decide(request, policy_set({**world, name: [*world[name], extra]})).outcome
    assert not (before is Outcome.DENY and after is Outcome.ALLOW)


@UNHURRIED
@given(world=worlds(), request=requests, data=st.data())
def test_adding_an_allow_never_turns_a_permission_into_a_refusal(
    world: dict[str, Any], request: Request, data: st.DataObject
) -> None:
    before = decide(request, policy_set(world)).outcome
    name = data.draw(st.sampled_from([name for name, listed in world.items() if listed]))
    extra = data.draw(statements(effect="Allow", principal=name == "resource"))
    after = decide(request, policy_set({**world, name: [*world[name], extra]})).outcome
    assert not (before is Outcome.ALLOW and after is Outcome.DENY)


@UNHURRIED
@given(world=worlds(), request=requests)
def test_layers_alone_make_the_outcome(world: dict[str, Any], request: Request) -> None:
    policies = policy_set(world)
    decision = decide(request, policies)
    assert combine(evaluate(request, policies).layers, request) == (
        decision.outcome,
        decision.reason,
    )
    if any(layer.effect is Effect.DENY for layer in decision.layers):
        assert decision.outcome is Outcome.DENY


@UNHURRIED
@given(world=worlds(), request=requests)
def test_no_order_of_statements_matters(world: dict[str, Any], request: Request) -> None:
    turned = {name: listed[::-1] if listed else listed for name, listed in world.items()}
    one, other = decide(request, policy_set(world)), decide(request, policy_set(turned))
    assert (one.outcome, one.reason) == (other.outcome, other.reason)


@UNHURRIED
@given(world=worlds(), request=requests)
def test_narrowing_a_session_never_widens_it(world: dict[str, Any], request: Request) -> None:
    assume(world["session"] is not None)
    wide = decide(request, policy_set({**world, "session": None})).outcome
    narrow = decide(request, policy_set(world)).outcome
    assert not (wide is Outcome.DENY and narrow is Outcome.ALLOW)
