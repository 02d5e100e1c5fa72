# ruff: noqa: ANN401  # boto3's clients and shapes have no types
"""Hostile requests, documents and names: a right answer or a clear refusal, never a 500.

- Every decided operation is called with generated parameters, by an administrator and by a user
  who may do nothing.
- Documents of any shape are offered as every kind of policy.
- Bytes on the wire are offered that two readers could read as one request or as two.
"""

from __future__ import annotations

import functools
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.auth import SigV4Auth
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iamrange.clouds.aws.reference import SERVICES
from tests.conformance.aws.lab import (
    HOME,
    READ,
    REGION,
    ROOT,
    Lab,
    Principal,
    allow,
    document,
    reads,
    refusal_of,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EFFORT = int(os.environ.get("IAMRANGE_FUZZ", "1"))
FUZZED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40 * EFFORT,
    suppress_health_check=list(HealthCheck),
)
BY_HAND = (
    "dynamodb", "ec2", "iam", "kms", "lambda", "organizations", "s3", "secretsmanager", "sns",
    "sqs", "ssm", "sts",
)  # fmt: skip
# What would end the world that the other tests share, not what it would prove.
_SPARED = frozenset(
    ["LeaveOrganization", "DeleteOrganization", "RemoveAccountFromOrganization", "CloseAccount"]
)
_FREE = frozenset({"GetCallerIdentity", "GetSessionToken"})
TEXTS = st.sampled_from(
    [
        "", "x1", "name", "*", "a/b", "-1", "été", "a\u0000b", "${aws:username}", "{}", "a" * 300,
        "arn:aws:s3:::bucket/key", f"arn:aws:iam::{HOME}:role/r", f"arn:aws:sqs:{REGION}:{HOME}:q",
        "arn:aws:x", ":::::", "alias/a", "%2e%2e%2f", '{"Version":"2012-10-17","Statement":[]}',
    ]
)  # fmt: skip


