# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""Keys of Secrets Manager, Systems Manager and EC2, and what tags at creation need."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    MY_TEAM,
    READ,
    REGION,
    ROOT,
    TAGS,
    TEAM,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    unique,
)

case = Cases("secretsmanager, ssm and ec2 keys")


def secret_call(lab: Lab, own: list[dict[str, Any]], call: Any, **more: Any) -> Call:
    secret, who = lab.secret(**more), lab.user(*own)
    return lambda: call(who.secretsmanager, secret)


def sm(action: str, operator: str, key: str, value: object) -> list[dict[str, Any]]:
    return [allow(f"secretsmanager:{action}", **cond(operator, f"secretsmanager:{key}", value))]


def make(lab: Lab, own: list[dict[str, Any]], **asked: Any) -> Call:
    who = lab.user(*own)
    return lambda: who.secretsmanager.create_secret(
        **{"Name": unique("made"), "SecretString": "s", **asked}
    )


NAMED = sm("CreateSecret", "StringLike", "Name", "made-*")
RECOVERY = sm("DeleteSecret", "NumericGreaterThanEquals", "RecoveryWindowInDays", "7")
FORCE = sm("DeleteSecret", "Bool", "ForceDeleteWithoutRecovery", "false")
for _title, _own, _call, _allowed in (
    (
        "deletion after days",
        RECOVERY,
        lambda c, s: c.delete_secret(SecretId=s, RecoveryWindowInDays=7),
        True,
    ),
    (
        "deletion too soon",
        sm("DeleteSecret", "NumericGreaterThan", "RecoveryWindowInDays", "7"),
        lambda c, s: c.delete_secret(SecretId=s, RecoveryWindowInDays=7),
        False,
    ),
    (
        "deletion at once",
        FORCE,
        lambda c, s: c.delete_secret(SecretId=s, ForceDeleteWithoutRecovery=True),
        False,
    ),
    (
        "stage that is asked for",
        sm("GetSecretValue", "ForAnyValue:StringEquals", "VersionStage", "AWSCURRENT"),
        lambda c, s: c.get_secret_value(SecretId=s, VersionStage="AWSCURRENT"),
        True,
    ),
    (
        "another stage",
        sm("GetSecretValue", "ForAnyValue:StringEquals", "VersionStage", "AWSCURRENT"),
        lambda c, s: c.get_secret_value(SecretId=s, VersionStage="AWSPREVIOUS"),
        False,
    ),
    (
        "public policy blocked",
        sm("PutResourcePolicy", "Bool", "BlockPublicPolicy", "true"),
        lambda c, s: c.put_resource_policy(
            SecretId=s,
            ResourcePolicy=document(allow(READ, Principal={"AWS": ROOT})),
            BlockPublicPolicy=True,
        ),
        True,
    ),
    (
        "public policy not blocked",
        sm("PutResourcePolicy", "Bool", "BlockPublicPolicy", "true"),
        lambda c, s: c.put_resource_policy(
            SecretId=s, ResourcePolicy=document(allow(READ, Principal={"AWS": ROOT}))
        ),
        False,
    ),
    (
        "tag that is allowed",
        [
            allow(
                "secretsmanager:TagResource",
                **cond("ForAllValues:StringEquals", "aws:TagKeys", ["team"]),
            )
        ],
        lambda c, s: c.tag_resource(SecretId=s, Tags=TAGS),
        True,
    ),
    (
        "tag that is not allowed",
        [
            allow(
                "secretsmanager:TagResource",
                **cond("ForAllValues:StringEquals", "aws:TagKeys", ["x"]),
            )
        ],
        lambda c, s: c.tag_resource(SecretId=s, Tags=TAGS),
        False,
    ),
    (
        "tag taken away",
        [
            allow(
                "secretsmanager:UntagResource",
                **cond("ForAllValues:StringEquals", "aws:TagKeys", ["x"]),
            )
        ],
        lambda c, s: c.untag_resource(SecretId=s, TagKeys=["team"]),
        False,
    ),
    (
        "secret of the current policy",
        sm("GetSecretValue", "Null", "SecretId", "false"),
        lambda c, s: c.get_secret_value(SecretId=s),
        True,
    ),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, call=_call: secret_call(lab, own, call)  # type: ignore[misc]  # mypy reads no default in a lambda
    )
