"""A running range whose agents are watched: an agent in the wrong place, cut off and restored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

READS = """
import sys, time, requests
from scenarios import oauth
own = oauth.Own.from_home()
client = oauth.client_with_key(own.client_id, own.issuer, own.key(), dpop_bound_access_tokens=True)
token = client.client_credentials(resource="https://logs.iamrange.example")
url = "https://logs.iamrange.example/records/latest"
statuses = []
for _ in range(int(sys.argv[1])):
    answer = requests.get(url, auth=token, timeout=20)
    statuses.append(answer.status_code)
    if answer.status_code != 200:
        break
    time.sleep(0.1)
print(len(statuses), statuses[-1], answer.headers.get("x-iamrange-reason", "-"))
"""


class Range:
    """A running range, used as from a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}

    def iamrange(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "iamrange.cli", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        done = self.iamrange(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reads(self, network: str, most: int) -> list[str]:
        """Have the log writer read from a network; return how many answers it got, and the last."""
        shell = json.loads(self.ok("env", "--agent", "log-writer", "--network", network, "--json"))
        done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", READS, str(most)],
            cwd=Path(__file__).parents[2],
            env={**shell, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-1500:]
        return done.stdout.split()

    def incidents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ok("behaviour", "incidents", "--json"))
        return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    running = Range(tmp_path_factory.mktemp("running"))
    try:
        running.ok("up")
        yield running
    finally:
        running.iamrange("down")


def test_an_agent_in_the_wrong_place_is_contained_while_nobody_touches_the_keyboard(
    lab: Range,
) -> None:
    assert lab.reads("corporate", 2) == ["2", "200", "-"]
    calls, status, reason = lab.reads("outside", 100)
    assert 1 < int(calls) < 100  # the call that is accused was answered, and the next ones not
    assert (status, reason) == ("401", "agent-quarantined")
    (incident,) = lab.incidents()
    (said,) = incident["accusations"]
    assert (said["rule"], said["seen"]) == ("not-at-home", "outside")
    assert incident["accused"]
    assert json.loads(lab.ok("agents", "show", "log-writer", "--json"))["state"] == "quarantined"
    log = lab.ok("audit", "query", "actor.user.uid=*/log-writer", "status_code=not-at-home")
    assert "behaviour:Accuse" in log
    told = json.loads(lab.ok("behaviour", "accept", "log-writer", "--json"))
    assert told == {"accepted": [], "not accepted": ["not-at-home"]}
    assert lab.reads("corporate", 1) == ["1", "200", "-"]
    assert lab.iamrange("behaviour", "accept", "log-writer").returncode == 1
    assert "log-writer" in lab.ok("behaviour", "baseline", "log-writer")
    assert lab.iamrange("behaviour", "baseline", "nobody").returncode == 1
    lab.ok("audit", "verify")
