# ruff: noqa: ANN401  # boto3's clients have no types
"""The door of the AWS cloud: signatures, protocols and errors, at a real listener."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
import time
import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from iamrange.clouds.aws.cloud import MAX_BODY, AwsCloud
from iamrange.clouds.aws.sigv4 import EMPTY_HASH, sign, signing_key
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import SystemClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ACCOUNT, REGION = "100000000001", "us-east-1"


class Door:
    """A running cloud with one bucket and two secrets, behind a plain and a TLS listener."""

    def __init__(self, folder: Path) -> None:
        self.records: list[DecisionRecord] = []
        self.rogue: set[str] = set()
        self.cloud = AwsCloud(
            clock=SystemClock(),
            records=self.records.append,
            fetcher=HttpFetcher(resolve={}, authorities=()),
            tamper=self.tamper,
        )
        self.key = self.cloud.create_account(ACCOUNT)
        authority = CertificateAuthority.create("test")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(authority.pem)
        self.loop = asyncio.new_event_loop()
        self.plain = Edge([Route("*", self.cloud)], ca=None)
        self.tls = Edge([Route("*", self.cloud)], ca=authority)
        self.loop.run_until_complete(self.plain.start())
        self.loop.run_until_complete(self.tls.start())
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.client("s3").create_bucket(Bucket="own-bucket")
        secrets = self.client("secretsmanager")
        for name in ("mine", "other"):
            secrets.create_secret(Name=name, SecretString=f"value of {name}")
        iam = self.client("iam")
        iam.create_user(UserName="bob")
        made = iam.create_access_key(UserName="bob")["AccessKey"]
        self.bob = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
        statement = {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:mine-??????",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="bob", PolicyName="p", PolicyDocument=document)
        self.admin = Credentials(self.key.access_key_id, self.key.secret_access_key)

    def tamper(self, point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        return tuple(
            LayerAnswer(layer=a.layer, effect=Effect.ALLOW, reason="rogue")
            if f"{point}/{a.layer}" in self.rogue
            else a
            for a in layers
        )

    def client(self, service: str, *, tls: bool = False, **more: Any) -> Any:
        connect: Any = boto3.client
        keys = {
            "aws_access_key_id": self.key.access_key_id,
            "aws_secret_access_key": self.key.secret_access_key,
        }
        scheme, port = ("https", self.tls.port) if tls else ("http", self.plain.port)
        config = Config(retries={"total_max_attempts": 1}).merge(more.pop("config", Config()))
        more = keys | more
        if tls:
            more["verify"] = str(self.ca_file)
        return connect(
            service,
            endpoint_url=f"{scheme}://localhost:{port}",
            region_name=REGION,
            config=config,
            **more,
        )

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.plain.port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"content-length": str(len(body))} | headers).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        got = answer.read()
        connection.close()
        return answer.status, got, {k.lower(): v for k, v in answer.getheaders()}

    def signed(  # noqa: PLR0913 - the parts of one request
        self,
        service: str,
        body: bytes,
        *,
        credentials: Credentials | None = None,
        method: str = "POST",
        path: str = "/",
        region: str = REGION,
        **headers: str,
    ) -> dict[str, str]:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        host = f"{service}.{REGION}.amazonaws.com"
        request = AWSRequest(method, f"http://{host}{path}", data=body, headers=named)
        request.headers["host"] = host
        SigV4Auth(credentials or self.admin, service, region).add_auth(request)
        return {k.lower(): v for k, v in request.headers.items()}

    def stop(self) -> None:
        for edge in (self.plain, self.tls):
            asyncio.run_coroutine_threadsafe(edge.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("door"))
    yield door
    door.stop()


@pytest.fixture
def door(running: Door) -> Door:
    running.rogue.clear()
    running.records.clear()
    return running


def refused(call: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


UNKNOWN: dict[str, Any] = {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA"}
WRONG: dict[str, Any] = {"aws_secret_access_key": "not-the-secret"}
CALLS: dict[str, Callable[[Any], Any]] = {
    "iam": lambda c: c.list_users(),
    "sts": lambda c: c.get_caller_identity(),
    "secretsmanager": lambda c: c.list_secrets(),
    "kms": lambda c: c.list_keys(),
    "dynamodb": lambda c: c.list_tables(),
    "s3": lambda c: c.list_buckets(),
    "lambda": lambda c: c.list_functions(),
    "ec2": lambda c: c.describe_instances(),
    "sqs": lambda c: c.list_queues(),
    "organizations": lambda c: c.list_roots(),
}


JSON_KEY = ("UnrecognizedClientException", 400)
JSON_SIGNATURE = ("InvalidSignatureException", 400)


@pytest.mark.parametrize(
    ("service", "unknown", "mismatch"),
    [
        ("iam", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403)),
        ("sts", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403)),
        ("secretsmanager", JSON_KEY, JSON_SIGNATURE),
        ("kms", JSON_KEY, JSON_SIGNATURE),
        ("dynamodb", JSON_KEY, JSON_SIGNATURE),
        ("organizations", JSON_KEY, JSON_SIGNATURE),
        ("s3", ("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403)),
        ("lambda", ("UnrecognizedClientException", 403), ("InvalidSignatureException", 403)),
        ("ec2", ("AuthFailure", 401), ("AuthFailure", 401)),
    ],
)  # fmt: skip
def test_each_protocol_says_unknown_key_and_bad_signature_its_own_way(
    service: str, unknown: tuple[str, int], mismatch: tuple[str, int], door: Door
) -> None:
    call = CALLS[service]
    assert refused(lambda: call(door.client(service, **UNKNOWN))) == unknown
    assert [r.reason for r in door.records] == ["unknown-access-key"]
    door.records.clear()
    assert refused(lambda: call(door.client(service, **WRONG))) == mismatch
    assert [r.reason for r in door.records] == ["signature-mismatch"]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("key", ["plain", "a/b c", "ü+&=?#%", "dots/../up", "//double", "a//b/"])
@pytest.mark.parametrize("body", [b"", b"content", b"x" * 200_000], ids=len)
def test_object_comes_back_as_it_was_put(door: Door, key: str, body: bytes, *, tls: bool) -> None:
    s3 = door.client("s3", tls=tls)
    s3.put_object(Bucket="own-bucket", Key=key, Body=body, Metadata={"a": "b"})
    got = s3.get_object(Bucket="own-bucket", Key=key)
    assert (got["Body"].read(), got["Metadata"]) == (body, {"a": "b"})
    assert {r.resource for r in door.records} == {f"arn:aws:s3:::own-bucket/{key}"}
    s3.delete_object(Bucket="own-bucket", Key=key)


@pytest.mark.parametrize("signature", ["s3", "s3v4"])
def test_presigned_url_serves_what_it_was_made_for_and_nothing_else(
    door: Door, signature: str
) -> None:
    for key in ("one", "two"):
        door.client("s3").put_object(Bucket="own-bucket", Key=key, Body=key.encode())
    s3 = door.client("s3", config=Config(signature_version=signature))
    asked = {"Bucket": "own-bucket", "Key": "one"}
    url = s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=60)
    host, path = url.removeprefix("http://").split("/", 1)
    assert door.send("GET", f"/{path}", {"host": host})[:2] == (200, b"one")
    assert door.send("DELETE", f"/{path}", {"host": host})[0] == 403
    assert door.send("GET", f"/{path}".replace("one", "two"), {"host": host})[0] == 403
    assert door.send("GET", f"/{path}&x-amz-acl=x", {"host": host})[0] in (200, 400, 403)
    assert door.send("GET", f"/{path}&versionId=1", {"host": host})[0] == 403


def test_expired_presigned_url_is_refused(door: Door) -> None:
    s3 = door.client("s3", config=Config(signature_version="s3v4"))
    asked = {"Bucket": "own-bucket", "Key": "one"}
    url = s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=60)
    host, path = url.removeprefix("http://").split("/", 1)
    longer = f"/{path}".replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    assert door.send("GET", longer, {"host": host})[0] == 403
    never = f"/{path}".replace("X-Amz-Expires=60", "X-Amz-Expires=0")
    assert door.send("GET", never, {"host": host})[0] == 400


def chunks(door: Door, signed: dict[str, str], parts: list[bytes]) -> bytes:
    """Write an aws-chunked body whose chunks follow from the request's signature."""
    date = signed["x-amz-date"][:8]
    key = signing_key(door.key.secret_access_key, date, REGION, "s3")
    scope = f"{date}/{REGION}/s3/aws4_request"
    previous, written = signed["authorization"].rsplit("Signature=", 1)[1], b""
    for part in [*parts, b""]:
        digest = hashlib.sha256(part).hexdigest()
        text = "\n".join(
            ("AWS4-HMAC-SHA256-PAYLOAD", signed["x-amz-date"], scope, previous, EMPTY_HASH, digest)
        )
        previous = sign(key, text)
        written += f"{len(part):x};chunk-signature={previous}\r\n".encode() + part + b"\r\n"
    return written


