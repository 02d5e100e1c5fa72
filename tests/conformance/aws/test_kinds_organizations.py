# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""SCPs and RCPs along root, unit and account; the management account stands outside."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    MANAGEMENT,
    OTHER,
    READ,
    TAGS,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    names,
    reads,
    trusts,
    unique,
    with_secret_policy,
)

case = Cases("organisation policies by level")
FULL = "p-FullAWSAccess"


class Limits:
    """Policies attached for one call, and taken away after it."""

    def __init__(self, lab: Lab) -> None:
        self.client = lab.admins[MANAGEMENT].organizations
        self.steps: list[tuple[str, str, dict[str, str]]] = []

    def attach(self, kind: str, target: str, *statements: dict[str, Any]) -> Limits:
        made = self.client.create_policy(
            Name=unique("p"), Description="d", Type=kind, Content=document(*statements)
        )["Policy"]["PolicySummary"]["Id"]
        named = {"PolicyId": made, "TargetId": target}
        self.steps.append(("attach_policy", "detach_policy", named))
        return self

    def without_full_access(self, target: str) -> Limits:
        named = {"PolicyId": FULL, "TargetId": target}
        self.steps.append(("detach_policy", "attach_policy", named))
        return self

    def around(self, call: Call) -> Call:
        def limited() -> Any:
            done: list[tuple[str, dict[str, str]]] = []
            try:
                for step, back, named in self.steps:
                    getattr(self.client, step)(**named)
                    done.append((back, named))
                return call()
            finally:
                for back, named in reversed(done):
                    getattr(self.client, back)(**named)

        return limited


def places(lab: Lab) -> dict[str, str]:
    """Return the root, and a unit that holds the home account."""
    client = lab.admins[MANAGEMENT].organizations
    root = client.list_roots()["Roots"][0]["Id"]
    parent = client.list_parents(ChildId=HOME)["Parents"][0]["Id"]
    if parent == root:
        parent = client.create_organizational_unit(ParentId=root, Name=unique("unit"))[
            "OrganizationalUnit"
        ]["Id"]
        client.move_account(AccountId=HOME, SourceParentId=root, DestinationParentId=parent)
    return {"root": root, "unit": parent, "account": HOME}


SCP, RCP = "SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"


def under(lab: Lab, level: str, *statements: dict[str, Any], kind: str = SCP) -> Call:
    target = places(lab)[level]
    call = reads(lab.user(allow(READ)), lab.secret())
    return Limits(lab).attach(kind, target, *statements).around(call)