def shaped(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values of a shape of botocore's models, mostly of the right type."""
    match shape.type_name:
        case "structure":
            return structured(shape, depth)
        case "list":
            return st.lists(shaped(shape.member, depth + 1), max_size=2)
        case "map":
            return st.dictionaries(TEXTS, shaped(shape.value, depth + 1), max_size=1)
        case "string":
            return st.sampled_from(shape.enum) | TEXTS if shape.enum else TEXTS
        case "integer" | "long":
            return st.sampled_from([0, 1, 5, -1, 2**31, 2**63])
        case "float" | "double":
            return st.sampled_from([0.0, 1.5, -2.0])
        case "boolean":
            return st.booleans()
        case "blob":
            return st.sampled_from([b"", b"x", b"\xff\x00"])
    return TEXTS


def structured(shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    needed = {n: shaped(shape.members[n], depth + 1) for n in shape.required_members if depth < 4}
    free = {n: shaped(m, depth + 1) for n, m in shape.members.items() if depth < 2}
    rest = {n: made for n, made in free.items() if n not in needed}
    return st.fixed_dictionaries(needed, optional=rest)


@functools.cache
def client_of(lab: Lab, service: str, who: Principal) -> Any:
    config = Config(parameter_validation=False, read_timeout=30)
    return lab.client(service, config=config, **who.keys)


def status_of(call: Callable[[], Any]) -> int | None:
    """Return the answer's status; None when the client would not send the call."""
    try:
        call()
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    except (BotoCoreError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return 200


@pytest.fixture(scope="module")
def nobody(lab: Lab) -> Principal:
    return lab.user()


@pytest.mark.parametrize("service", sorted({*BY_HAND, *SERVICES}))
def test_calls_with_any_parameters_are_answered_and_open_nothing(
    service: str, lab: Lab, nobody: Principal
) -> None:
    admin = client_of(lab, service, lab.admin)
    model = admin.meta.service_model
    names = [n for n in model.operation_names if n not in _SPARED]
    plain = [n for n in names if not model.operation_model(n).has_event_stream_output]
    asked = {name: model.operation_model(name).input_shape for name in plain}

    @settings(FUZZED, max_examples=12 * EFFORT)
    @given(data=st.data())
    def call(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(plain))
        shape = asked[name]
        parameters = data.draw(shaped(shape)) if shape is not None else {}
        if "admin" in parameters.values():
            return
        for who in (nobody, lab.admin):
            client = client_of(lab, service, who)
            status = status_of(functools.partial(client._make_api_call, name, parameters))  # noqa: SLF001 - any operation
            assert status is None or status < 500 or status == 501, (name, parameters)
            opened = who is nobody and status == 200
            # STS tells who you are, and gives you a session of your own, without a permission.
            assert not opened or name in _FREE, (name, parameters)

    call()


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["Allow", "Deny", "*", "allow", "", "arn:aws:s3:::*", READ, "2012-10-17", ROOT, "${", "é"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Version",
                    "Statement",
                    "Effect",
                    "Action",
                    "NotAction",
                    "Resource",
                    "Principal",
                    "NotPrincipal",
                    "Condition",
                    "Sid",
                    "Id",
                    "AWS",
                    "StringEquals",
                    "Null",
                    "effect",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
STATEMENT = st.fixed_dictionaries(
    {},
    optional={
        "Effect": st.just("Allow") | st.just("Deny") | JSONISH,
        "Action": st.just(READ) | st.just("*") | JSONISH,
        "Resource": st.just("*") | JSONISH,
        "Principal": st.just("*") | st.just({"AWS": ROOT}) | JSONISH,
        "Condition": JSONISH,
        "Sid": JSONISH,
    },
)
_STATEMENTS = (
    '"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"',
    '"Effect":"Allow","Action":["*"],"Action":[],"Resource":"*"',
    '"Effect":"ALLOW","Action":"*","Resource":"*"',
    '"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a:b":NaN}}',
    '"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a:b":[[]]}}',
    '"Effect":"Allow","Action":"*","Resource":"*","condition":{}',
)
_TEXTS = (
    "", " ", "{", "[]", "null", "\ufeff{}", "{" * 200, '{"a":' * 100 + "1" + "}" * 100,
    '{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}',
    *(f'{{"Version":"2012-10-17","Statement":[{{{one}}}]}}' for one in _STATEMENTS),
)  # fmt: skip
DOCUMENTS = (
    JSONISH.map(json.dumps)
    | st.fixed_dictionaries(
        {"Version": st.just("2012-10-17") | JSONISH, "Statement": st.lists(STATEMENT, max_size=2)}
    ).map(json.dumps)
    | st.sampled_from(_TEXTS)
)


@pytest.fixture(scope="module")
def written(lab: Lab) -> dict[str, Callable[[str], Any]]:
    """Return, for each kind of policy, what writes one."""
    admin, who = lab.admin, lab.user()
    bucket, secret, key = lab.bucket(), lab.secret(), admin.kms.create_key()["KeyMetadata"]["KeyId"]
    url = admin.sqs.create_queue(QueueName=unique("q"))["QueueUrl"]
    topic = admin.sns.create_topic(Name=unique("t"))["TopicArn"]
    table = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{lab.table()}"
    admin.ecr.create_repository(repositoryName="robust")
    return {
        "user": lambda text: admin.iam.put_user_policy(
            UserName=who.name, PolicyName="p", PolicyDocument=text
        ),
        "managed": lambda text: admin.iam.create_policy(
            PolicyName=unique("p"), PolicyDocument=text
        ),
        "trust": lambda text: admin.iam.create_role(
            RoleName=unique("r"), AssumeRolePolicyDocument=text
        ),
        "bucket": lambda text: admin.s3.put_bucket_policy(Bucket=bucket, Policy=text),
        "secret": lambda text: admin.secretsmanager.put_resource_policy(
            SecretId=secret, ResourcePolicy=text
        ),
        "key": lambda text: admin.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text),
        "queue": lambda text: admin.sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": text}
        ),
        "topic": lambda text: admin.sns.set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=text
        ),
        "table": lambda text: admin.dynamodb.put_resource_policy(ResourceArn=table, Policy=text),
        "repository": lambda text: admin.ecr.set_repository_policy(
            repositoryName="robust", policyText=text
        ),
        "bus": lambda text: admin.events.put_permission(Policy=text),
        "logs": lambda text: admin.logs.put_resource_policy(
            policyName="robust", policyDocument=text
        ),
        "session": lambda text: admin.sts.get_federation_token(Name="robust", Policy=text),
        "simulated": lambda text: admin.iam.simulate_custom_policy(
            PolicyInputList=[text], ActionNames=[READ]
        ),
        "scp": lambda text: lab.admins["100000000001"].organizations.create_policy(
            Name=unique("p"), Description="d", Type="SERVICE_CONTROL_POLICY", Content=text
        ),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "user", "managed", "trust", "bucket", "secret", "key", "queue", "topic", "table",
        "repository", "bus", "logs", "session", "simulated", "scp",
    ],
)  # fmt: skip
def test_documents_of_any_shape_are_taken_or_refused(
    kind: str, written: dict[str, Callable[[str], Any]]
) -> None:
    @FUZZED
    @given(text=DOCUMENTS)
    def write(text: str) -> None:
        status = status_of(lambda: written[kind](text))
        assert status is None or status < 500, text

    write()