def put_chunked(door: Door, change: Any = None) -> tuple[int, bytes]:
    parts = [b"a" * 1000, b"b" * 1000, b"c" * 10]
    signed = door.signed(
        "s3",
        b"",
        method="PUT",
        path="/own-bucket/chunked",
        x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        x_amz_decoded_content_length=str(sum(map(len, parts))),
        content_encoding="aws-chunked",
    )
    body = chunks(door, signed, parts)
    body = change(body) if change else body
    status, answer, _ = door.send("PUT", "/own-bucket/chunked", signed, body)
    return status, answer


def test_chunked_upload_with_signed_chunks_is_taken(door: Door) -> None:
    assert put_chunked(door)[0] == 200
    got = door.client("s3").get_object(Bucket="own-bucket", Key="chunked")
    assert got["Body"].read() == b"a" * 1000 + b"b" * 1000 + b"c" * 10
    assert got.get("ContentEncoding", "") == ""


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "content": lambda body: body.replace(b"b" * 1000, b"x" + b"b" * 999),
    "signature": lambda body: body.replace(b"chunk-signature=", b"chunk-signature=0", 1),
    "cut": lambda body: body[: body.index(b"a;chunk")],
    "only the last, unsigned": lambda _: b"0\r\n\r\n",
    "empty": lambda _: b"",
    "size": lambda body: body.replace(b"3e8;", b"3e7;", 1),
    "size line": lambda body: b"ffffffff" + body,
}


