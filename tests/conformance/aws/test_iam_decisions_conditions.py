# boto3's clients and the elements of policies have no types
"""A user's own policy alone, reading one secret: elements, operators, keys."""

from __future__ import annotations

import pytest

from tests.conformance.aws.lab import (
    BLUE,
    EVERYTHING,
    HOME,
    MY_TEAM,
    READ,
    RED,
    REGION,
    TEAM,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
)

case = Cases("elements and conditions")
PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"

for _title, _allowed, _tags, _own, _statements in (
    ("allow on exact ARN", True, {}, {}, [allow(READ, "@secret")]),
    ("no policy", False, {}, {}, []),
    ("explicit deny beats allow", False, {}, {}, [allow("*"), deny(READ, "@secret")]),
    (
        "deny with unmet condition is neutral",
        True,
        {},
        {},
        [EVERYTHING, deny(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/x", "y"))],
    ),
    ("resource wildcard match", True, {}, {}, [allow(READ, "@stem*")]),
    ("resource wildcard mismatch", False, {}, {}, [allow(READ, "@stem*zz")]),
    ("question marks for the suffix", True, {}, {}, [allow(READ, "@stem??????")]),
    ("name without suffix does not match", False, {}, {}, [allow(READ, "@name")]),
    ("action wildcard", True, {}, {}, [allow("secretsmanager:Get*", "@secret")]),
    ("action in other case", True, {}, {}, [allow("SecretsManager:getsecretvalue", "@secret")]),
    ("another action only", False, {}, {}, [allow("secretsmanager:DescribeSecret", "@secret")]),
    ("another secret only", False, {}, {}, [allow(READ, "@other")]),
    (
        "NotAction allow covers others",
        True,
        {},
        {},
        [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}],
    ),
    (
        "NotAction allow spares its own",
        False,
        {},
        {},
        [{"Effect": "Allow", "NotAction": "secretsmanager:*", "Resource": "*"}],
    ),
    (
        "Deny NotResource hits other ARN",
        False,
        {},
        {},
        [EVERYTHING, {"Effect": "Deny", "Action": READ, "NotResource": "@other"}],
    ),
    (
        "Deny NotResource spares the ARN",
        True,
        {},
        {},
        [EVERYTHING, {"Effect": "Deny", "Action": READ, "NotResource": "@secret"}],
    ),
    (
        "PrincipalTag match",
        True,
        {},
        RED,
        [allow(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "PrincipalTag mismatch",
        False,
        {},
        BLUE,
        [allow(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "PrincipalTag absent",
        False,
        {},
        {},
        [allow(READ, "@secret", **cond("StringEquals", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "IfExists with the tag absent",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("StringEqualsIfExists", "aws:PrincipalTag/team", "red"))],
    ),
    (
        "Deny NotEqualsIfExists, tag equal",
        True,
        {},
        RED,
        [
            EVERYTHING,
            deny(
                READ, "@secret", **cond("StringNotEqualsIfExists", "aws:PrincipalTag/team", "red")
            ),
        ],
    ),
    (
        "Deny without TLS over http",
        False,
        {},
        {},
        [EVERYTHING, deny("*", **cond("Bool", "aws:SecureTransport", "false"))],
    ),
    (
        "time in the past",
        False,
        {},
        {},
        [allow(READ, "@secret", **cond("DateLessThan", "aws:CurrentTime", PAST))],
    ),
    (
        "time in the future",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("DateLessThan", "aws:CurrentTime", FUTURE))],
    ),
    (
        "epoch time",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("NumericGreaterThan", "aws:EpochTime", "1000"))],
    ),
    (
        "source address mismatch",
        False,
        {},
        {},
        [allow(READ, "@secret", **cond("IpAddress", "aws:SourceIp", "10.0.0.0/8"))],
    ),
    (
        "source address match",
        True,
        {},
        {},
        [allow(READ, "@secret", **cond("IpAddress", "aws:SourceIp", "127.0.0.0/8"))],
    ),
    ("ResourceTag literal", True, RED, {}, [allow(READ, **cond("StringEquals", TEAM, "red"))]),
    (
        "ResourceTag other literal",
        False,
        RED,
        {},
        [allow(READ, **cond("StringEquals", TEAM, "blue"))],
    ),
    (
        "ResourceTag is PrincipalTag",
        True,
        RED,
        RED,
        [allow(READ, **cond("StringEquals", TEAM, MY_TEAM))],
    ),
    (
        "ResourceTag is not PrincipalTag",
        False,
        RED,
        BLUE,
        [allow(READ, **cond("StringEquals", TEAM, MY_TEAM))],
    ),
    (
        "ResourceTag and no PrincipalTag",
        False,
        RED,
        {},
        [allow(READ, **cond("StringEquals", TEAM, MY_TEAM))],
    ),
    (
        "Allow StringNotEquals on equal tags",
        False,
        RED,
        RED,
        [allow(READ, **cond("StringNotEquals", TEAM, MY_TEAM))],
    ),
    (
        "Deny StringNotEquals on equal tags",
        True,
        RED,
        RED,
        [EVERYTHING, deny(READ, **cond("StringNotEquals", TEAM, MY_TEAM))],
    ),
    (
        "Deny StringNotEquals on other tags",
        False,
        RED,
        BLUE,
        [EVERYTHING, deny(READ, **cond("StringNotEquals", TEAM, MY_TEAM))],
    ),
    (
        "the service's own ResourceTag",
        True,
        RED,
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:ResourceTag/team", "red"))],
    ),
    (
        "the service's own ResourceTag, other",
        False,
        RED,
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:ResourceTag/team", "blue"))],
    ),
    (
        "SecretId",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:SecretId", "@secret"))],
    ),
    (
        "VersionStage that was not asked",
        False,
        {},
        {},
        [allow(READ, **cond("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT"))],
    ),
    (
        "requested region",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:RequestedRegion", REGION))],
    ),
    (
        "other region",
        False,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:RequestedRegion", "eu-west-1"))],
    ),
    (
        "principal's account",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:PrincipalAccount", HOME))],
    ),
    (
        "resource's account",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:ResourceAccount", "${aws:PrincipalAccount}"))],
    ),
    (
        "MFA with a long-term key",
        False,
        {},
        {},
        [allow(READ, **cond("Bool", "aws:MultiFactorAuthPresent", "true"))],
    ),
    (
        "BoolIfExists MFA with a long-term key",
        True,
        {},
        {},
        [allow(READ, **cond("BoolIfExists", "aws:MultiFactorAuthPresent", "true"))],
    ),
    (
        "principal type",
        True,
        {},
        {},
        [allow(READ, **cond("StringEquals", "aws:PrincipalType", "User"))],
    ),
    (
        "through no service",
        True,
        {},
        {},
        [allow(READ, **cond("Bool", "aws:ViaAWSService", "false"))],
    ),
    ("user agent", True, {}, {}, [allow(READ, **cond("StringLike", "aws:UserAgent", "*Boto*"))]),
):
    case.policy(_title, _statements, allowed=_allowed, tags=_tags, own=_own)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