case("secret by its name", allowed=True)(lambda lab: make(lab, NAMED))
case("secret by another name", allowed=False)(lambda lab: make(lab, NAMED, Name=unique("other")))


def own_tag_only(lab: Lab, team: str) -> Call:
    """Only a secret with one's own tag may be made (ABAC at creation)."""
    own = allow(
        ["secretsmanager:CreateSecret", "secretsmanager:TagResource"],
        **cond("StringEquals", "aws:RequestTag/team", MY_TEAM),
    )
    who = lab.user(own, Tags=TAGS)
    return lambda: who.secretsmanager.create_secret(
        Name=unique("made"), SecretString="s", Tags=[{"Key": "team", "Value": team}]
    )


case("secret of one's own team", allowed=True)(lambda lab: own_tag_only(lab, "red"))
case("secret of another team", allowed=False)(lambda lab: own_tag_only(lab, "blue"))


def parameter(lab: Lab, own: dict[str, Any], call: Any, **more: Any) -> Call:
    name = f"/kinds/{unique('p')}"
    lab.admin.ssm.put_parameter(Name=name, Value="v", Type="String", **more)
    who = lab.user(own)
    return lambda: call(who.ssm, name)


def overwrite(ssm: Any, name: str) -> Any:
    return ssm.put_parameter(Name=name, Value="w", Type="String", Overwrite=True)


case("parameter that is overwritten", allowed=True)(
    lambda lab: parameter(
        lab, allow("ssm:PutParameter", **cond("StringEquals", "ssm:Overwrite", "true")), overwrite
    )
)
case("parameter that may not be overwritten", allowed=False)(
    lambda lab: parameter(
        lab, allow("ssm:PutParameter", **cond("StringEquals", "ssm:Overwrite", "false")), overwrite
    )
)
case("parameter's tag", allowed=True)(
    lambda lab: parameter(
        lab,
        allow("ssm:GetParameter", **cond("StringEquals", "ssm:resourceTag/team", "red")),
        lambda ssm, name: ssm.get_parameter(Name=name),
        Tags=TAGS,
    )
)
case("parameter's other tag", allowed=False)(
    lambda lab: parameter(
        lab,
        allow("ssm:GetParameter", **cond("StringEquals", "aws:ResourceTag/team", "blue")),
        lambda ssm, name: ssm.get_parameter(Name=name),
        Tags=TAGS,
    )
)


def by_path(lab: Lab, form: str) -> Call:
    place = unique("place")
    lab.admin.ssm.put_parameter(Name=f"/{place}/a", Value="v", Type="String")
    arn = f"arn:aws:ssm:{REGION}:{HOME}:parameter/{form.format(place)}"
    who = lab.user(allow("ssm:GetParametersByPath", arn))
    return lambda: who.ssm.get_parameters_by_path(Path=f"/{place}")


case("parameters under a path", allowed=True)(lambda lab: by_path(lab, "{}"))
case("parameters under a path, allowed below it", allowed=False)(lambda lab: by_path(lab, "{}/*"))


def runs(lab: Lab, *own: dict[str, Any], **asked: Any) -> Call:
    who = lab.user(*own)
    return lambda: who.ec2.run_instances(
        **{"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1, **asked}
    )


def tagged(value: str) -> dict[str, Any]:
    tags = [{"Key": "team", "Value": value}]
    return {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]}


