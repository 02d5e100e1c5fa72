"""Rotation on a running range: both clouds' vaults, real keys, the old ones refused afterwards."""

from __future__ import annotations

import base64
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from iamrange.range.running import state_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


CONSUMER = """
import json, sys
import boto3
endpoint, admin, secret, fail = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
def client(name, key):
    return boto3.client(name, endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
held = client("secretsmanager", admin).get_secret_value(SecretId=secret)
value = json.loads(held["SecretString"])
client("sts", value).get_caller_identity()
sys.exit(fail != "" and value["AccessKeyId"] != fail)
"""


@pytest.fixture(scope="module")
def state(iamrange: CommandLine, state_home: Path) -> Iterator[Mapping[str, Any]]:
    assert state_home.is_dir()
    assert iamrange("up").status == 0
    try:
        yield json.loads(state_file().read_text())
    finally:
        iamrange("down")


def client(state: Mapping[str, Any], service: str, key: Mapping[str, str]) -> Any:  # noqa: ANN401 - boto3
    session: Any = boto3.Session()
    return session.client(
        service,
        endpoint_url=state["aws"]["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )


def admin_of(state: Mapping[str, Any], account: str) -> dict[str, str]:
    key = state["aws"]["accounts"][account]
    return {"AccessKeyId": key["access_key_id"], "SecretAccessKey": key["secret_access_key"]}


def user_with_key(state: Mapping[str, Any], account: str, user: str) -> dict[str, str]:
    iam = client(state, "iam", admin_of(state, account))
    iam.create_user(UserName=user)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return {name: made[name] for name in ("AccessKeyId", "SecretAccessKey")}


def works(state: Mapping[str, Any], key: Mapping[str, str]) -> bool:
    try:
        client(state, "sts", key).get_caller_identity()
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidClientTokenId":
            raise
        return False
    return True


def test_access_key_in_aws_is_replaced_undone_for_a_consumer_that_fails_and_dead_in_the_end(
    state: Mapping[str, Any], iamrange: CommandLine
) -> None:
    account = min(state["aws"]["accounts"])
    old = user_with_key(state, account, "nightly")
    admin = admin_of(state, account)
    secrets = client(state, "secretsmanager", admin)
    secrets.create_secret(Name="nightly/key", SecretString=json.dumps(old))

    def consumer(fail: str = "") -> str:
        words = [sys.executable, "-c", CONSUMER, state["aws"]["endpoint"], json.dumps(admin)]
        return shlex.join([*words, "nightly/key", fail])

    base = (
        "rotate",
        "key",
        "nightly",
        "--vault",
        "aws:nightly/key",
        "--account",
        account,
        "--json",
    )
    undone = iamrange(*base, "--consumer", consumer(fail=old["AccessKeyId"]))
    assert undone.status == 1, undone.err
    assert json.loads(undone.out)["state"] == "undone"
    assert works(state, old)
    assert json.loads(secrets.get_secret_value(SecretId="nightly/key")["SecretString"]) == old

    waiting = iamrange(*base, "--consumer", consumer(), "--overlap", "3600")
    assert waiting.status == 0, waiting.err
    assert json.loads(waiting.out)["state"] == "verified"
    new = json.loads(secrets.get_secret_value(SecretId="nightly/key")["SecretString"])
    assert new != old
    assert works(state, old)
    assert works(state, new)

    done = iamrange(*base, "--consumer", consumer(), "--incident")
    assert done.status == 0, done.err
    assert json.loads(done.out)["state"] == "done"
    assert not works(state, old)
    assert works(state, new)
    assert old["SecretAccessKey"] not in done.out + done.err
    assert new["SecretAccessKey"] not in done.out + done.err
    not_due = iamrange(*base, "--every", "30")
    assert json.loads(not_due.out)["state"] == "not-due"


def test_access_key_in_google_is_replaced_and_the_old_version_destroyed(
    state: Mapping[str, Any], iamrange: CommandLine
) -> None:
    account = min(state["aws"]["accounts"])
    old = user_with_key(state, account, "weekly")
    project, facts = next(iter(state["gcp"]["projects"].items()))
    base = f"{state['gcp']['endpoint']}/v1/projects/{project}/secrets"
    headers = {"authorization": f"Bearer {facts['access_token']}"}

    def call(method: str, path: str, **body: object) -> dict[str, Any]:
        answer = requests.request(
            method, base + path, json=body or None, headers=headers, timeout=20
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    call("POST", "?secretId=weekly-key", replication={"automatic": {}})
    data = base64.b64encode(json.dumps(old).encode()).decode()
    call("POST", "/weekly-key:addVersion", payload={"data": data})
    arguments = ("rotate", "key", "weekly", "--vault", "gcp:weekly-key", "--account", account)
    failed = iamrange(*arguments, "--consumer", "false", "--json")
    assert failed.status == 1, failed.err
    assert works(state, old)
    back = call("GET", "/weekly-key/versions/latest:access")["payload"]["data"]
    assert json.loads(base64.b64decode(back)) == old

    done = iamrange(*arguments, "--consumer", "true", "--json")
    assert done.status == 0, done.err
    assert not works(state, old)
    value = call("GET", "/weekly-key/versions/latest:access")["payload"]["data"]
    assert works(state, json.loads(base64.b64decode(value)))
    states = [one["state"] for one in call("GET", "/weekly-key/versions")["versions"]]
    # new; old, brought back for the consumer that failed; the one it failed with; old
    assert states == ["ENABLED", "DESTROYED", "DESTROYED", "DESTROYED"]


def test_values_in_the_vault_are_replaced_and_the_old_versions_destroyed(
    state: Mapping[str, Any], iamrange: CommandLine
) -> None:
    account = min(state["aws"]["accounts"])
    old = user_with_key(state, account, "hourly")
    base = f"{state['vault']['endpoint']}/v1/agents"
    headers = {"x-vault-token": state["vault"]["token"]}

    def call(method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = requests.request(method, base + path, json=body, headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["data"])

    call("POST", "/data/hourly", {"data": {"value": json.dumps(old), "region": "us-east-1"}})
    arguments = ("rotate", "key", "hourly", "--vault", "bao:agents/hourly", "--account", account)
    failed = iamrange(*arguments, "--consumer", "false", "--json")
    assert failed.status == 1, failed.err
    assert works(state, old)
    assert json.loads(call("GET", "/data/hourly")["data"]["value"]) == old

    done = iamrange(*arguments, "--consumer", "true", "--json")
    assert done.status == 0, done.err
    assert not works(state, old)
    given = call("GET", "/data/hourly")["data"]
    assert works(state, json.loads(given["value"]))
    assert given["region"] == "us-east-1"
    assert old["SecretAccessKey"] not in done.out + done.err
    versions = call("GET", "/metadata/hourly")["versions"].values()
    # old; the one that a consumer failed with; old, brought back; new
    assert [one["destroyed"] for one in versions] == [True, True, True, False]

    call("POST", "/data/sensor", {"data": {"client_secret": "what it had"}})
    agent = state["names"]["sensor"] if "sensor" in state["names"] else min(state["names"].values())
    named = ("rotate", "client-secret", agent, "--vault", "bao:agents/sensor#client_secret")
    ended = iamrange(*named, "--incident", "--json")
    assert ended.status == 0, ended.err
    assert call("GET", "/data/sensor")["data"]["client_secret"] != "what it had"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("key", "x", "--vault", "x"), 2, "expected aws:NAME, gcp:NAME or bao:PATH"),
        (("key", "x", "--vault", "aws:x", "--account", "1"), 2, "--account expected one of"),
        (("key", "x", "--vault", "aws:x", "--incident", "--every", "1"), 2, "without --every"),
        (("key", "x", "--vault", "aws:nowhere"), 3, "ResourceNotFoundException"),
        (("client-secret", "x", "--vault", "gcp:nowhere"), 3, "NOT_FOUND"),
        (("key", "x", "--vault", "bao:nowhere"), 3, "below a key-value store of version 2"),
        (("key", "x", "--vault", "bao:agents/nobody"), 3, "expected a secret there"),
    ],
)
def test_misuse_and_what_is_not_there_are_told(
    state: Mapping[str, Any],
    iamrange: CommandLine,
    arguments: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    assert state
    answer = iamrange("rotate", *arguments)
    assert said in answer.err
    assert answer.status == status
