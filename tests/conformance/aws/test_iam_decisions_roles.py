# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""Who may assume which role, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    MAY,
    OTHER,
    ROOT,
    TAGS,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    cond,
    trusts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

case = Cases("assuming roles")


def assuming(
    lab: Lab,
    trust: Callable[[Principal], dict[str, Any]],
    *own: dict[str, Any],
    account: str = HOME,
    role: dict[str, Any] | None = None,
    **asked: Any,
) -> Call:
    who = lab.user(*own, account=account)
    arn = lab.role(trust(who), **(role or {}))
    return lambda: who.assume(arn, **asked)


ID = cond("StringEquals", "sts:ExternalId", "right")
case("trust and identity allow", allowed=True)(
    lambda lab: assuming(lab, lambda _: trusts(ROOT), MAY)
)
case("trust names the user, no identity policy", allowed=True)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn))
)
case("trust names the account, no identity policy", allowed=False)(
    lambda lab: assuming(lab, lambda _: trusts(ROOT))
)
case("trust denies", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn) | {"Effect": "Deny"}, EVERYTHING)
)
case("external id right", allowed=True)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **ID), ExternalId="right")
)
case("external id wrong", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **ID), MAY, ExternalId="wrong")
)
case("external id missing", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **ID), MAY)
)
case("duration over the role's limit", allowed=False)(
    lambda lab: assuming(
        lab, lambda w: trusts(w.arn), role={"MaxSessionDuration": 3600}, DurationSeconds=7200
    )
)
case("duration within the role's limit", allowed=True)(
    lambda lab: assuming(
        lab, lambda w: trusts(w.arn), role={"MaxSessionDuration": 7200}, DurationSeconds=7200
    )
)
case("session tags without TagSession in the trust", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn), EVERYTHING, Tags=TAGS)
)
case("session tags with TagSession", allowed=True)(
    lambda lab: assuming(
        lab, lambda w: trusts(w.arn, ["sts:AssumeRole", "sts:TagSession"]), Tags=TAGS
    )
)
NAMED = cond("StringEquals", "sts:RoleSessionName", "${aws:username}")
case("role session name mismatch", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn, **NAMED))
)
SOURCE = cond("StringEquals", "sts:SourceIdentity", "alice")
case("source identity met", allowed=True)(
    lambda lab: assuming(
        lab,
        lambda w: trusts(w.arn, ["sts:AssumeRole", "sts:SetSourceIdentity"], **SOURCE),
        SourceIdentity="alice",
    )
)
case("source identity not met", allowed=False)(
    lambda lab: assuming(
        lab,
        lambda w: trusts(w.arn, ["sts:AssumeRole", "sts:SetSourceIdentity"], **SOURCE),
        SourceIdentity="mallory",
    )
)
case("cross-account AssumeRole, both allow", allowed=True)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn), MAY, account=OTHER)
)
case("cross-account AssumeRole, no identity policy", allowed=False)(
    lambda lab: assuming(lab, lambda w: trusts(w.arn), account=OTHER)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