for _level in ("root", "unit", "account"):
    case(f"SCP denies at the {_level}", allowed=False)(
        lambda lab, level=_level: under(lab, level, deny(READ))  # type: ignore[misc]  # mypy reads no default in a lambda
    )
    case(f"SCP denies something else at the {_level}", allowed=True)(
        lambda lab, level=_level: under(lab, level, deny("s3:*"))  # type: ignore[misc]  # mypy reads no default in a lambda
    )
    case(f"RCP denies at the {_level}", allowed=False)(
        lambda lab, level=_level: under(lab, level, deny(READ, Principal="*"), kind=RCP)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def only_list(lab: Lab, level: str, *allowed: str) -> Call:
    """Leave only a list of allowed services at one level."""
    target = places(lab)[level]
    call = reads(lab.user(EVERYTHING), lab.secret())
    limits = Limits(lab).attach(SCP, target, allow(list(allowed)))
    return limits.without_full_access(target).around(call)


for _level in ("unit", "account"):
    case(f"SCP allows only others at the {_level}", allowed=False)(
        lambda lab, level=_level: only_list(lab, level, "s3:*")  # type: ignore[misc]  # mypy reads no default in a lambda
    )
    case(f"SCP allows it at the {_level}", allowed=True)(
        lambda lab, level=_level: only_list(lab, level, "secretsmanager:*", "organizations:*")  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def scoped(lab: Lab, own: dict[str, Any], **who: Any) -> Call:
    target = places(lab)["account"]
    return (
        Limits(lab)
        .attach(SCP, target, own)
        .around(reads(lab.user(allow(READ), **who), lab.secret()))
    )


def tag(value: str) -> list[dict[str, str]]:
    return [{"Key": "team", "Value": value}]


SPARES_RED = deny(READ, **cond("StringNotEquals", "aws:PrincipalTag/team", "red"))
case("SCP spares a tagged principal", allowed=True)(lambda lab: scoped(lab, SPARES_RED, Tags=TAGS))
case("SCP denies an untagged principal", allowed=False)(lambda lab: scoped(lab, SPARES_RED))
case("SCP denies by region", allowed=False)(
    lambda lab: scoped(
        lab, deny("*", **cond("StringNotEquals", "aws:RequestedRegion", "eu-west-1"))
    )
)
case("SCP denies by the resource's tag", allowed=True)(
    lambda lab: scoped(lab, deny(READ, **cond("StringEquals", "aws:ResourceTag/team", "red")))
)


@case("SCP on a resource's tag", allowed=False)
def _(lab: Lab) -> Call:
    target = places(lab)["account"]
    limits = Limits(lab).attach(
        SCP, target, deny(READ, **cond("StringEquals", "aws:ResourceTag/team", "red"))
    )
    return limits.around(reads(lab.user(allow(READ)), lab.secret(Tags=TAGS)))


@case("SCP binds a role's session", allowed=False)
def _(lab: Lab) -> Call:
    target, who = places(lab)["account"], lab.user()
    session = who.assume(lab.role(trusts(who.arn), EVERYTHING))
    return Limits(lab).attach(SCP, target, deny(READ)).around(reads(session, lab.secret()))


@case("SCP does not bind the management account", allowed=True)
def _(lab: Lab) -> Call:
    secret = lab.secret(account=MANAGEMENT)
    limits = Limits(lab).attach(SCP, places(lab)["root"], deny(READ))
    return limits.around(reads(lab.user(allow(READ), account=MANAGEMENT), secret))


@case("SCP does not bind an account outside", allowed=True)
def _(lab: Lab) -> Call:
    secret = lab.secret(account=OTHER)
    limits = Limits(lab).attach(SCP, places(lab)["root"], deny(READ))
    return limits.around(reads(lab.user(allow(READ), account=OTHER), secret))


@case("SCP of the resource's account does not bind strangers", allowed=True)
def _(lab: Lab) -> Call:
    shared = with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)
    return Limits(lab).attach(SCP, HOME, deny(READ)).around(shared)


@case("RCP binds strangers", allowed=False)
def _(lab: Lab) -> Call:
    shared = with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)
    outside = cond("StringNotEqualsIfExists", "aws:PrincipalOrgID", "${aws:ResourceOrgID}")
    return Limits(lab).attach(RCP, HOME, deny(READ, Principal="*", **outside)).around(shared)


@case("RCP by organisation spares its own", allowed=True)
def _(lab: Lab) -> Call:
    outside = cond("StringNotEqualsIfExists", "aws:PrincipalOrgID", "${aws:ResourceOrgID}")
    call = reads(lab.user(allow(READ)), lab.secret())
    return Limits(lab).attach(RCP, HOME, deny(READ, Principal="*", **outside)).around(call)


@case("RCP does not bind a service that it does not know", allowed=True)
def _(lab: Lab) -> Call:
    who = lab.user(allow("ssm:DescribeParameters"))
    limits = Limits(lab).attach(RCP, HOME, deny("s3:*", Principal="*"))
    call: Call = who.ssm.describe_parameters
    return limits.around(call)


@case("RCP binds a role's trust", allowed=False)
def _(lab: Lab) -> Call:
    who = lab.user()
    role = lab.role(trusts(who.arn))
    limits = Limits(lab).attach(RCP, HOME, deny("sts:AssumeRole", Principal="*"))
    return limits.around(lambda: who.assume(role))


@case("member leaves, kept by an SCP", allowed=False)
def _(lab: Lab) -> Call:
    limits = Limits(lab).attach(SCP, places(lab)["root"], deny("organizations:LeaveOrganization"))
    call: Call = lab.admin.organizations.leave_organization
    return limits.around(call)


@case("denial at the root beats an allow below", allowed=False)
def _(lab: Lab) -> Call:
    found = places(lab)
    limits = Limits(lab).attach(SCP, found["root"], deny(READ)).attach(SCP, HOME, allow(READ))
    return limits.around(reads(lab.user(allow(READ)), lab.secret()))


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