@pytest.mark.parametrize("change", CHANGES)
def test_chunked_upload_that_was_changed_is_refused(door: Door, change: str) -> None:
    status, answer = put_chunked(door, CHANGES[change])
    assert (status, b"SignatureDoesNotMatch" in answer) == (403, True)


def test_unsigned_trailer_upload_is_taken_and_its_checksum_checked(door: Door) -> None:
    for good in (True, False):
        content = b"streamed"
        checksum = b64encode(zlib.crc32(content if good else b"other").to_bytes(4, "big"))
        body = b"8\r\n" + content + b"\r\n0\r\nx-amz-checksum-crc32:" + checksum + b"\r\n\r\n"
        signed = door.signed(
            "s3",
            b"",
            method="PUT",
            path="/own-bucket/trailer",
            x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            x_amz_decoded_content_length="8",
            x_amz_trailer="x-amz-checksum-crc32",
            content_encoding="aws-chunked",
        )
        assert door.send("PUT", "/own-bucket/trailer", signed, body)[0] == (200 if good else 403)


READ: dict[str, Any] = {
    "content_type": "application/x-amz-json-1.1",
    "x_amz_target": "secretsmanager.GetSecretValue",
}


def reads(door: Door, body: bytes, **headers: Any) -> tuple[int, bytes]:
    signed = door.signed("secretsmanager", body, credentials=door.bob, **(READ | headers))
    status, answer, _ = door.send("POST", "/", signed, body)
    return status, answer


def test_limited_user_reads_one_secret(door: Door) -> None:
    assert b"value of mine" in reads(door, b'{"SecretId": "mine"}')[1]
    assert b"AccessDeniedException" in reads(door, b'{"SecretId": "other"}')[1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"SecretId": "mine", "SecretId": "other"}',
        b'{"SecretId": "mine", "x": "&SecretId=other&"}',
        b'{"SecretId": "mine", "VersionStage": "&SecretId=other&"}',
        b'{"SecretId": "mine", "secret_id": "other"}',
        b'{"SecretId": ["mine", "other"]}',
        b'{"SecretId": {"a": "other"}}',
        b'{"SecretId": NaN}',
        b'{"SecretId": "arn:aws:secretsmanager:eu-west-1:100000000001:secret:other"}',
        b'{"SecretId": "arn:aws:secretsmanager:us-east-1:999999999999:secret:other"}',
        b'{"SecretId": "other\\u0000"}',
        b'{"SecretId": "*"}',
        b"SecretId=other",
        b"[" * 100_000,
        b'{"SecretId":' * 5000,
        b"\xff\xfe",
        b"null",
        b'"mine"',
    ],
    ids=lambda body: repr(body[:60]),
)
def test_body_that_could_be_read_two_ways_never_opens_the_other_secret(
    door: Door, body: bytes
) -> None:
    for kind in ("application/x-amz-json-1.1", "application/x-www-form-urlencoded", "text/xml"):
        status, answer = reads(door, body, content_type=kind)
        assert b"value of other" not in answer
        assert status in (200, 400)
        assert b"value of mine" in answer or status == 400


