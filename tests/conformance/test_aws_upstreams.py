# ruff: noqa: ANN401  # boto3's clients have no types
"""The authorizer in front of an emulator: what reaches it, where it lands, what happens without it.

The emulator here is moto's server. The tables of decisions run on every emulator: see `aws/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from iamrange.clouds.aws.upstream import UpstreamDownError, UpstreamError
from iamrange.clouds.aws.upstream_gaps import UpstreamKind
from iamrange.clouds.aws.upstream_http import HttpTransport, Lane, Sent
from iamrange.clouds.aws.upstream_remote import RemoteUpstream
from iamrange.range.clouds import CloudsOptions, serve_clouds
from tests.conformance.aws.emulators import Emulator, free_port
from tests.conformance.aws.lab import (
    HOME,
    OTHER,
    READ,
    REGION,
    Lab,
    allow,
    document,
    names,
    reads,
    refusal_of,
    unique,
    with_secret_policy,
)
from tests.conformance.test_clouds_command import Clouds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def moto() -> Iterator[Emulator]:
    running = Emulator(UpstreamKind.MOTO)
    yield running
    running.stop()


@pytest.fixture
def lab(moto: Emulator) -> Iterator[Lab]:
    running = Lab(remote=RemoteUpstream(moto.url, moto.kind))
    yield running
    running.stop()


def direct(emulator: Emulator, service: str, account: str = HOME) -> Any:
    """Return a client of the emulator itself, past the authorizer."""
    connect: Any = boto3.client
    client = connect(
        service,
        endpoint_url=emulator.url,
        region_name=REGION,
        aws_access_key_id=account,
        aws_secret_access_key="test",
    )
    client.meta.events.register(
        "before-send",
        lambda request, **_: request.headers.update({"x-moto-account-id": account}),
    )
    return client


# --- the command


SCRIPT = """
import json, os, boto3
from botocore.exceptions import ClientError
iam, secrets, s3 = boto3.client('iam'), boto3.client('secretsmanager'), boto3.client('s3')
mine = secrets.create_secret(Name='mine', SecretString='x')['ARN']
other = secrets.create_secret(Name='other', SecretString='y')['ARN']
s3.create_bucket(Bucket='reports')
s3.put_object(Bucket='reports', Key='open/a', Body=b'a')
s3.put_object(Bucket='reports', Key='closed/a', Body=b'a')
iam.create_user(UserName='agent')
iam.put_user_policy(UserName='agent', PolicyName='p', PolicyDocument=json.dumps({
    'Version': '2012-10-17', 'Statement': [
        {'Effect': 'Allow', 'Action': 'secretsmanager:GetSecretValue', 'Resource': mine},
        {'Effect': 'Allow', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::reports/open/*'}]}))
key = iam.create_access_key(UserName='agent')['AccessKey']
agent = boto3.Session(key['AccessKeyId'], key['SecretAccessKey'])
secrets, s3 = agent.client('secretsmanager'), agent.client('s3')
for call in (
    lambda: secrets.get_secret_value(SecretId='mine'),
    lambda: secrets.get_secret_value(SecretId='other'),
    lambda: s3.get_object(Bucket='reports', Key='open/a'),
    lambda: s3.get_object(Bucket='reports', Key='closed/a'),
    lambda: s3.list_objects_v2(Bucket='reports'),
):
    try:
        call()
        print('allowed')
    except ClientError as error:
        print(error.response['Error']['Code'])
"""


def test_plain_script_is_allowed_and_denied_as_on_aws(tmp_path: Path, moto: Emulator) -> None:
    clouds = Clouds(tmp_path, accounts=[OTHER], aws_upstream=moto.url)
    try:
        told = clouds.line["aws"]["upstream"]
        assert (told["kind"], told["url"]) == ("moto", moto.url)
        endpoint = clouds.line["aws"]["endpoint"]
        said = clouds.script(SCRIPT, OTHER, AWS_ENDPOINT_URL=endpoint).split()
        assert said == [
            "allowed",
            "AccessDeniedException",
            "allowed",
            "AccessDenied",
            "AccessDenied",
        ]
    finally:
        assert clouds.end() == 0
    # What was made is its user's, and stays when the authorizer is gone.
    assert direct(moto, "secretsmanager", OTHER).get_secret_value(SecretId="mine")
    assert direct(moto, "iam", OTHER).list_users()["Users"] == []


def test_nothing_at_the_url_is_the_range_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    url = f"http://127.0.0.1:{free_port()}"
    assert serve_clouds(CloudsOptions(aws_upstream=url)) == 3
    captured = capsys.readouterr()
    assert f"no emulator answers at {url}" in captured.err
    assert captured.out == ""


# --- what reaches the emulator


def raw(lab: Lab, method: str, target: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", lab.edge.port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    "target",
    [
        "/moto-api/reset",
        "/moto-api/data.json",
        "/_localstack/health",
        "/_localstack/state/reset",
        "/_aws/sqs/messages",
        "/_ministack/reset",
        "/health",
        "/%6doto-api/reset",
        "//moto-api/reset",
    ],
)
def test_emulators_own_routes_are_not_reachable(target: str, lab: Lab, moto: Emulator) -> None:
    kept = direct(moto, "secretsmanager").create_secret(Name=unique("s"), SecretString="x")["ARN"]
    for method in ("GET", "POST", "PUT", "DELETE"):
        status, body = raw(lab, method, target)
        assert 400 <= status < 500
        assert b"moto" not in body.lower().replace(target.lower().encode(), b"")
    assert direct(moto, "secretsmanager").describe_secret(SecretId=kept)


@pytest.mark.parametrize("name", ["moto-api", "health", "restapis"])
def test_bucket_under_the_name_of_an_emulators_route_is_refused(name: str, lab: Lab) -> None:
    code, status = refusal_of(lambda: lab.admin.s3.create_bucket(Bucket=name))
    assert (code, status) == ("InvalidBucketName", 400)


@pytest.mark.parametrize("key", ["test", HOME, "000000000000", "AKIAIOSFODNN7EXAMPLE"])
def test_emulators_own_keys_open_nothing(key: str, lab: Lab) -> None:
    secret = lab.secret()
    client = lab.client("secretsmanager", aws_access_key_id=key, aws_secret_access_key="test")
    code, _ = refusal_of(lambda: client.get_secret_value(SecretId=secret))
    assert code == "UnrecognizedClientException"


def test_callers_headers_do_not_choose_the_account(lab: Lab, moto: Emulator) -> None:
    client = lab.admin.secretsmanager
    client.meta.events.register(
        "before-sign",
        lambda request, **_: request.headers.add_header("x-moto-account-id", OTHER),
    )
    arn = client.create_secret(Name=unique("s"), SecretString="x")["ARN"]
    assert arn.split(":")[4] == HOME
    assert arn in secrets_of(moto, HOME)
    assert arn.replace(HOME, OTHER) not in secrets_of(moto, OTHER)


def secrets_of(emulator: Emulator, account: str) -> set[str]:
    listed = direct(emulator, "secretsmanager", account).list_secrets()["SecretList"]
    return {str(one["ARN"]) for one in listed}


def test_call_lands_in_the_owners_account(lab: Lab) -> None:
    call = with_secret_policy(lab, lambda who, _: names(who), allow(READ), account=OTHER)
    assert call()["ARN"].split(":")[4] == HOME


def test_queue_is_called_where_the_client_called(lab: Lab) -> None:
    sqs, name = lab.admin.sqs, unique("q")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url == f"http://127.0.0.1:{lab.edge.port}/{HOME}/{name}"
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert url in sqs.list_queues()["QueueUrls"]


def test_roles_are_mirrored_and_neither_users_nor_keys(lab: Lab, moto: Emulator) -> None:
    role = lab.role(
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
        allow("*"),
    )
    lab.user(allow("*"))
    there = direct(moto, "iam")
    name = role.rpartition("/")[2]
    assert there.get_role(RoleName=name)["Role"]["Arn"] == role
    assert there.list_role_policies(RoleName=name)["PolicyNames"] == []
    assert there.list_users()["Users"] == []
    lab.admin.iam.delete_role_policy(RoleName=name, PolicyName="p")
    lab.admin.iam.delete_role(RoleName=name)
    with pytest.raises(ClientError):
        there.get_role(RoleName=name)


def test_what_was_there_before_is_decided_too(lab: Lab, moto: Emulator) -> None:
    tags = [{"Key": "team", "Value": "red"}]
    arn = direct(moto, "secretsmanager").create_secret(
        Name=unique("s"), SecretString="x", Tags=tags
    )["ARN"]
    red = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "red"}}}
    assert reads(lab.user(allow(READ, **red)), arn)()["SecretString"] == "x"
    direct(moto, "secretsmanager").tag_resource(
        SecretId=arn, Tags=[{"Key": "team", "Value": "blue"}]
    )
    assert refusal_of(reads(lab.user(allow(READ, **red)), arn)) == ("AccessDeniedException", 400)


def test_policy_of_a_bucket_ends_with_the_bucket(lab: Lab, moto: Emulator) -> None:
    bucket, who = lab.bucket(), lab.user()
    shared = document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": who.arn}))
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=shared)
    assert who.s3.get_object(Bucket=bucket, Key="own/key")
    behind = direct(moto, "s3")
    behind.delete_object(Bucket=bucket, Key="own/key")
    behind.delete_bucket(Bucket=bucket)
    time.sleep(1.1)  # the store tells seconds
    behind.create_bucket(Bucket=bucket)
    behind.put_object(Bucket=bucket, Key="own/key", Body=b"another's")
    refused = refusal_of(lambda: who.s3.get_object(Bucket=bucket, Key="own/key"))
    assert refused == ("AccessDenied", 403)


def test_metadata_comes_back_as_it_was_sent(lab: Lab) -> None:
    bucket, s3 = lab.bucket(), lab.admin.s3
    metadata = {"plain": 'a, "quoted"; b=c', "encoded": "=?UTF-8?B?w7w=?=", "Dashed-Name": "%2F"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=metadata)
    got = s3.head_object(Bucket=bucket, Key="k")["Metadata"]
    assert got == {name.lower(): value for name, value in metadata.items()}


# --- when it is slow, busy or away


def test_emulator_that_dies_is_a_503_and_comes_back() -> None:
    first = Emulator(UpstreamKind.MOTO)
    lab = Lab(remote=RemoteUpstream(first.url, first.kind))
    try:
        secret = lab.secret()
        first.stop()
        assert refusal_of(reads(lab.admin, secret)) == ("ServiceUnavailable", 503)
        assert refusal_of(lab.admin.s3.list_buckets) == ("ServiceUnavailable", 503)
        assert lab.admin.sts.get_caller_identity()["Account"] == HOME
        assert lab.user().name
        again = Emulator(UpstreamKind.MOTO, first.port)
        try:
            assert reads(lab.admin, lab.secret())()["SecretString"] == "s"
        finally:
            again.stop()
    finally:
        lab.stop()


def test_long_poll_keeps_nobody_waiting(lab: Lab) -> None:
    url = lab.admin.sqs.create_queue(QueueName=unique("q"))["QueueUrl"]
    secret, ended = lab.secret(), threading.Event()

    def poll() -> Any:
        got = lab.admin.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)
        ended.set()
        return got

    with ThreadPoolExecutor(8) as pool:
        polls = [pool.submit(poll) for _ in range(8)]
        for _ in range(10):
            assert reads(lab.admin, secret)()["SecretString"] == "s"
        assert not ended.is_set()
        for one in polls:
            assert "Messages" not in one.result()


def test_many_clients_at_once_are_all_answered(lab: Lab) -> None:
    secret = lab.secret()
    allowed, refused = lab.user(allow(READ, secret)), lab.user()
    clients = [who.secretsmanager for who in (allowed, refused) for _ in range(32)]

    def call(client: Any) -> str:
        try:
            return str(client.get_secret_value(SecretId=secret)["SecretString"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(len(clients)) as pool:
        said = list(pool.map(call, clients))
    assert said == ["s"] * 32 + ["AccessDeniedException"] * 32


# --- the bytes on the wire


class Wire:
    """A server that keeps the requests' bytes and gives a prepared answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.seen: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        writer.close()

    async def ask(self, sent: Sent) -> Any:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            return await transport.send(sent, Lane.CALL)
        finally:
            await transport.close()
            server.close()
            await server.wait_closed()


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\nX-A: b\r\n\r\nok"


@pytest.mark.parametrize(
    "target",
    [
        "/b/a%2Fb%2fc",
        "/b//double//",
        "/b/../up/./here",
        "/b/%C3%BC%20+~*'()",
        "/b/k?versionId=a%2Bb&tagging",
        "/b/k?x=%3F%23&y=",
        "/b/%25zz?prefix=%",
    ],
)
def test_target_goes_out_byte_for_byte(target: str) -> None:
    wire = Wire(PLAIN)
    answer = asyncio.run(wire.ask(Sent(method="GET", target=target, headers={"x-b": "c"})))
    lines = wire.seen[0].decode("latin-1").split("\r\n")
    assert lines[0] == f"GET {target} HTTP/1.1"
    assert {line.partition(":")[0].lower() for line in lines[1:] if line} == {"host", "x-b"}
    assert (answer.status, answer.body) == (200, b"ok")


def test_redirect_is_an_answer_and_not_followed() -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    wire = Wire(moved)
    assert asyncio.run(wire.ask(Sent(method="GET", target="/", headers={}))).status == 301
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"no HTTP at all\r\n\r\n"]
)
def test_answer_that_ends_early_is_no_answer(answer: bytes) -> None:
    with pytest.raises(UpstreamDownError):
        asyncio.run(Wire(answer).ask(Sent(method="POST", target="/", headers={})))


def test_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iamrange.clouds.aws.upstream_http.MAX_ANSWER", 1000)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999
    with pytest.raises(UpstreamError, match="longer than 1000 bytes"):
        asyncio.run(Wire(endless).ask(Sent(method="GET", target="/", headers={})))
