"""What the command line says of names that it does not know, and of a machine that lacks things."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

import pytest

from iamrange.engine.errors import PrepareError
from iamrange.range import runner
from iamrange.range.processes import ProcessError
from iamrange.range.progress import NoProgress
from iamrange.range.runner import RunOptions, workshop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


SCENARIO = "token-theft/gcp-token-at-aws"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "gcp-token-at-aws"), f"unknown scenario 'gcp-token-at-aws'; nearest: {SCENARIO}"),
        (("run", "zzz"), "unknown scenario 'zzz'; nearest: "),
        (("scenarios", f"{SCENARIO}s"), f"nearest: {SCENARIO}"),
        (("attack", f"{SCENARIO}s"), f"nearest: {SCENARIO}"),
        (
            ("attack", SCENARIO, "--without", "aws.pins-audience"),
            "unknown control 'aws.pins-audience'; nearest: aws.trust-pins-audience",
        ),
        (("controls", "show", "aws.least"), "nearest: aws.least-privilege"),
        (("controls", "off", "aws.least"), "nearest: aws.least-privilege"),
        (
            ("run", "--target", "localstac"),
            "--target expected one of embedded, localstack, got 'localstac'",
        ),
        (("up", "--target", "moon"), "--target expected one of embedded, localstack, got 'moon'"),
        (("run", "--jobs", "0"), "--jobs expected 1 or more, got 0"),
        (("status",), "no range is running; `iamrange up` starts one"),
        (("env",), "no range is running"),
        (("down",), "no range is running"),
        (("controls", "on", "aws.least-privilege"), "no range is running"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_misuse_is_told_with_the_nearest_names(
    iamrange: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    answer = iamrange(*arguments)
    assert answer.status == 2, answer.err
    assert said in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_a_full_disk_is_told_before_anything_starts(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_home.is_dir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=3 << 20))
    with (
        pytest.raises(ProcessError, match=r"expected 64 MiB free for worlds, got 3; way out: free"),
        workshop(RunOptions(), NoProgress()),
    ):
        raise AssertionError("not reached")


def test_a_missing_engine_is_told_with_the_way_out(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_home.is_dir()

    def missing() -> None:
        raise PrepareError("get the Pulumi engine", "no Go", "install Go", "go build")

    monkeypatch.setattr(runner, "prepare", missing)
    with (
        pytest.raises(PrepareError, match=r"get the Pulumi engine: no Go\n.*\n  way out: install"),
        workshop(RunOptions(), NoProgress()),
    ):
        raise AssertionError("not reached")
