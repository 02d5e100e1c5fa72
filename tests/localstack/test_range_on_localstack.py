"""The whole range with LocalStack as AWS's store: proofs, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.aws.emulators import Emulator

# one control of IAM, one that LocalStack itself keeps, one of our own services, one of the vault,
# a rotation that goes through LocalStack's, and one whom a watch cuts off
SCENARIOS = (
    "token-theft/oidc-token-for-another-role",
    "key-leakage/every-secret-in-the-account",
    "rogue-agents/offboarded-agent",
    "key-leakage/neighbours-path-in-the-vault",
    "key-leakage/leaked-secret-used-after-rotation",
    "rogue-agents/call-rate-up",
    "privilege-escalation/role-passed-to-a-function",
)


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "iamrange.cli", "run", *arguments, "--out", str(folder / "out")],
        env={**kept, "XDG_STATE_HOME": str(folder / "state"), **environment},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class OneRun:
    """A run that has ended: what it said, and what LocalStack wrote of its calls meanwhile."""

    done: subprocess.CompletedProcess[str]
    report: dict[str, Any]
    calls: str


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory, localstack: Emulator) -> OneRun:
    folder = tmp_path_factory.mktemp("run")
    before = len(localstack.log())
    done = run(
        folder,
        *SCENARIOS,
        *("--target", "localstack"),
        LOCALSTACK_HOST=localstack.url.removeprefix("http://"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / "out" / "report.json").read_text())
    return OneRun(done, report, localstack.log()[before:])


def test_controls_are_proved_and_what_cannot_be_run_is_listed(one_run: OneRun) -> None:
    assert one_run.report["target"] == "localstack"
    proved = {scenario["id"]: scenario["proved"] for scenario in one_run.report["scenarios"]}
    assert proved == {name: name != SCENARIOS[-1] for name in SCENARIOS}
    assert "1 not evaluated on localstack" in one_run.done.stdout


@pytest.mark.parametrize(
    ("made", "ended"),
    [
        ("secretsmanager.CreateSecret", "secretsmanager.DeleteSecret"),
        ("kms.CreateKey", "kms.ScheduleKeyDeletion"),
        ("s3.CreateBucket", "s3.DeleteBucket"),
    ],
)
def test_what_a_run_has_made_it_deletes(one_run: OneRun, made: str, ended: str) -> None:
    count = one_run.calls.count(f"{made} => 200")
    assert count > 0
    gone = sum(one_run.calls.count(f"{ended} => {status}") for status in (200, 204))
    assert gone == count


def test_no_emulator_is_a_clear_error(tmp_path: Path) -> None:
    done = run(tmp_path, SCENARIOS[0], "--target", "localstack", LOCALSTACK_HOST="127.0.0.1:1")
    assert done.returncode == 3
    assert "no emulator answers at http://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1:4566", "localstack.example:4566"])
def test_an_emulator_elsewhere_is_refused(tmp_path: Path, host: str) -> None:
    done = run(tmp_path, SCENARIOS[0], "--target", "localstack", LOCALSTACK_HOST=host)
    assert done.returncode == 2
    assert "on loopback" in done.stderr
