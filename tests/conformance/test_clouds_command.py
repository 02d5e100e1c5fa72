"""The clouds alone, in the foreground, as a shell sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.jose import SigningKey
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.range.clouds import CloudsOptions, serve_clouds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MANAGEMENT, MEMBER = "111122223333", "444455556666"
SERVE = """
import json, sys
from iamrange.range.clouds import CloudsOptions, serve_clouds
options = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(sys.argv[1]).items()}
sys.exit(serve_clouds(CloudsOptions(**options)))
"""
ISSUER = "https://issuer.test"
ROLE = f"arn:aws:iam::{MEMBER}:role/federated"


class Clouds:
    """A running command and its first line."""

    def __init__(self, folder: Path, **options: Any) -> None:  # noqa: ANN401 - CloudsOptions's members
        self.folder = folder
        self.process = subprocess.Popen(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", SERVE, json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(folder)},
        )
        assert self.process.stdout is not None
        self.line: Mapping[str, Any] = json.loads(self.process.stdout.readline())

    def script(self, source: str, account: str = MEMBER, **env: str) -> str:
        """Run a script that is given the command's environment and an administrator's key."""
        key = self.line["aws"]["accounts"][account]
        done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", source],
            env={
                **self.line["env"],
                "AWS_ACCESS_KEY_ID": key["access_key_id"],
                "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
                "AWS_DEFAULT_REGION": "us-east-1",
                "HOME": str(self.folder),
                **env,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


class Issuer:
    """Another issuer, over https under an authority of its own or over plain http."""

    def __init__(self, folder: Path, *, tls: bool) -> None:
        self.key = SigningKey.generate("RS256")
        self.ca = CertificateAuthority.create("issuer") if tls else None
        self.ca_file = folder / f"issuer-{tls}.pem"
        if self.ca is not None:
            self.ca_file.write_text(self.ca.pem)
        self.edge = Edge([Route("issuer.test", self)], ca=self.ca)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.edge.start(), self.loop).result(20)
        self.resolve = f"issuer.test={'https' if tls else 'http'}://127.0.0.1:{self.edge.port}"

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        document: Mapping[str, Any] = {"keys": [self.key.public_jwk()]}
        if scope["path"].endswith("/openid-configuration"):
            document = {
                "issuer": ISSUER,
                "jwks_uri": f"{ISSUER}/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        body = json.dumps(document).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def token(self, subject: str) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": subject, "aud": "aud", "iat": now, "exp": now + 300}
        return self.key.sign(claims)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.edge.stop(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(params=[True, False], ids=["https", "http"])
def issuer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Issuer]:
    running = Issuer(tmp_path, tls=request.param)
    yield running
    running.close()


def left_in(folder: Path) -> list[str]:
    return [path.name for path in (folder / "iamrange" / "worlds").iterdir() if path.is_dir()]


WHO = """
import boto3, os
for endpoint in (None, os.environ['ENDPOINT']):
    print(boto3.client('sts', endpoint_url=endpoint).get_caller_identity()['Arn'])
"""
ORGANIZATION = """
import boto3
client = boto3.client('organizations')
print(client.describe_organization()['Organization']['MasterAccountId'])
print(*sorted(account['Id'] for account in client.list_accounts()['Accounts']))
"""
GOOGLE = """
import os
from google.cloud import secretmanager
from google.oauth2.credentials import Credentials
client = secretmanager.SecretManagerServiceClient(
    credentials=Credentials(os.environ['TOKEN']), transport='rest')
parent = 'projects/my-project'
client.create_secret(parent=parent, secret_id='s', secret={'replication': {'automatic': {}}})
print(*(secret.name for secret in client.list_secrets(parent=parent)))
"""
FEDERATE = """
import boto3, json, os
from botocore import UNSIGNED
from botocore.config import Config
iam = boto3.client('iam')
provider = iam.create_open_id_connect_provider(
    Url='https://issuer.test', ClientIDList=['aud'])['OpenIDConnectProviderArn']
iam.create_role(RoleName='federated', AssumeRolePolicyDocument=json.dumps({
    'Version': '2012-10-17', 'Statement': [{
        'Effect': 'Allow', 'Action': 'sts:AssumeRoleWithWebIdentity',
        'Principal': {'Federated': provider},
        'Condition': {'StringEquals': {'issuer.test:sub': 'me', 'issuer.test:aud': 'aud'}}}]}))
sts = boto3.client('sts', config=Config(signature_version=UNSIGNED))
for token in (os.environ['MINE'], os.environ['ANOTHERS']):
    try:
        print(sts.assume_role_with_web_identity(RoleArn=os.environ['ROLE'],
            RoleSessionName='session', WebIdentityToken=token)['AssumedRoleUser']['Arn'])
    except sts.exceptions.ClientError as error:
        print(error.response['Error']['Code'])