def test_document_without_a_plain_allow_lets_nobody_in(lab: Lab) -> None:
    who, secret = lab.user(), lab.secret()
    put = functools.partial(lab.admin.iam.put_user_policy, UserName=who.name, PolicyName="p")

    @FUZZED
    @given(text=DOCUMENTS)
    def write(text: str) -> None:
        if status_of(lambda: put(PolicyDocument=text)) != 200:
            return
        statements = json.loads(text)["Statement"]
        listed = statements if isinstance(statements, list) else [statements]
        if any(one.get("Effect") == "Allow" for one in listed):
            return
        assert refusal_of(reads(who, secret))[0] == "AccessDeniedException"

    write()


# --- names


@pytest.mark.parametrize(
    ("name", "other"),
    [("a.b", "axb"), ("a+b", "aab"), ("x@y", "xy"), ("dot.", "dotx"), ("a-b_c", "a-bxc")],
)
def test_signs_of_patterns_in_names_are_letters(name: str, other: str, lab: Lab) -> None:
    iam = lab.admin.iam
    mine, theirs = f"{unique('n')}{name}", f"{unique('n')}{other}"
    for made in (mine, theirs):
        iam.create_user(UserName=made)
    who = lab.user(allow("iam:GetUser", f"arn:aws:iam::{HOME}:user/{mine}"))
    assert who.iam.get_user(UserName=mine)
    lookalike = theirs[: -len(other)] + name
    assert refusal_of(lambda: who.iam.get_user(UserName=theirs))[0] == "AccessDenied"
    assert refusal_of(lambda: who.iam.get_user(UserName=lookalike))[0] == "AccessDenied"


@pytest.mark.parametrize("name", ["*", "a*", "a?b", "a b", "a\nb", "a/b", "été", "a" * 65, ""])
def test_user_name_that_is_none_is_refused(name: str, lab: Lab) -> None:
    status = status_of(lambda: lab.admin.iam.create_user(UserName=name))
    assert status in (None, 400)


@pytest.mark.parametrize("end", ["%2e", "%41", "é", "e\u0301", "*", "?", "[a]", "$", "\\", "^a$"])
def test_names_in_policies_mean_themselves(end: str, lab: Lab) -> None:
    """A parameter's name is not decoded, not normalised and no pattern of another language."""
    plain = f"/robust/{unique('p')}"
    lab.admin.ssm.put_parameter(Name=plain, Value="v", Type="String")
    arn = f"arn:aws:ssm:{REGION}:{HOME}:parameter{plain}"
    who = lab.user(allow("ssm:GetParameter", f"{arn[:-1]}{end}"))
    matches = end in ("*", "?")
    status = status_of(lambda: who.ssm.get_parameter(Name=plain))
    assert status == (200 if matches else 400)


# --- the wire


def exchange(lab: Lab, *pieces: bytes) -> bytes:
    """Send bytes on one connection, and read until the other side ends or falls silent."""
    with socket.create_connection(("127.0.0.1", lab.edge.port), timeout=5) as wire:
        for piece in pieces:
            wire.sendall(piece)
        wire.settimeout(1)
        answer = b""
        try:
            while chunk := wire.recv(65536):
                answer += chunk
        except TimeoutError:
            pass
        except ConnectionError:
            pass
        return answer


