"""The proposer: whatever was granted and used, what it proposes is smaller and is enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from iamrange.clouds.aws.decide import (
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    compile_policy,
    decide,
)
from iamrange.clouds.aws.malformed import MalformedPolicy
from iamrange.core.decision import Outcome
from iamrange.credentials.privileges.estate import Document
from iamrange.credentials.privileges.model import Use
from iamrange.credentials.privileges.propose import NO_ARN, SECRET_SUFFIX, VARIABLE, propose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.decide import Decision

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/agent"
SESSION = Principal(
    "assumed-role",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/agent/s",
    role_arn=ROLE,
    account=ACCOUNT,
)
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/db-a1B2c3"
BUCKET = "arn:aws:s3:::bucket/alice/report"

ACTIONS = ("s3:GetObject", "s3:PutObject", "secretsmanager:GetSecretValue", "iam:ListRoles")
RESOURCES = (
    SECRET,
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/db-zzzzzz",
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/db-a1B2c3d",
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:other-a1B2c3",
    BUCKET,
    "arn:aws:s3:::bucket/bob/report",
    "arn:aws:s3:::bucket/bob/${x}",
    "arn:aws:s3:::bucket/*",
    "arn:aws:s3:::bucket/a?c",
    "arn:aws:s3:::bucket/abc",
    "*",
)
PATTERNS = (
    "*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::bucket/*",
    "arn:aws:s3:::bucket/${aws:PrincipalTag/who}/*",
    "arn:aws:s3:::bucket/a?c",
    "arn:aws:s3:::bucket/${*}",
    "arn:aws:s3",
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/*",
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/db-??????",
    f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:app/db-a*",
    SECRET,
)
ACTION_TEXTS = ("*", "s3:*", "s3:Get*", "S3:getobject", "secretsmanager:*", *ACTIONS)
CONDITIONS: tuple[dict[str, Any], ...] = (
    {},
    {"StringEquals": {"aws:PrincipalTag/who": "alice"}},
    {"StringNotEquals": {"aws:PrincipalTag/who": "bob"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"StringLike": {"aws:PrincipalTag/who": ["a*", "b*"]}, "Null": {"aws:SourceIp": "false"}},
)
CONTEXTS: tuple[dict[str, str], ...] = (
    {},
    {"aws:PrincipalTag/who": "alice", "aws:SecureTransport": "true"},
    {"aws:PrincipalTag/who": "bob", "aws:SourceIp": "10.0.0.1"},
)


def decision(
    document: Mapping[str, Any] | str | None, action: str, resource: str, context: dict[str, str]
) -> Decision:
    policies = (
        ()
        if document is None
        else (compile_policy(document, kind=PolicyKind.IDENTITY, name="inline:p"),)
    )
    return decide(
        Request(action, resource, SESSION, ACCOUNT, context), PolicySet(identity=policies)
    )


def allowed(
    document: Mapping[str, Any] | str | None, action: str, resource: str, context: dict[str, str]
) -> bool:
    return decision(document, action, resource, context).outcome is Outcome.ALLOW


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": draw(st.sampled_from(("Allow", "Allow", "Allow", "Deny"))),
        draw(st.sampled_from(("Action", "Action", "NotAction"))): draw(some(ACTION_TEXTS)),
        draw(st.sampled_from(("Resource", "Resource", "NotResource"))): draw(some(PATTERNS)),
    }
    condition = draw(st.sampled_from(CONDITIONS))
    if condition:
        statement["Condition"] = condition
    return statement


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    listed = draw(st.lists(statements(), min_size=1, max_size=3))
    for number, statement in enumerate(listed):
        if draw(st.booleans()):
            statement["Sid"] = f"S{number}"
    versions = draw(st.sampled_from(({"Version": "2012-10-17"}, {"Version": "2008-10-17"}, {})))
    return {**versions, "Statement": listed}


requests = st.tuples(
    st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), st.sampled_from(CONTEXTS)
)


NOT_OWN_FOLDER: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "NotResource": "arn:aws:s3:::bucket/${aws:PrincipalTag/who}/*",
        }
    ],
}


@given(documents(), st.lists(requests, max_size=6))
@example(NOT_OWN_FOLDER, [("s3:GetObject", BUCKET, CONTEXTS[2])])
@settings(max_examples=400, deadline=None)
def test_a_proposal_allows_what_was_used_and_nothing_that_is_not_granted(
    document: dict[str, Any], asked: list[tuple[str, str, dict[str, str]]]
) -> None:
    try:
        granted = compile_policy(document, kind=PolicyKind.IDENTITY, name="inline:p")
    except MalformedPolicy:
        reject()
    assert granted.statements
    uses, used = [], []
    for action, resource, context in asked:
        found = decision(document, action, resource, context)
        if found.outcome is not Outcome.ALLOW:
            continue
        by = next(layer.decided_by for layer in found.layers if layer.layer == "identity")
        assert by is not None
        used.append((action, resource, context))
        uses.append(
            Use(
                principal=ROLE,
                action=action,
                resource=resource,
                policy=by.policy,
                statement=by.statement,
                count=1,
                last=0.0,
            )
        )
    proposal = propose(Document("inline:p", json.dumps(document)), ROLE, uses)
    assert proposal.faults == ()
    for action, resource, context in used:
        assert allowed(proposal.document, action, resource, context)
    for action in ACTIONS:
        for resource in RESOURCES:
            for context in CONTEXTS:
                if allowed(proposal.document, action, resource, context):
                    assert allowed(document, action, resource, context)


def test_the_requests_of_the_property_are_not_all_refused() -> None:
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    assert all(allowed(everything, action, r, {}) for action in ACTIONS for r in RESOURCES)


def use(action: str, resource: str, statement: str = "S") -> Use:
    return Use(
        principal=ROLE,
        action=action,
        resource=resource,
        policy="inline:p",
        statement=statement,
        count=1,
        last=0.0,
    )


def proposed(statement: dict[str, Any], *uses: Use, version: str = "2012-10-17") -> Any:  # noqa: ANN401 - JSON
    body = {"Version": version, "Statement": [{"Sid": "S", "Effect": "Allow", **statement}]}
    return propose(Document("inline:p", json.dumps(body)), ROLE, uses)


@pytest.mark.parametrize(
    ("resources", "used", "written", "reason"),
    [
        ("*", SECRET, SECRET[:-6] + "??????", SECRET_SUFFIX),
        (SECRET, SECRET, SECRET, None),
        ("*", BUCKET, BUCKET, None),
        ("*", "*", "*", None),
        ("*", "arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/${*}", None),
        (
            "arn:aws:s3:::bucket/${aws:PrincipalTag/who}/*",
            BUCKET,
            "arn:aws:s3:::bucket/${aws:PrincipalTag/who}/*",
            VARIABLE,
        ),
    ],
)
def test_a_resource_is_written_exactly_but_for_a_declared_reason(
    resources: str, used: str, written: str, reason: str | None
) -> None:
    proposal = proposed({"Action": "*", "Resource": resources}, use("s3:GetObject", used))
    assert proposal.document["Statement"][0]["Resource"] == written
    assert [one.reason for one in proposal.generalised] == ([] if reason is None else [reason])


def test_in_the_old_version_a_name_with_a_wildcard_keeps_the_granted_pattern() -> None:
    proposal = proposed(
        {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"},
        use("s3:GetObject", "arn:aws:s3:::bucket/*"),
        version="2008-10-17",
    )
    assert proposal.document["Statement"][0]["Resource"] == "arn:aws:s3:::bucket/*"
    assert [one.reason for one in proposal.generalised] == [NO_ARN]


def test_conditions_and_denials_are_kept_as_they_stand() -> None:
    deny = {"Sid": "No", "Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    condition = {"StringEquals": {"aws:PrincipalTag/who": "${aws:SourceIdentity}"}}
    granted = {
        "Version": "2012-10-17",
        "Statement": [
            deny,
            {"Sid": "S", "Effect": "Allow", "Action": "iam:*", "Resource": "*"}
            | {"Condition": condition},
        ],
    }
    proposal = propose(Document("inline:p", json.dumps(granted)), ROLE, [use("iam:ListRoles", "*")])
    assert proposal.document is not None
    assert proposal.document["Statement"] == [
        deny,
        {
            "Sid": "S",
            "Effect": "Allow",
            "Action": "iam:ListRoles",
            "Resource": "*",
            "Condition": condition,
        },
    ]


def test_a_statement_that_is_split_gets_sids_of_its_own() -> None:
    proposal = proposed(
        {"Action": "*", "Resource": "*"},
        use("s3:GetObject", BUCKET),
        use("iam:ListRoles", "*"),
    )
    assert [one["Sid"] for one in proposal.document["Statement"]] == ["S", "S2"]
    assert proposal.faults == ()


def test_a_policy_of_which_nothing_was_used_is_proposed_to_go() -> None:
    assert proposed({"Action": "*", "Resource": "*"}).document is None


def test_uses_of_another_principal_or_policy_keep_nothing() -> None:
    body = {"Sid": "S", "Effect": "Allow", "Action": "*", "Resource": "*"}
    document = Document("inline:other", json.dumps({"Statement": [body]}))
    assert propose(document, ROLE, [use("s3:GetObject", BUCKET)]).document is None
    document = Document("inline:p", document.text)
    assert propose(document, f"{ROLE}2", [use("s3:GetObject", BUCKET)]).document is None
