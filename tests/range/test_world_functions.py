"""Functions of a world are run for real: in a process, with the role they were passed, no more."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from iamrange.range.config import WorldConfig
from iamrange.range.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "100000000002"
FUNCTIONS = {
    "who": "import boto3\ndef handler(e, c):\n"
    '  return boto3.client("sts").get_caller_identity()["Arn"]',
    "environment": "import os\ndef handler(e, c): return sorted(os.environ)",
    "event": "def handler(e, c): print('nowhere'); return e['value']",
    "raises": "def handler(e, c): raise ValueError('a secret')",
    "ends": "import os\ndef handler(e, c): os._exit(0)",
    "hangs": "import time\ndef handler(e, c): time.sleep(60)",
    "not-json": "def handler(e, c): return object()",
}


@pytest.fixture(scope="module")
def world(state_home: Path) -> Iterator[World]:
    assert state_home.is_dir()
    with World.start(WorldConfig(run_id="functions", aws_accounts=(ACCOUNT,))) as running:
        iam = _client(running, "iam")
        for name, service in (("function", "lambda"), ("machine", "ec2")):
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": f"{service}.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        for name, code in FUNCTIONS.items():
            _create(running, name, code)
        _create(running, "role-of-a-machine", FUNCTIONS["event"], role="machine")
        yield running


def _client(world: World, service: str) -> Any:  # noqa: ANN401 - a boto3 client
    key = world.aws_keys[ACCOUNT]
    make: Any = boto3.client  # the stubs know each service's name as a literal only
    return make(
        service,
        endpoint_url=world.aws_endpoint,
        region_name="us-east-1",
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
    )


def _create(world: World, name: str, code: str, *, role: str = "function") -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", code)
    _client(world, "lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ACCOUNT}:role/{role}",
        Handler="index.handler",
        Timeout=1 if name == "hangs" else 20,
        Code={"ZipFile": packed.getvalue()},
    )


def _invoke(world: World, name: str, event: object = None) -> tuple[str | None, Any]:
    payload = json.dumps(event or {}).encode()
    answer = _client(world, "lambda").invoke(FunctionName=name, Payload=payload)
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def test_function_has_the_session_of_the_role_that_it_was_passed(world: World) -> None:
    assert _invoke(world, "who") == (
        None,
        f"arn:aws:sts::{ACCOUNT}:assumed-role/function/who",
    )


def test_function_is_given_its_event_and_answers_with_what_it_returns(world: World) -> None:
    assert _invoke(world, "event", {"value": [1, "two"]}) == (None, [1, "two"])


def test_function_sees_nothing_of_the_range(world: World) -> None:
    error, names = _invoke(world, "environment")
    assert error is None
    assert not [name for name in names if "IAMRANGE" in name or "XDG" in name]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("raises", "ValueError"),
        ("not-json", "TypeError"),
        ("ends", "Runtime exited without an answer"),
        ("hangs", "Runtime exited without an answer"),
    ],
)
def test_function_that_fails_says_how_and_never_with_what_text(
    world: World, name: str, what: str
) -> None:
    error, answer = _invoke(world, name)
    assert (error, answer) == ("Unhandled", {"errorType": what, "errorMessage": what})


def test_role_that_does_not_trust_the_service_runs_nothing(world: World) -> None:
    _, mark = world.records_since(0)
    with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
        _invoke(world, "role-of-a-machine", {"value": 1})
    records, _ = world.records_since(mark)
    assert [(r.action, r.outcome) for r in records if r.action == "sts:AssumeRole"] == [
        ("sts:AssumeRole", "deny")
    ]


def test_function_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(ClientError, match="Function not found"):
        _invoke(world, "nobody")


def test_function_leaves_nothing_behind(world: World) -> None:
    _invoke(world, "event", {"value": 1})
    assert not list(world.folder.glob("function-*"))
