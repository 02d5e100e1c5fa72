# ruff: noqa: ANN401  # boto3's clients have no types
"""In front of LocalStack: a plain script, what was there before, and LocalStack's own doors.

The tables of decisions and of what the store holds run on LocalStack by
`IAMRANGE_AWS_UPSTREAM=localstack`.
"""

from __future__ import annotations

import http.client
import json
import subprocess
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from iamrange.clouds.aws.upstream_remote import RemoteUpstream
from tests.conformance.aws.environments import python_of
from tests.conformance.aws.lab import (
    HOME,
    REGION,
    Lab,
    allow,
    document,
    gets,
    reads,
    refusal_of,
    unique,
)
from tests.conformance.test_aws_upstreams import SCRIPT
from tests.conformance.test_clouds_command import Clouds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.aws.emulators import Emulator

USUAL = "000000000000"


@pytest.fixture
def lab(localstack: Emulator) -> Iterator[Lab]:
    running = Lab(remote=RemoteUpstream(localstack.url, localstack.kind))
    yield running
    running.stop()


def direct(emulator: Emulator, service: str, account: str) -> Any:
    """Return a client of LocalStack itself, as its users have it."""
    connect: Any = boto3.client
    return connect(
        service,
        endpoint_url=emulator.url,
        region_name=REGION,
        aws_access_key_id=account,
        aws_secret_access_key="test",
    )


def test_it_is_the_locked_version(localstack: Emulator) -> None:
    done = subprocess.run(  # noqa: S603 - the interpreter of that environment
        [
            python_of("localstack"),
            "-c",
            "import importlib.metadata as m; print(m.version('localstack-core'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert localstack.recognised.version == done.stdout.strip() == "4.9.2"


def test_plain_script_is_allowed_and_denied_as_on_aws(tmp_path: Path, localstack: Emulator) -> None:
    clouds = Clouds(tmp_path, accounts=[USUAL], aws_upstream=localstack.url)
    try:
        assert clouds.line["aws"]["upstream"]["kind"] == "localstack"
        endpoint = clouds.line["aws"]["endpoint"]
        said = clouds.script(SCRIPT, USUAL, AWS_ENDPOINT_URL=endpoint).split()
    finally:
        assert clouds.end() == 0
    assert said == [
        "allowed",
        "AccessDeniedException",
        "allowed",
        "AccessDenied",
        "AccessDenied",
    ]
    there = direct(localstack, "secretsmanager", USUAL)
    assert there.get_secret_value(SecretId="mine")["SecretString"] == "x"


def test_what_was_made_at_localstack_is_decided_here(lab: Lab, localstack: Emulator) -> None:
    there, name = direct(localstack, "s3", HOME), unique("bucket")
    there.create_bucket(Bucket=name)
    there.put_object(Bucket=name, Key="k", Body=b"x")
    assert refusal_of(gets(lab.user(), name, "k")) == ("AccessDenied", 403)
    assert gets(lab.user(allow("s3:GetObject")), name, "k")()["Body"].read() == b"x"
    who = lab.user()
    shared = allow("s3:GetObject", f"arn:aws:s3:::{name}/*", Principal={"AWS": who.arn})
    there.put_bucket_policy(Bucket=name, Policy=document(shared))
    assert gets(who, name, "k")()["Body"].read() == b"x"


def test_localstacks_own_doors_are_shut(lab: Lab, localstack: Emulator) -> None:
    kept = direct(localstack, "secretsmanager", HOME).create_secret(
        Name=unique("s"), SecretString="x"
    )["ARN"]
    for method, target in (
        ("POST", "/_localstack/state/reset"),
        ("GET", "/_localstack/health"),
        ("GET", "/_aws/sqs/messages?QueueUrl=x"),
        ("GET", "/_localstack/info"),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", lab.edge.port, timeout=20)
        connection.request(method, target)
        answer = connection.getresponse()
        assert 400 <= answer.status < 500
        assert b"edition" not in answer.read()
        connection.close()
    assert reads(lab.admin, kept)()["SecretString"] == "x"
    for key in ("test", HOME):
        client = lab.client("secretsmanager", aws_access_key_id=key, aws_secret_access_key="test")
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            client.get_secret_value(SecretId=kept)


def test_organisations_policies_bind_at_localstack_too(lab: Lab) -> None:
    organizations = lab.admins["100000000001"].organizations
    secret = lab.secret()
    denied = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*"}
    policy = organizations.create_policy(
        Name=unique("scp"),
        Description="d",
        Type="SERVICE_CONTROL_POLICY",
        Content=json.dumps({"Version": "2012-10-17", "Statement": [denied]}),
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=policy, TargetId=HOME)
    assert refusal_of(reads(lab.admin, secret)) == ("AccessDeniedException", 400)
    organizations.detach_policy(PolicyId=policy, TargetId=HOME)
    assert reads(lab.admin, secret)()["SecretString"] == "s"


def test_address_of_a_queue_leads_back_here(lab: Lab) -> None:
    name = unique("q")
    url = lab.admin.sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url == f"http://127.0.0.1:{lab.edge.port}/{HOME}/{name}"
    lab.admin.sqs.send_message(QueueUrl=url, MessageBody="m")
    assert lab.admin.sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "m"