def test_query_parameters_beside_a_body_are_not_mixed(door: Door) -> None:
    body = b"Action=GetUser&Version=2010-05-08&UserName=bob"
    kind = "application/x-www-form-urlencoded"
    for path in ("/?UserName=admin", "/?Action=ListUsers"):
        signed = door.signed("iam", body, path=path, content_type=kind)
        assert door.send("POST", path, signed, body)[0] == 400
    twice = body + b"&UserName=admin"
    assert door.send("POST", "/", door.signed("iam", twice, content_type=kind), twice)[0] == 400


def test_delete_of_objects_is_read_by_its_model_alone(door: Door) -> None:
    s3 = door.client("s3")
    for key in ("keep", "drop"):
        s3.put_object(Bucket="own-bucket", Key=key, Body=b"x")
    body = (
        b"<Delete><Quiet><Object><Key>keep</Key></Object></Quiet>"
        b"<Object><Key>drop</Key></Object></Delete>"
    )
    digest = hashlib.sha256(body).hexdigest()
    signed = door.signed("s3", body, path="/own-bucket?delete=", x_amz_content_sha256=digest)
    door.send("POST", "/own-bucket?delete=", signed, body)
    assert s3.get_object(Bucket="own-bucket", Key="keep")
    assert {r.resource for r in door.records if r.action == "s3:DeleteObject"} <= {
        "arn:aws:s3:::own-bucket/drop"
    }


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"x-amz-target": "secretsmanager.DeleteSecret"}, 400),
        ({"x-amz-security-token": "x"}, 400),
        ({"x-amz-extra": "unsigned"}, 400),
        ({"x-moto-account-id": "200000000001"}, 200),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=x"}, 400),
        ({"authorization": "Bearer x"}, 400),
        ({"authorization": ""}, 400),
        ({"x-amz-date": "20200101T000000Z"}, 400),
        ({"x-amz-date": "not-a-date"}, 400),
        ({"host": "elsewhere.example"}, 400),
    ],
)
def test_header_changed_after_signing_is_refused(
    door: Door, change: dict[str, str], status: int
) -> None:
    body = b'{"SecretId": "mine"}'
    signed = door.signed("secretsmanager", body, **READ) | change
    assert door.send("POST", "/", signed, body)[0] == status


def test_body_changed_after_signing_is_refused(door: Door) -> None:
    signed = door.signed("secretsmanager", b'{"SecretId": "mine"}', **READ)
    status, answer, _ = door.send("POST", "/", signed, b'{"SecretId": "else"}')
    assert (status, b"InvalidSignatureException" in answer) == (400, True)


def test_request_of_another_hour_is_refused_in_real_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"SecretId": "mine"}'
    signed = door.signed("secretsmanager", body, **READ)
    real = time.time()
    for ahead, status in ((-890, 200), (890, 200), (-910, 400), (910, 400)):
        moment = real + ahead
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert door.send("POST", "/", signed, body)[0] == status, ahead
    assert {r.reason for r in door.records if r.point == "aws.authenticate"} == {"request-too-old"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/moto-api/"),
        ("POST", "/moto-api/reset"),
        ("GET", "/moto-api/data.json"),
        ("POST", "/moto-api/seed?a=1"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("GET", "/own-bucket/one"),
        ("PUT", "/own-bucket/two"),
        ("POST", "/own-bucket"),
        ("OPTIONS", "/own-bucket/one"),
        ("TRACE", "/"),
        ("GET", "/favicon.ico"),
        ("GET", "/%ff%fe"),
        pytest.param("GET", "/" + "a" * 5000, id="long"),
        ("POST", "/?Action=GetCallerIdentity"),
        ("GET", "/?Action=AssumeRole"),
    ],
)
def test_scan_without_credentials_gets_nothing(door: Door, method: str, path: str) -> None:
    status, answer, headers = door.send(method, path, {"host": "localhost"})
    assert 400 <= status < 500, answer
    assert b"moto" not in answer.lower()
    assert headers["x-amzn-requestid"]


