"""What each kind of policy document may be, and AWS's words for what it may not."""

# A table reads best with one case a line.
# ruff: noqa: E501

from __future__ import annotations

import json
from typing import Any

import pytest

from iamrange.clouds.aws.decide import MalformedPolicy, PolicyKind, compile_policy
from iamrange.clouds.aws.documents import policy_size

Json = Any
"""What json.loads may return, and more."""

SYNTAX = "Syntax errors in policy."
IAM = [PolicyKind.IDENTITY, PolicyKind.BOUNDARY, PolicyKind.SESSION, PolicyKind.SCP]


def statement(**changes: Json) -> dict[str, Any]:
    """Return a valid identity statement with changes; None takes an element away."""
    base = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **changes}
    return {name: value for name, value in base.items() if value is not None}


def document(*statements: Json, **changes: Json) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements), **changes}


def refusal(value: Json, kind: PolicyKind = PolicyKind.IDENTITY) -> str:
    with pytest.raises(MalformedPolicy) as raised:
        compile_policy(value, kind=kind, name="p")
    return raised.value.message


VALID: list[tuple[str, PolicyKind, Any]] = [
    ("one statement, no list", PolicyKind.IDENTITY, {"Statement": statement()}),
    ("version of 2008", PolicyKind.IDENTITY, document(statement(), Version="2008-10-17")),
    ("with an Id", PolicyKind.IDENTITY, document(statement(), Id="my id")),
    ("lists", PolicyKind.IDENTITY, document(statement(Action=["a:B", "c:*"], Resource=["*"]))),
    ("empty Sid twice", PolicyKind.IDENTITY, document(statement(Sid=""), statement(Sid=""))),
    ("empty condition", PolicyKind.IDENTITY, document(statement(Condition={}))),
    ("all vendors", PolicyKind.IDENTITY, document(statement(Action="*:*"))),
    ("short ARN", PolicyKind.IDENTITY, document(statement(Resource="arn:aws:sqs"))),
    ("any partition", PolicyKind.IDENTITY, document(statement(Resource="arn:*:sqs:*:*:*"))),
    ("variable in ARN", PolicyKind.IDENTITY, document(statement(Resource="arn:aws:iam::${a:b}:role/x"))),
    ("variable as path", PolicyKind.IDENTITY, document(statement(Resource="arn:aws:iam::1:${a:b}"))),
    ("all of iam", PolicyKind.IDENTITY, document(statement(Resource="arn:aws:iam::1:*"))),
    ("access point", PolicyKind.IDENTITY, document(statement(Resource="arn:aws:s3:us-1:1:accesspoint/a"))),
    ("root of an account", PolicyKind.IDENTITY, document(statement(Resource="arn:aws:iam::1:root"))),
    ("boolean condition", PolicyKind.IDENTITY, document(statement(Condition={"Bool": {"a:b": True}}))),
    ("number condition", PolicyKind.IDENTITY, document(statement(Condition={"NumericLessThan": {"a:b": [1, 2.5]}}))),
    ("Sid with spaces", PolicyKind.RESOURCE, document(statement(Principal="*", Sid="Enable IAM"))),
    ("same Sid twice", PolicyKind.RESOURCE, document(statement(Principal="*", Sid="a"), statement(Principal="*", Sid="a"))),
    ("denied others", PolicyKind.RESOURCE, document(statement(Effect="Deny", NotPrincipal={"AWS": "123456789012"}))),
    ("canonical user", PolicyKind.RESOURCE, document(statement(Principal={"CanonicalUser": "abc"}))),
    ("deleted principal", PolicyKind.RESOURCE, document(statement(Principal={"AWS": "AIDACKCEVSQ6C2EXAMPLE"}))),
    ("origin access identity", PolicyKind.RESOURCE, document(statement(Principal={"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"}))),
    ("trust", PolicyKind.TRUST, document(statement(Resource=None, Action="sts:AssumeRole", Principal={"Service": "lambda.amazonaws.com"}))),
    ("trust in a provider", PolicyKind.TRUST, document(statement(Resource=None, Action=["sts:AssumeRoleWithWebIdentity", "sts:TagSession"], Principal={"Federated": ["accounts.google.com"]}))),
    ("SCP with NotAction", PolicyKind.SCP, document(statement(Action=None, NotAction="iam:*", Effect="Deny", NotResource="arn:aws:s3:::b", Resource=None))),
    ("AWS's own RCP", PolicyKind.RCP, document(statement(Principal="*", Action="*"))),
    ("RCP that denies", PolicyKind.RCP, document(statement(Effect="Deny", Principal="*", Action="s3:*"))),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), [pytest.param(k, v, id=i) for i, k, v in VALID])