RUN = allow("ec2:RunInstances")
AT_LAUNCH = allow("ec2:CreateTags", **cond("StringEquals", "ec2:CreateAction", "RunInstances"))
SMALL = deny(
    "ec2:RunInstances",
    "arn:aws:ec2:*:*:instance/*",
    **cond("StringNotEquals", "ec2:InstanceType", "t3.micro"),
)
MUST_BE_RED = deny(
    "ec2:RunInstances",
    "arn:aws:ec2:*:*:instance/*",
    **cond("StringNotEquals", "aws:RequestTag/team", "red"),
)
for _title, _own, _asked, _allowed in (
    ("instance", [RUN], {}, True),
    ("instance with tags, without CreateTags", [RUN], tagged("red"), False),
    ("instance with tags at launch", [RUN, AT_LAUNCH], tagged("red"), True),
    ("instance of the size", [RUN, SMALL], {"InstanceType": "t3.micro"}, True),
    ("instance of another size", [RUN, SMALL], {"InstanceType": "m5.large"}, False),
    ("instance that must have a tag", [RUN, AT_LAUNCH, MUST_BE_RED], tagged("red"), True),
    ("instance with another tag", [RUN, AT_LAUNCH, MUST_BE_RED], tagged("blue"), False),
    ("instance without the tag", [RUN, MUST_BE_RED], {}, False),
    (
        "instance of another image",
        [allow("ec2:RunInstances", "arn:aws:ec2:*::image/ami-0000")],
        {},
        False,
    ),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, asked=_asked: runs(lab, *own, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def tags_later(lab: Lab, *own: dict[str, Any]) -> Call:
    made = lab.admin.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    ids, who = [made["Instances"][0]["InstanceId"]], lab.user(*own)
    return lambda: who.ec2.create_tags(Resources=ids, Tags=TAGS)


case("tags later by the permission for launches", allowed=False)(
    lambda lab: tags_later(lab, AT_LAUNCH)
)
case("tags later", allowed=True)(lambda lab: tags_later(lab, allow("ec2:CreateTags")))


def volume(lab: Lab, team: str) -> Call:
    tags = [{"ResourceType": "volume", "Tags": TAGS}]
    made = lab.admin.ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags
    )
    who = lab.user(allow("ec2:DeleteVolume", **cond("StringEquals", TEAM, team)))
    return lambda: who.ec2.delete_volume(VolumeId=made["VolumeId"])


case("volume's tag, by the reference", allowed=True)(lambda lab: volume(lab, "red"))
case("volume's other tag, by the reference", allowed=False)(lambda lab: volume(lab, "blue"))


def regroups(lab: Lab, *, spared: bool) -> Call:
    """Put an instance into a security group: a permission on both (by the group's id)."""
    made = lab.admin.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    ident = made["Instances"][0]["InstanceId"]
    vpc = lab.admin.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    groups = [
        lab.admin.ec2.create_security_group(GroupName=unique("g"), Description="d", VpcId=vpc)[
            "GroupId"
        ]
        for _ in range(2)
    ]
    denied = f"arn:aws:ec2:{REGION}:{HOME}:security-group/{groups[0]}"
    who = lab.user(allow("ec2:*"), deny("ec2:ModifyInstanceAttribute", denied))
    wanted = groups[1:] if spared else groups
    return lambda: who.ec2.modify_instance_attribute(InstanceId=ident, Groups=wanted)


case("security group in a list, denied", allowed=False)(lambda lab: regroups(lab, spared=False))
case("security group in a list, spared", allowed=True)(lambda lab: regroups(lab, spared=True))


def stream(lab: Lab, end: str) -> Call:
    name = unique("stream")
    lab.admin.kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = f"arn:aws:kinesis:{REGION}:{HOME}:stream/{name}{end}"
    who = lab.user(allow("kinesis:DescribeStream", arn))
    return lambda: who.kinesis.describe_stream(StreamName=name)


case("stream by the reference", allowed=True)(lambda lab: stream(lab, ""))
case("another stream by the reference", allowed=False)(lambda lab: stream(lab, "x"))


@case("key of a service that is only known by the reference", allowed=False)
def _(lab: Lab) -> Call:
    name = unique("stream")
    lab.admin.kinesis.create_stream(StreamName=name, ShardCount=1)
    who = lab.user(EVERYTHING, deny("kinesis:*", **cond("StringEquals", "kinesis:Anything", "x")))
    return lambda: who.kinesis.describe_stream(StreamName=name)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
