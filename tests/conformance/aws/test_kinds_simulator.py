# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""IAM's simulator, on the engine that decides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    ROOT,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    refusal_of,
    trusts,
    unique,
)

case = Cases("simulator")
GET = "s3:GetObject"
OBJECT = "arn:aws:s3:::bucket/key"


def entry(key: str, *values: str, kind: str = "string") -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}


def simulated(lab: Lab, decision: str, *policies: dict[str, Any], **asked: Any) -> Call:
    """Simulate given policies, and hold the first result to a decision."""
    whole: dict[str, Any] = {
        "PolicyInputList": [document(one) for one in policies],
        "ActionNames": [GET],
        "ResourceArns": [OBJECT],
        **asked,
    }

    def call() -> None:
        got = lab.admin.iam.simulate_custom_policy(**whole)["EvaluationResults"][0]
        assert got["EvalDecision"] == decision, got

    return call


RED_TEAM = cond("StringEquals", "aws:PrincipalTag/team", "red")
CALLER = f"arn:aws:iam::{HOME}:user/somebody"
STRANGER = f"arn:aws:iam::{OTHER}:user/somebody"
SHARED = document(allow(GET, "arn:aws:s3:::bucket/*", Principal={"AWS": CALLER}))
for _title, _decision, _policies, _asked in (
    ("allowed", "allowed", [allow(GET)], {}),
    ("nothing allows", "implicitDeny", [allow("s3:PutObject")], {}),
    ("denied", "explicitDeny", [EVERYTHING, deny(GET)], {}),
    ("another resource", "implicitDeny", [allow(GET, "arn:aws:s3:::other/*")], {}),
    (
        "context given",
        "allowed",
        [allow(GET, **RED_TEAM)],
        {"ContextEntries": [entry("aws:PrincipalTag/team", "red")]},
    ),
    (
        "context of another value",
        "implicitDeny",
        [allow(GET, **RED_TEAM)],
        {"ContextEntries": [entry("aws:PrincipalTag/team", "blue")]},
    ),
    ("context that is missing", "implicitDeny", [allow(GET, **RED_TEAM)], {}),
    (
        "boundary that allows",
        "allowed",
        [EVERYTHING],
        {"PermissionsBoundaryPolicyInputList": [document(allow("s3:*"))]},
    ),
    (
        "boundary that is silent",
        "implicitDeny",
        [EVERYTHING],
        {"PermissionsBoundaryPolicyInputList": [document(allow("ec2:*"))]},
    ),
    (
        "boundary that denies",
        "explicitDeny",
        [EVERYTHING],
        {"PermissionsBoundaryPolicyInputList": [document(deny("s3:*"))]},
    ),
    (
        "resource's policy alone",
        "allowed",
        [allow("ec2:*")],
        {"ResourcePolicy": SHARED, "CallerArn": CALLER},
    ),
    (
        "resource's policy for somebody else",
        "implicitDeny",
        [allow("ec2:*")],
        {"ResourcePolicy": SHARED, "CallerArn": f"{CALLER}-else"},
    ),
    (
        "resource's policy abroad, both",
        "allowed",
        [allow(GET)],
        {"ResourcePolicy": SHARED.replace(HOME, OTHER), "CallerArn": STRANGER},
    ),
    (
        "resource's policy abroad, alone",
        "implicitDeny",
        [allow("ec2:*")],
        {"ResourcePolicy": SHARED.replace(HOME, OTHER), "CallerArn": STRANGER},
    ),
    (
        "list of context values",
        "allowed",
        [allow(GET, **cond("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"]))],
        {"ContextEntries": [entry("aws:TagKeys", "a", "b", kind="stringList")]},
    ),
):
    case(_title, allowed=True)(
        lambda lab, d=_decision, p=_policies, asked=_asked: simulated(lab, d, *p, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


@case("simulating needs a permission", allowed=False)
def _(lab: Lab) -> Call:
    who = lab.user()
    return lambda: who.iam.simulate_principal_policy(PolicySourceArn=who.arn, ActionNames=[GET])


@case("simulating oneself by permission on oneself", allowed=True)
def _(lab: Lab) -> Call:
    who = lab.user(
        allow("iam:SimulatePrincipalPolicy", f"arn:aws:iam::{HOME}:user/${{aws:username}}")
    )
    return lambda: who.iam.simulate_principal_policy(PolicySourceArn=who.arn, ActionNames=[GET])


@case("simulating another by permission on oneself", allowed=False)
def _(lab: Lab) -> Call:
    who = lab.user(
        allow("iam:SimulatePrincipalPolicy", f"arn:aws:iam::{HOME}:user/${{aws:username}}")
    )
    return lambda: who.iam.simulate_principal_policy(
        PolicySourceArn=lab.admin.arn, ActionNames=[GET]
    )


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)


def test_results_come_page_by_page(lab: Lab) -> None:
    actions = [f"s3:Get{name}" for name in ("Object", "ObjectAcl", "BucketAcl", "ObjectTagging")]
    asked = {"PolicyInputList": [document(allow("s3:GetObject*"))], "ActionNames": actions}
    first = lab.admin.iam.simulate_custom_policy(**asked, MaxItems=3)
    assert (len(first["EvaluationResults"]), first["IsTruncated"]) == (3, True)
    last = lab.admin.iam.simulate_custom_policy(**asked, MaxItems=3, Marker=first["Marker"])
    assert (len(last["EvaluationResults"]), last["IsTruncated"]) == (1, False)
    pages = lab.admin.iam.get_paginator("simulate_custom_policy").paginate(**asked)
    found = [one for page in pages for one in page["EvaluationResults"]]
    assert [one["EvalActionName"] for one in found] == actions
    refused = refusal_of(lambda: lab.admin.iam.simulate_custom_policy(**asked, Marker="x"))
    assert refused[0] == "InvalidInput"


def test_result_names_statements_missing_keys_and_limits(lab: Lab) -> None:
    arn = lab.admin.iam.create_policy(
        PolicyName=unique("b"), PolicyDocument=document(allow("s3:*"))
    )["Policy"]["Arn"]
    who = lab.user(allow(GET, **RED_TEAM), PermissionsBoundary=arn)
    got = lab.admin.iam.simulate_principal_policy(PolicySourceArn=who.arn, ActionNames=[GET])
    result = got["EvaluationResults"][0]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["MissingContextValues"] == ["aws:principaltag/team"]
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": True}
    assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}
    given = [entry("aws:PrincipalTag/team", "red")]
    got = lab.admin.iam.simulate_principal_policy(
        PolicySourceArn=who.arn, ActionNames=[GET], ContextEntries=given
    )["EvaluationResults"][0]
    assert (got["EvalDecision"], got["MissingContextValues"]) == ("allowed", [])
    assert {"SourcePolicyId": "inline:p", "SourcePolicyType": "IAM Policy"} in got[
        "MatchedStatements"
    ]


def test_simulation_of_a_role_with_a_resource_policy_needs_a_caller(lab: Lab) -> None:
    role = lab.role(trusts(ROOT), allow(GET))
    asked = {"PolicySourceArn": role, "ActionNames": [GET], "ResourcePolicy": SHARED}
    refused = refusal_of(lambda: lab.admin.iam.simulate_principal_policy(**asked))
    assert refused[0] == "InvalidInput"
    detail = lab.admin.iam.simulate_principal_policy(**asked, CallerArn=STRANGER)
    result = detail["EvaluationResults"][0]
    assert result["EvalDecisionDetails"] == {
        "IAM Policy": "allowed",
        "Resource Policy": "implicitDeny",
    }