def test_valid_document_is_compiled(kind: PolicyKind, value: Json) -> None:
    assert compile_policy(value, kind=kind, name="p").statements
    assert compile_policy(json.dumps(value), kind=kind, name="p").kind is kind


NOT_JSON = [
    "",
    "{",
    "null",
    "[]",
    '"policy"',
    "{} {}",
    '{"Statement": NaN}',
    '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
    '{"Statement": {"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}}',
    "[" * 100_000,
    '{"Statement": ' + "1" * 5000 + "}",
    "\ufeff{}",
]


@pytest.mark.parametrize("text", NOT_JSON, ids=range(len(NOT_JSON)))
def test_text_that_is_no_policy_has_syntax_errors(text: str) -> None:
    assert refusal(text) == SYNTAX


WRONG: list[tuple[str, Any]] = [
    ("not an object", 5),
    ("no statement", {"Version": "2012-10-17"}),
    ("empty statement list", document()),
    ("statement is text", document("Allow")),
    ("unknown version", document(statement(), Version="2012-10-18")),
    ("version is a number", document(statement(), Version=2012)),
    ("unknown top element", document(statement(), Comment="x")),
    ("Id is a number", document(statement(), Id=5)),
    ("unknown element", document(statement(Actions="s3:*"))),
    ("element in another case", document(statement(action="s3:*"))),
    ("no effect", document(statement(Effect=None))),
    ("effect in another case", document(statement(Effect="allow"))),
    ("effect is a list", document(statement(Effect=["Allow"]))),
    ("sid is a number", document(statement(Sid=5))),
    ("action is a number", document(statement(Action=5))),
    ("action is a list in a list", document(statement(Action=[["s3:*"]]))),
    ("action and its opposite", document(statement(NotAction="s3:*"))),
    ("resource and its opposite", document(statement(NotResource="*"))),
    ("resource is an object", document(statement(Resource={"a": "b"}))),
    ("condition is a list", document(statement(Condition=[]))),
    ("operator holds text", document(statement(Condition={"StringEquals": "a"}))),
    ("operator is a number", document(statement(Condition={5: {"a:b": "c"}}))),
    ("condition value is an object", document(statement(Condition={"StringEquals": {"a:b": {}}}))),
    ("condition value is null", document(statement(Condition={"StringEquals": {"a:b": [None]}}))),
]


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in WRONG])
def test_wrong_shape_is_a_syntax_error(value: Json) -> None:
    assert refusal(value) == SYNTAX


