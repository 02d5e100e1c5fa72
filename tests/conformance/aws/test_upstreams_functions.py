"""A function that is kept at an emulator is run here, with the code that came through here."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.clouds.aws.functions import Function, Ran
from iamrange.clouds.aws.upstream_gaps import gaps
from iamrange.clouds.aws.upstream_remote import RemoteUpstream
from tests.conformance.aws.lab import HOME, Lab, allow, refusal_of, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.clouds.aws.model import Session
    from tests.conformance.aws.emulators import Located

TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "lambda.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


class Said:
    """Runs nothing: says what it was given."""

    async def run(self, function: Function, event: bytes, session: Session) -> Ran:
        with zipfile.ZipFile(io.BytesIO(function.code)) as archive:
            source = archive.read("a.py").decode()
        told = {
            "source": source,
            "handler": function.handler,
            "environment": dict(function.environment),
            "event": json.loads(event),
            "role": session.issuer_arn,
        }
        return Ran(json.dumps(told).encode())


@pytest.fixture
def runs(upstream: Located | None) -> Iterator[Lab]:
    remote = RemoteUpstream(upstream.url, upstream.kind) if upstream else None
    running = Lab(remote=remote, functions=Said())
    yield running
    running.stop()


def packed(source: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.py", source)
    return content.getvalue()


def create(lab: Lab, source: str) -> tuple[str, str]:
    role, name = lab.role(TRUST), unique("function")
    lab.admin.lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=role,
        Handler="a.x",
        Code={"ZipFile": packed(source)},
        Environment={"Variables": {"A": "b"}},
    )
    return name, role


def invoke(lab: Lab, name: str) -> Any:  # noqa: ANN401 - what a function returns
    answer = lab.admin.lambda_.invoke(FunctionName=name, Payload=b'{"x": 1}')
    return json.loads(answer["Payload"].read())


def test_function_runs_with_its_newest_code_and_its_role(
    runs: Lab, upstream: Located | None
) -> None:
    name, role = create(runs, "first = 1")
    assert invoke(runs, name) == {
        "source": "first = 1",
        "handler": "a.x",
        "environment": {"A": "b"},
        "event": {"x": 1},
        "role": role,
    }
    another, _ = create(runs, "another = 1")
    assert invoke(runs, another)["source"] == "another = 1"
    listed = {(gap.upstream, gap.operation) for gap in gaps()}
    if upstream is not None and (upstream.kind, "lambda:UpdateFunctionCode") in listed:
        return
    second = packed("second = 2")
    runs.admin.lambda_.update_function_code(FunctionName=name, ZipFile=second)
    assert invoke(runs, name)["source"] == "second = 2"


def test_who_may_not_invoke_runs_nothing(runs: Lab) -> None:
    name, _ = create(runs, "x = 1")
    other = f"arn:aws:lambda:us-east-1:{HOME}:function:{name}x"
    who = runs.user(allow("lambda:InvokeFunction", other))
    refused = refusal_of(lambda: who.lambda_.invoke(FunctionName=name))
    assert refused == ("AccessDeniedException", 403)


def test_code_that_nobody_here_has_is_not_run(runs: Lab, upstream: Located | None) -> None:
    if upstream is None:
        pytest.skip("the embedded store has all code")
    name, _ = create(runs, "x = 1")
    another = Lab(remote=RemoteUpstream(upstream.url, upstream.kind), functions=Said())
    try:
        refused = refusal_of(lambda: another.admin.lambda_.invoke(FunctionName=name))
    finally:
        another.stop()
    assert refused == ("ResourceNotFoundException", 404)