"""


def test_first_line_says_where_everything_is_and_clients_work(tmp_path: Path) -> None:
    clouds = Clouds(
        tmp_path,
        accounts=[MANAGEMENT, MEMBER],
        organization=MANAGEMENT,
        projects=["my-project=123", "other-project=456"],
    )
    try:
        line = clouds.line
        assert line.keys() == {"aws", "gcp", "env"}
        assert line["aws"].keys() == {"endpoint", "accounts"}
        assert line["aws"]["accounts"].keys() == {MANAGEMENT, MEMBER}
        assert {p: v["number"] for p, v in line["gcp"]["projects"].items()} == {
            "my-project": "123",
            "other-project": "456",
        }
        arn = f"arn:aws:iam::{MEMBER}:user/admin"
        assert clouds.script(WHO, ENDPOINT=line["aws"]["endpoint"]).split() == [arn, arn]
        assert clouds.script(ORGANIZATION, MANAGEMENT).split() == [MANAGEMENT, MANAGEMENT, MEMBER]
        token = line["gcp"]["projects"]["my-project"]["access_token"]
        assert clouds.script(GOOGLE, TOKEN=token).startswith("projects/")
    finally:
        assert clouds.end() == 0
    assert left_in(tmp_path) == []


def test_issuers_keys_are_fetched_where_resolve_says(tmp_path: Path, issuer: Issuer) -> None:
    clouds = Clouds(
        tmp_path,
        accounts=[MEMBER],
        resolve=[issuer.resolve],
        trust_ca=[str(issuer.ca_file)] if issuer.ca else [],
    )
    try:
        said = clouds.script(
            FEDERATE, MINE=issuer.token("me"), ANOTHERS=issuer.token("another"), ROLE=ROLE
        )
        assert said.split() == [
            f"arn:aws:sts::{MEMBER}:assumed-role/federated/session",
            "AccessDenied",
        ]
    finally:
        assert clouds.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ends_cleanly_when_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    clouds = Clouds(tmp_path)
    assert clouds.end(number) == 0
    assert left_in(tmp_path) == []


def test_ends_cleanly_while_clients_are_connected(tmp_path: Path) -> None:
    clouds = Clouds(tmp_path)
    connected: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for url in (clouds.line["aws"]["endpoint"], clouds.line["env"]["HTTPS_PROXY"]):
            host, _, port = url.removeprefix("http://").partition(":")
            for sent in (b"", b"GET / HTT", b"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\n\r\n"):
                client = socket.create_connection((host, int(port)), timeout=20)
                stack.enter_context(client)
                client.sendall(sent)
                connected.append(client)
        assert connected[-1].recv(64).startswith(b"HTTP/1.1 200")
        assert clouds.end() == 0
    assert left_in(tmp_path) == []


def test_next_start_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    assert Clouds(tmp_path).end(signal.SIGKILL) == -signal.SIGKILL
    (left,) = left_in(tmp_path)
    clouds = Clouds(tmp_path)
    assert left not in left_in(tmp_path)
    assert clouds.end() == 0


MISUSES = {
    "an account that is no account": ({"accounts": ("12",)}, "expected 12 digits, got '12'"),
    "an organisation that is no account": ({"organization": "o-1"}, "got 'o-1'"),
    "a project without its number": ({"projects": ("p-roject",)}, "expected ID=NUMBER"),
    "a project number that is none": ({"projects": ("p-roject=x",)}, "expected ID=NUMBER"),
    "a project twice": ({"projects": ("my-project=1", "my-project=2")}, "expected once"),
    "a number twice": ({"projects": ("my-project=1", "other-one=1")}, "expected once"),
    "a resolve without a URL": ({"resolve": ("issuer.test",)}, "expected HOST=URL"),
    "a resolve that leaves loopback": (
        {"resolve": ("issuer.test=http://192.0.2.1",)},
        "expected http(s) on loopback",
    ),
    "a resolve by name": ({"resolve": ("issuer.test=http://example.com",)}, "example.com"),
    "an authority that is not there": ({"trust_ca": ("/nowhere.pem",)}, "expected a PEM file"),
    "an upstream elsewhere": ({"aws_upstream": "http://192.0.2.1:4566"}, "on loopback, got"),
    "an upstream by name": ({"aws_upstream": "http://example.com:4566"}, "on loopback, got"),
    "an upstream without its port": ({"aws_upstream": "http://127.0.0.1"}, "http://HOST:PORT"),
    "an upstream with a path": ({"aws_upstream": "http://127.0.0.1:1/x"}, "http://HOST:PORT"),
    "an upstream over TLS": ({"aws_upstream": "https://127.0.0.1:1"}, "http://HOST:PORT"),
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuse_exits_2_and_says_what_was_expected(
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    options, message = MISUSES[case]
    assert serve_clouds(CloudsOptions(**options)) == 2  # type: ignore[arg-type]  # a table of members
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


DENIED = """
import boto3, botocore.exceptions, json
iam = boto3.client("iam")
iam.create_user(UserName="reader")
deny = {"Sid": "NotThat", "Effect": "Deny", "Action": "iam:ListUsers", "Resource": "*"}
document = {"Version": "2012-10-17", "Statement": [deny]}
iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(document))
key = iam.create_access_key(UserName="reader")["AccessKey"]
session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"])
try:
    session.client("iam").list_users()
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Message"])
"""


def test_options_of_aws_reach_its_cloud(tmp_path: Path) -> None:
    clouds = Clouds(tmp_path, accounts=[MEMBER], explain=True)
    try:
        said = clouds.script(DENIED)
    finally:
        assert clouds.end() == 0
    assert "explicit deny" in said
    assert "NotThat" in said


def test_unmapped_expects_deny_or_allow(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve_clouds(CloudsOptions(unmapped="perhaps")) == 2
    assert "--unmapped: expected deny or allow, got 'perhaps'" in capsys.readouterr().err
