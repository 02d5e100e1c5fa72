# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""Policies of the organisation over accounts and resources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    HOME,
    MANAGEMENT,
    OTHER,
    READ,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    deny,
    document,
    names,
    reads,
    unique,
    with_secret_policy,
)

case = Cases("organizations")


def under_scp(lab: Lab, *statements: dict[str, Any]) -> Call:
    organizations, secret = lab.admins[MANAGEMENT].organizations, lab.secret()
    policy = organizations.create_policy(
        Name=unique("scp"),
        Description="d",
        Type="SERVICE_CONTROL_POLICY",
        Content=document(*statements),
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=policy, TargetId=HOME)

    def limited() -> Any:
        try:
            return reads(lab.admin, secret)()
        finally:
            organizations.detach_policy(PolicyId=policy, TargetId=HOME)

    return limited


case("SCP denies the account's administrator", allowed=False)(
    lambda lab: under_scp(lab, deny(READ))
)
case("SCP denies something else", allowed=True)(lambda lab: under_scp(lab, deny("s3:*")))


@case("RCP denies another account what the secret's policy allows", allowed=False)
def _(lab: Lab) -> Call:
    organizations = lab.admins[MANAGEMENT].organizations
    shared = with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)
    shared()
    foreign = {"StringNotEquals": {"aws:PrincipalAccount": HOME}}
    policy = organizations.create_policy(
        Name=unique("rcp"),
        Description="d",
        Type="RESOURCE_CONTROL_POLICY",
        Content=document(deny(READ, Principal="*", Condition=foreign)),
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=policy, TargetId=HOME)

    def limited() -> Any:
        try:
            return shared()
        finally:
            organizations.detach_policy(PolicyId=policy, TargetId=HOME)

    return limited


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