def test_service_of_no_name_and_region_of_no_name_are_refused(door: Door) -> None:
    body = b'{"SecretId": "mine"}'
    for service, region in (("nosuch", REGION), ("secretsmanager", "mars-north-1")):
        signed = door.signed(service, body, region=region, **READ)
        status, answer, _ = door.send("POST", "/", signed, body)
        assert 400 <= status < 500, answer


def test_body_over_the_limit_is_refused(door: Door) -> None:
    body = b"x" * (MAX_BODY + 1)
    status, _, _ = door.send("PUT", "/own-bucket/big", {"host": "localhost"}, body)
    assert status == 413


def test_odd_header_values_are_answered(door: Door) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    given: dict[str, Any] = {"x_amz_content_sha256": digest, "x_amz_meta_a": "caf\u00e9"}
    signed = door.signed("s3", b"x", method="PUT", path="/own-bucket/odd", **given)
    status, _, _ = door.send("PUT", "/own-bucket/odd", signed, b"x")
    assert status in (200, 403)
    path = "/own-bucket/odd?response-content-disposition=a%0D%0AX-Split%3A%201"
    given = {"x_amz_content_sha256": EMPTY_HASH}
    signed = door.signed("s3", b"", method="GET", path=path, **given)
    status, _, headers = door.send("GET", path, signed)
    assert status == 400
    assert "x-split" not in headers


def test_answer_and_record_carry_one_request_id(door: Door) -> None:
    for service, call in CALLS.items():
        door.records.clear()
        if service == "organizations":
            assert refused(lambda: door.client("organizations").list_roots())
            continue
        ident = call(door.client(service))["ResponseMetadata"]["RequestId"]
        assert {r.request_id for r in door.records} <= {ident}, service
        assert door.records or service == "sts"


def test_rogue_without_signatures_lets_a_forged_request_in_as_whom_it_claims(door: Door) -> None:
    forged = Credentials(door.key.access_key_id, "guessed")
    body = b'{"SecretId": "other"}'
    signed = door.signed("secretsmanager", body, credentials=forged, **READ)
    assert door.send("POST", "/", signed, body)[0] == 400
    door.rogue.add("aws.authenticate/signature")
    assert b"value of other" in door.send("POST", "/", signed, body)[1]


def test_rogue_without_identity_policies_lets_a_limited_user_read(door: Door) -> None:
    assert reads(door, b'{"SecretId": "other"}')[0] == 400
    door.rogue.add("aws.authorize/identity")
    assert b"value of other" in reads(door, b'{"SecretId": "other"}')[1]


def test_secrets_do_not_show_in_records(door: Door) -> None:
    door.client("secretsmanager").get_secret_value(SecretId="mine")
    reads(door, b'{"SecretId": "other"}')
    shown = repr(door.records)
    assert door.records
    for secret in (door.key.secret_access_key, door.bob.secret_key, "value of mine"):
        assert secret not in shown


def test_range_that_breaks_answers_500_and_says_so_without_a_secret(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quoted = "value of mine"

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError(quoted)

    monkeypatch.setattr("iamrange.clouds.aws.upstream.canonical", broken)
    for service, code in (("secretsmanager", "InternalFailure"), ("s3", "InternalError")):
        caplog.clear()
        door.records.clear()
        assert refused(lambda name=service: CALLS[name](door.client(name))) == (code, 500)
        assert door.records[-1].reason == "error"
        assert "RuntimeError" in caplog.text
        assert quoted not in caplog.text


def test_names_in_other_scripts_are_answered(door: Door) -> None:
    secrets = door.client("secretsmanager")
    code, status = refused(lambda: secrets.create_secret(Name="größe", SecretString="x"))
    assert (code, status) == ("ValidationException", 400)
    code, _ = refused(lambda: secrets.get_secret_value(SecretId="größe/\u202e"))
    assert code == "ResourceNotFoundException"
    code, _ = refused(lambda: door.client("iam").create_user(UserName="größe"))
    assert code == "ValidationError"
    assert quote("größe") != "größe"