MESSAGES: list[tuple[dict[str, Any], str]] = [
    (statement(Action=None), "Policy statement must contain actions."),
    (statement(Action=[]), "Policy statement must contain actions."),
    (statement(Resource=None), "Policy statement must contain resources."),
    (statement(Resource=[]), "Policy statement must contain resources."),
    (
        statement(Action="GetObject"),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
    (
        statement(Action=":GetObject"),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
    (
        statement(Condition={"StringEquals": {"username": "x"}}),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
    (
        statement(Condition={"StringEquals": {5: "x"}}),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
    (statement(Action="s3*:GetObject"), "Vendor s3* is not valid"),
    (statement(Action="s3:Get:Object"), "Actions/Condition can contain only one colon."),
    (statement(Action="s3:"), "The policy failed legacy parsing"),
    (statement(Action="s3:GetObject "), "The policy failed legacy parsing"),
    (statement(Resource="bucket"), 'Resource bucket must be in ARN format or "*".'),
    (statement(Resource="arn:aws:s3:::b/${aws:username"), "The policy failed legacy parsing"),
    (
        statement(Condition={"StringEquals": {"a:b": "${a b}"}}),
        "The policy failed legacy parsing",
    ),
    (statement(Resource="arn"), 'Resource arn must be in ARN format or "*".'),
    (statement(Resource="arn:"), 'Resource arn: must be in ARN format or "*".'),
    (
        statement(Resource="arn:awx:s3:::b"),
        'Partition "awx" is not valid for resource "arn:awx:s3:::b".',
    ),
    (
        statement(Resource="arn:aws:iam:us-east-1:1:role/x"),
        "IAM resource arn:aws:iam:us-east-1:1:role/x cannot contain region information.",
    ),
    (
        statement(Resource="arn:aws:iam::1:ro*"),
        (
            'IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, '
            "instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, "
            "oidc-provider/, report/, access-report/."
        ),
    ),
    (
        statement(Resource="arn:aws:s3:us-east-1::b"),
        "Resource arn:aws:s3:us-east-1::b can not contain region information.",
    ),
    (
        statement(Condition={"StringMatches": {"a:b": "c"}}),
        "Invalid Condition type : StringMatches.",
    ),
    (
        statement(Sid="not alnum"),
        (
            "Statement IDs (SID) must be alpha-numeric. "
            "Check that your input satisfies the regular expression [0-9A-Za-z]*"
        ),
    ),
]


@pytest.mark.parametrize("kind", IAM)
@pytest.mark.parametrize(("value", "message"), MESSAGES)
def test_refusal_says_what_aws_says(kind: PolicyKind, value: Json, message: str) -> None:
    assert refusal(document(value), kind) == message


@pytest.mark.parametrize("kind", IAM)
def test_sids_are_unique(kind: PolicyKind) -> None:
    value = document(statement(Sid="a"), statement(Sid="a"))
    assert refusal(value, kind) == "Statement IDs (SID) in a single policy must be unique."


@pytest.mark.parametrize("kind", IAM)
@pytest.mark.parametrize("element", ["Principal", "NotPrincipal"])
def test_policy_of_a_principal_names_none(kind: PolicyKind, element: str) -> None:
    value = document(statement(**{element: "*"}))
    assert refusal(value, kind) == "Policy document should not specify a principal."


def test_session_policy_takes_no_short_arn() -> None:
    value = document(statement(Resource="arn:aws:sqs"))
    assert "must be in ARN format" in refusal(value, PolicyKind.SESSION)


TRUST: list[tuple[dict[str, Any], str]] = [
    ({"Resource": "*"}, "Has prohibited field Resource."),
    ({"NotResource": "*"}, "Has prohibited field Resource."),
    ({"Principal": None}, "Missing required field Principal"),
    ({"Principal": None, "NotPrincipal": "*"}, "Has prohibited field NotPrincipal."),
    ({"Action": "s3:GetObject"}, "AssumeRole policy may only specify STS AssumeRole actions."),
    ({"Action": "*"}, "AssumeRole policy may only specify STS AssumeRole actions."),
    ({"Sid": "a b"}, "Statement IDs (SID) must be alpha-numeric. "),
]


@pytest.mark.parametrize(("changes", "message"), TRUST)
def test_trust_policy_refuses(changes: dict[str, Any], message: str) -> None:
    base = {"Resource": None, "Action": "sts:AssumeRole", "Principal": {"AWS": "123456789012"}}
    value = document(statement(**{**base, **changes}))
    assert refusal(value, PolicyKind.TRUST).startswith(message)


PRINCIPALS: list[tuple[Any, str]] = [
    ({"AWS": "arn:aws:iam::123456789012:role/*"}, '"AWS":"arn:aws:iam::123456789012:role/*"'),
    ({"AWS": "arn:aws:iam::123456789012:user/u?"}, '"AWS":"arn:aws:iam::123456789012:user/u?"'),
    ({"AWS": "12345678901"}, '"AWS":"12345678901"'),
    ({"AWS": "bob"}, '"AWS":"bob"'),
    ({"AWS": "arn:aws:iam::123456789012:group/g"}, "group/g"),
    ({"AWS": "arn:aws:sts::123456789012:assumed-role/r"}, "assumed-role/r"),
    ({"AWS": []}, "Invalid principal in policy"),
    ({"AWS": ""}, "Invalid principal in policy"),
    ({"Person": "*"}, "Invalid principal in policy"),
    ({}, "Invalid principal in policy"),
    ("bob", "Invalid principal in policy"),
    (["*"], "Invalid principal in policy"),
    ({"AWS": 5}, SYNTAX),
]


@pytest.mark.parametrize(("principal", "message"), PRINCIPALS)
def test_principal_that_can_be_nobody_is_refused(principal: Json, message: str) -> None:
    value = document(statement(Principal=principal))
    assert message in refusal(value, PolicyKind.RESOURCE)


def test_allow_for_all_but_some_is_refused() -> None:
    value = document(statement(NotPrincipal={"AWS": "123456789012"}))
    assert refusal(value, PolicyKind.RESOURCE) == "Has prohibited field NotPrincipal."


def test_resource_policy_has_a_principal_and_a_resource() -> None:
    assert refusal(document(statement()), PolicyKind.RESOURCE) == "Missing required field Principal"
    value = document(statement(Principal="*", Resource=None))
    assert refusal(value, PolicyKind.RESOURCE) == "Policy statement must contain resources."


RCPS: list[dict[str, Any]] = [
    {"Effect": "Allow", "Action": "s3:*"},
    {"Effect": "Allow", "Action": "*", "Condition": {"Bool": {"a:b": "true"}}},
    {"Effect": "Allow", "Action": "*", "Resource": None, "NotResource": "*"},
    {"Effect": "Deny", "Action": "*"},
    {"Effect": "Deny", "Action": "s3:*", "Principal": {"AWS": "123456789012"}},
    {"Effect": "Deny", "Action": None, "NotAction": "s3:*"},
    {"Effect": "Deny", "Action": "s3:*", "Principal": None, "NotPrincipal": "*"},
]


@pytest.mark.parametrize("changes", RCPS)
def test_resource_control_policy_only_denies_everyone(changes: dict[str, Any]) -> None:
    refusal(document(statement(**{"Principal": "*", **changes})), PolicyKind.RCP)


@pytest.mark.parametrize("kind", [PolicyKind.SCP, PolicyKind.RCP])
def test_organisation_policy_has_the_latest_version(kind: PolicyKind) -> None:
    value = {"Statement": statement(Principal="*", Effect="Deny", Action="s3:*")}
    assert refusal(value, kind) == "Policy document must be version 2012-10-17 or greater."


def test_a_refusal_never_quotes_the_document_as_its_cause() -> None:
    with pytest.raises(MalformedPolicy) as raised:
        compile_policy('{"secret": ', kind=PolicyKind.IDENTITY, name="p")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_size_leaves_white_space_out() -> None:
    assert policy_size('{ "a":\n\t1 }') == 7


def test_repr_names_the_policy_and_not_its_content() -> None:
    policy = compile_policy(document(statement()), kind=PolicyKind.IDENTITY, name="inline:x")
    assert repr(policy) == "CompiledPolicy('inline:x', identity, 1 statements)"