def signed_call(lab: Lab, body: bytes, target: str = "secretsmanager.ListSecrets") -> bytes:
    """Return a signed request's bytes, ending before its body."""
    keys = lab.admin.keys
    request = botocore.awsrequest.AWSRequest(
        method="POST",
        url=f"http://127.0.0.1:{lab.edge.port}/",
        data=body,
        headers={"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"},
    )
    credentials = botocore.credentials.Credentials(
        keys["aws_access_key_id"], keys["aws_secret_access_key"]
    )
    SigV4Auth(credentials, "secretsmanager", REGION).add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    lines.append(f"Host: 127.0.0.1:{lab.edge.port}")
    return "\r\n".join(["POST / HTTP/1.1", *lines]).encode()


SMUGGLED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def test_plain_call_on_the_wire_is_answered(lab: Lab) -> None:
    head = signed_call(lab, b"{}")
    answer = exchange(lab, head + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 200")


def test_replay_within_the_hour_is_what_it_was(lab: Lab) -> None:
    """SigV4 has no nonce: the same bytes again are the same call again, and nothing more."""
    whole = signed_call(lab, b"{}") + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    assert exchange(lab, whole + b"{}").startswith(b"HTTP/1.1 200")
    assert exchange(lab, whole + b"{}").startswith(b"HTTP/1.1 200")
    assert b"InvalidSignatureException" in exchange(lab, whole + b"[]")


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(b"Content-Length: 2\r\nContent-Length: 40", id="two lengths"),
        pytest.param(b"Content-Length: 2\r\nTransfer-Encoding: chunked", id="length and chunks"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 2", id="chunks and length"),
        pytest.param(b"Transfer-Encoding: xchunked", id="unknown coding"),
        pytest.param(b"Transfer-Encoding: chunked, identity", id="coding after chunks"),
        pytest.param(b"Transfer-Encoding : chunked", id="space before the colon"),
        pytest.param(b"Content-Length: +2", id="signed length"),
        pytest.param(b"Content-Length: 2,2", id="listed length"),
        pytest.param(b"Content-Length: 0x2", id="hexadecimal length"),
        pytest.param(b"Content-Length: -1", id="negative length"),
        pytest.param(b"Content-Length: 2\r\n X: folded", id="folded line"),
        pytest.param(b"Content-Length: 2\r\nX-A\x00: b", id="null in a name"),
    ],
)
def test_request_of_two_lengths_is_never_two_requests(framing: bytes, lab: Lab) -> None:
    before = len(lab.records)
    answer = exchange(lab, signed_call(lab, b"{}") + b"\r\n" + framing + b"\r\n\r\n{}" + SMUGGLED)
    assert answer.count(b"HTTP/1.1 200") <= 1
    assert b"HTTP/1.1 5" not in answer
    # Whatever else was read on that connection was refused, as nobody's.
    told = {r.reason for r in lab.records[before:] if r.principal == ""}
    assert not {r for r in told if r.endswith("-allows")}


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
    ],
    ids=range(12),
)
def test_bytes_that_are_no_call_get_no_answer_of_worth(raw: bytes, lab: Lab) -> None:
    answer = exchange(lab, raw)
    assert b"HTTP/1.1 2" not in answer
    assert b"HTTP/1.1 5" not in answer


def test_user_policy_of_the_largest_size_is_the_last_that_is_taken(lab: Lab) -> None:
    who = lab.user()
    put = functools.partial(lab.admin.iam.put_user_policy, UserName=who.name, PolicyName="p")
    short = document(allow("s3:GetObject", "arn:aws:s3:::b/"))
    room = 2048 - len("".join(short.split()))
    put(PolicyDocument=document(allow("s3:GetObject", "arn:aws:s3:::b/" + "a" * room)))
    longer = document(allow("s3:GetObject", "arn:aws:s3:::b/" + "a" * (room + 1)))
    assert refusal_of(lambda: put(PolicyDocument=longer)) == ("LimitExceeded", 409)
