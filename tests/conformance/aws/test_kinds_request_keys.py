"""Keys that a request brings: when, from where, for whom, through what."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.config import Config

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    READ,
    REGION,
    TAGS,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    reads,
    trusts,
)

case = Cases("request-time keys")
PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


def reading(lab: Lab, statements: list[dict[str, Any]]) -> Call:
    return reads(lab.user(*statements), lab.secret())


def only(operator: str, key: str, value: object) -> list[dict[str, Any]]:
    return [allow(READ, **cond(operator, key, value))]


def never(operator: str, key: str, value: object) -> list[dict[str, Any]]:
    return [EVERYTHING, deny(READ, **cond(operator, key, value))]


for _title, _statements, _allowed in (
    ("after a moment", only("DateGreaterThan", "aws:CurrentTime", PAST), True),
    ("before a moment", only("DateGreaterThan", "aws:CurrentTime", FUTURE), False),
    ("moment as epoch", only("DateGreaterThan", "aws:CurrentTime", "1000000000"), True),
    ("epoch as date", only("DateLessThan", "aws:EpochTime", FUTURE), True),
    ("epoch as number", only("NumericLessThan", "aws:EpochTime", "1000"), False),
    ("date under a string operator", only("StringEquals", "aws:CurrentTime", PAST), False),
    ("network", only("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "127.0.0.1/32"]), True),
    ("not a network", only("NotIpAddress", "aws:SourceIp", "127.0.0.0/8"), False),
    ("IPv6 network", only("IpAddress", "aws:SourceIp", "::1/128"), False),
    ("address under a string operator", only("StringEquals", "aws:SourceIp", "127.0.0.1"), True),
    ("not TLS", only("Bool", "aws:SecureTransport", "true"), False),
    ("plain", only("Bool", "aws:SecureTransport", "false"), True),
    ("forged TLS header is nobody's word", never("Bool", "aws:SecureTransport", "false"), False),
    ("no source VPC", only("StringEquals", "aws:SourceVpc", "vpc-1"), False),
    ("no source VPC, inverted", never("StringNotEquals", "aws:SourceVpc", "vpc-1"), False),
    ("no source VPC, if exists", never("StringNotEqualsIfExists", "aws:SourceVpc", "vpc-1"), False),
    ("null of an absent key", only("Null", "aws:SourceVpce", "true"), True),
    ("null of a present key", only("Null", "aws:SourceIp", "true"), False),
    ("not null of a present key", only("Null", "aws:SourceIp", "false"), True),
    ("called through nothing", only("Null", "aws:CalledVia", "true"), True),
    ("called via a service", only("ForAnyValue:StringEquals", "aws:CalledVia", "x"), False),
    ("organisation of the caller", only("StringLike", "aws:PrincipalOrgID", "o-*"), True),
    ("another organisation", only("StringEquals", "aws:PrincipalOrgID", "o-other"), False),
    (
        "path in the organisation",
        only("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-*/r-*/*"),
        True,
    ),
    (
        "organisation of the resource",
        only("StringEquals", "aws:ResourceOrgID", "${aws:PrincipalOrgID}"),
        True,
    ),
    (
        "organisation of the resource, other",
        only("StringEquals", "aws:ResourceOrgID", "o-x"),
        False,
    ),
    ("path of the resource", only("ForAnyValue:StringLike", "aws:ResourceOrgPaths", "o-*"), True),
    ("account of the resource", only("StringEquals", "aws:ResourceAccount", HOME), True),
    ("account of the resource, other", only("StringEquals", "aws:ResourceAccount", OTHER), False),
    ("is a user", only("StringEquals", "aws:PrincipalType", "User"), True),
    ("is no role", only("StringEquals", "aws:PrincipalType", "AssumedRole"), False),
    ("user id", only("StringLike", "aws:userid", "AIDA*"), True),
    ("key's name in another case", only("StringLike", "AWS:USERID", "AIDA*"), True),
    ("user name", only("StringLike", "aws:username", "user-*"), True),
    ("is no service", only("Bool", "aws:PrincipalIsAWSService", "false"), True),
    ("no service's name", only("Null", "aws:PrincipalServiceName", "true"), True),
    ("no source account", only("StringEquals", "aws:SourceAccount", HOME), False),
    ("region", never("StringNotEquals", "aws:RequestedRegion", REGION), True),
    ("another region", never("StringEquals", "aws:RequestedRegion", REGION), False),
    ("no token, issued never", only("Null", "aws:TokenIssueTime", "true"), True),
    ("no MFA age", only("NumericLessThan", "aws:MultiFactorAuthAge", "300"), False),
    (
        "no MFA, denied by BoolIfExists",
        never("BoolIfExists", "aws:MultiFactorAuthPresent", "false"),
        False,
    ),
    ("no MFA, not denied by Bool", never("Bool", "aws:MultiFactorAuthPresent", "false"), True),
    ("no federation", only("Null", "aws:FederatedProvider", "true"), True),
    ("agent of the client", only("StringLike", "aws:UserAgent", "Boto3/*"), True),
    ("no referer", only("StringLike", "aws:Referer", "*"), False),
    ("no source identity", only("StringEquals", "aws:SourceIdentity", "x"), False),
    (
        "two keys, both met",
        [
            allow(
                READ,
                Condition={
                    "StringEquals": {"aws:RequestedRegion": REGION, "aws:PrincipalAccount": HOME}
                },
            )
        ],
        True,
    ),
    (
        "two keys, one not met",
        [
            allow(
                READ,
                Condition={
                    "StringEquals": {"aws:RequestedRegion": REGION, "aws:PrincipalAccount": OTHER}
                },
            )
        ],
        False,
    ),
    ("several values, one met", only("StringEquals", "aws:RequestedRegion", ["x", REGION]), True),
    (
        "inverted, several values, one met",
        only("StringNotEquals", "aws:RequestedRegion", ["x", REGION]),
        False,
    ),
    ("any of no values", only("ForAnyValue:StringEquals", "aws:TagKeys", "x"), False),
    ("all of no values", only("ForAllValues:StringEquals", "aws:TagKeys", "x"), True),
    ("any of no values, inverted", only("ForAnyValue:StringNotEquals", "aws:TagKeys", "x"), False),
    (
        "equals in any case",
        only("StringEqualsIgnoreCase", "aws:RequestedRegion", "US-EAST-1"),
        True,
    ),
    ("equals in this case", only("StringEquals", "aws:RequestedRegion", "US-EAST-1"), False),
    ("equals knows no wildcard", only("StringEquals", "aws:RequestedRegion", "us-*"), False),
    (
        "ARN equals knows wildcards",
        only("ArnEquals", "aws:PrincipalArn", f"arn:aws:iam::{HOME}:user/*"),
        True,
    ),
    (
        "ARN wildcard does not span fields",
        only("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*"),
        False,
    ),
    ("number with a fraction", only("NumericGreaterThanEquals", "aws:EpochTime", "1.5"), True),
    ("no number", only("NumericEquals", "aws:username", "1"), False),
    ("no date", only("DateLessThan", "aws:username", FUTURE), False),
    ("no address", only("IpAddress", "aws:username", "0.0.0.0/0"), False),
):
    case(_title, allowed=_allowed)(
        lambda lab, statements=_statements: reading(lab, statements)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def agent(lab: Lab, own: list[dict[str, Any]], **more: Any) -> Call:  # noqa: ANN401  # botocore's configuration
    who, secret = lab.user(*own), lab.secret()
    client = lab.client("secretsmanager", config=Config(**more), **who.keys)
    return lambda: client.get_secret_value(SecretId=secret)


case("agent that the client chooses", allowed=True)(
    lambda lab: agent(lab, only("StringLike", "aws:UserAgent", "mine*"), user_agent="mine")
)


def with_header(lab: Lab, own: list[dict[str, Any]], name: str, value: str) -> Call:
    who, secret = lab.user(*own), lab.secret()
    client = who.secretsmanager

    def add(request: Any, **_: Any) -> None:  # noqa: ANN401  # botocore's event
        request.headers[name] = value

    client.meta.events.register("before-sign.secretsmanager.*", add)
    return lambda: client.get_secret_value(SecretId=secret)


case("referer that is sent", allowed=True)(
    lambda lab: with_header(
        lab, only("StringLike", "aws:Referer", "*example*"), "Referer", "an example"
    )
)
case("forwarded address is nobody's word", allowed=False)(
    lambda lab: with_header(
        lab, only("IpAddress", "aws:SourceIp", "10.0.0.0/8"), "X-Forwarded-For", "10.0.0.1"
    )
)
case("forwarded scheme is nobody's word", allowed=False)(
    lambda lab: with_header(
        lab, only("Bool", "aws:SecureTransport", "true"), "X-Forwarded-Proto", "https"
    )
)


def sealed(lab: Lab, *own: dict[str, Any]) -> Call:
    key = lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    return reads(lab.user(allow(READ), *own), lab.secret(KmsKeyId=key))


def via(operator: str, key: str, value: object) -> dict[str, Any]:
    return allow("kms:Decrypt", **cond(operator, key, value))


SERVICE = "secretsmanager.amazonaws.com"
for _title, _own, _allowed in (
    ("key through the service", via("ForAnyValue:StringEquals", "aws:CalledVia", SERVICE), True),
    ("key through another service", via("ForAnyValue:StringEquals", "aws:CalledVia", "s3"), False),
    ("key first through the service", via("StringEquals", "aws:CalledViaFirst", SERVICE), True),
    ("key last through the service", via("StringEquals", "aws:CalledViaLast", SERVICE), True),
    ("key through a service", via("Bool", "aws:ViaAWSService", "true"), True),
    ("key through no service", via("Bool", "aws:ViaAWSService", "false"), False),
    (
        "key from an address, through a service",
        via("IpAddress", "aws:SourceIp", "127.0.0.0/8"),
        False,
    ),
    (
        "key from the address, if there is one",
        via("IpAddressIfExists", "aws:SourceIp", "10.0.0.0/8"),
        True,
    ),
):
    case(_title, allowed=_allowed)(lambda lab, own=_own: sealed(lab, own))  # type: ignore[misc]  # mypy reads no default in a lambda


def in_session(lab: Lab, statement: dict[str, Any], **asked: Any) -> Call:  # noqa: ANN401  # what is assumed with
    who = lab.user()
    trust = trusts(who.arn, ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"])
    return reads(who.assume(lab.role(trust, statement), name="named", **asked), lab.secret())


for _title, _operator, _key, _value, _asked, _allowed in (
    ("session's id", "StringLike", "aws:userid", "AROA*:named", {}, True),
    ("session's id of another name", "StringLike", "aws:userid", "AROA*:other", {}, False),
    ("session has no user name", "Null", "aws:username", "true", {}, True),
    ("session is an assumed role", "StringEquals", "aws:PrincipalType", "AssumedRole", {}, True),
    ("session was issued", "DateLessThan", "aws:TokenIssueTime", FUTURE, {}, True),
    ("session without MFA", "Bool", "aws:MultiFactorAuthPresent", "false", {}, True),
    (
        "session's source identity",
        "StringEquals",
        "aws:SourceIdentity",
        "alice",
        {"SourceIdentity": "alice"},
        True,
    ),
    (
        "session's other source identity",
        "StringEquals",
        "aws:SourceIdentity",
        "bob",
        {"SourceIdentity": "alice"},
        False,
    ),
    ("session's tag", "StringEquals", "aws:PrincipalTag/team", "red", {"Tags": TAGS}, True),
    ("session's other tag", "StringEquals", "aws:PrincipalTag/team", "blue", {"Tags": TAGS}, False),
):
    case(_title, allowed=_allowed)(
        lambda lab, o=_operator, k=_key, v=_value, asked=_asked: in_session(  # type: ignore[misc]  # mypy reads no default in a lambda
            lab, allow(READ, **cond(o, k, v)), **asked
        )
    )


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
