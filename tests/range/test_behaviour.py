"""A running range whose agents are watched: an agent in the wrong place, cut off and restored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

ASTRAY = """
import subprocess, sys, time, requests
from pathlib import Path
from scenarios import oauth
daemon = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"],
    start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
Path(sys.argv[1]).write_text(str(daemon.pid))
own = oauth.Own.from_home()
client = oauth.client_with_key(own.client_id, own.issuer, own.key(), dpop_bound_access_tokens=True)
token = client.client_credentials(resource="https://payments.iamrange.example")
requests.get("https://payments.iamrange.example/records/latest", auth=token, timeout=20)
time.sleep(60)
"""
SESSION = """
import json, boto3
found = boto3.Session().get_credentials().get_frozen_credentials()
print(json.dumps([found.access_key, found.secret_key, found.token]))
"""
READS_SECRET = """
import json, sys, boto3
from botocore.exceptions import ClientError
key, secret, token = json.loads(sys.argv[1])
session = boto3.Session(key, secret, token)
try:
    session.client("secretsmanager").get_secret_value(SecretId="agents/log-writer/credentials")
    print("read")
except ClientError as error:
    print(error.response["Error"]["Code"])
"""


VAULT_ASSERTION = """
import os, pathlib
from iamrange.identity.agent import AgentIdentity
home = pathlib.Path(os.environ["IAMRANGE_AGENT_HOME"])
AgentIdentity(home).write_token_file("https://vault.iamrange.example", home / "vault-token")
print((home / "vault-token").read_text())
"""
VAULT_LOGIN = """
import sys, hvac
client = hvac.Client()
try:
    client.auth.jwt.jwt_login(role="long", jwt=sys.argv[1], path="jwt")
    print(client.token)
except hvac.exceptions.Forbidden:
    print("refused")
"""
AT_VAULT = """
import sys, hvac
client = hvac.Client(token=sys.argv[1])
try:
    read = client.secrets.kv.v2.read_secret_version
    read(path="log-writer/credentials", mount_point="agents", raise_on_deleted_version=True)
    print("read")
except hvac.exceptions.Forbidden:
    print("refused")
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

    def runs(self, source: str, argument: str = "", network: str = "corporate") -> str:
        """Run Python as the log writer, in a network; return what it says."""
        shell = json.loads(self.ok("env", "--agent", "log-writer", "--network", network, "--json"))
        done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", source, argument],
            cwd=Path(__file__).parents[2],
            env={**shell, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-1500:]
        return done.stdout.strip()

    def has_long_login(self) -> None:
        """Let the log writer log in at the vault for longer than a test: its lease is seconds."""
        facts = json.loads(self.ok("status", "--json"))["vault"]
        role = {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": ["https://vault.iamrange.example"],
            "bound_subject": "spiffe://iamrange.example/agent/log-writer",
            "token_policies": ["agent-log-writer"],
            "token_ttl": "10m",
        }
        made = requests.post(
            f"{facts['endpoint']}/v1/auth/jwt/role/long",
            json=role,
            headers={"X-Vault-Token": facts["token"]},
            timeout=20,
        )
        assert made.status_code in {200, 204}, made.text

    def reads(self, network: str, most: int) -> list[str]:
        """Have the log writer read from a network; return how many answers it got, and the last."""
        return self.runs(READS, str(most), network).split()

    def until(self, holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < ends
            time.sleep(0.2)

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
    session = lab.runs(SESSION)
    assert lab.runs(READS_SECRET, session) == "read"
    lab.has_long_login()
    assertion = lab.runs(VAULT_ASSERTION)
    login = lab.runs(VAULT_LOGIN, assertion)
    assert lab.runs(AT_VAULT, login) == "read"
    calls, status, reason = lab.reads("outside", 100)
    assert 1 < int(calls) < 100  # the call that is accused was answered, and the next ones not
    assert (status, reason) == ("401", "agent-quarantined")
    incident = lab.incidents()[-1]
    (said,) = incident["accusations"]
    assert (said["rule"], said["seen"]) == ("not-at-home", "outside")
    assert incident["accused"]
    assert json.loads(lab.ok("agents", "show", "log-writer", "--json"))["state"] == "quarantined"
    lab.until(lambda: all(step["done"] for step in lab.incidents()[-1]["steps"]))
    assert lab.runs(READS_SECRET, session) == "AccessDeniedException"
    assert lab.runs(AT_VAULT, login) == "refused"
    assert lab.runs(VAULT_LOGIN, assertion) == "refused"
    log = lab.ok("audit", "query", "actor.user.uid=*/log-writer", "status_code=not-at-home")
    assert "behaviour:Accuse" in log
    told = json.loads(lab.ok("behaviour", "accept", "log-writer", "--json"))
    assert told == {"accepted": [], "not accepted": ["not-at-home"]}
    assert lab.reads("corporate", 1) == ["1", "200", "-"]
    assert lab.runs(AT_VAULT, login) == "refused"  # what was revoked stays so; it logs in anew
    assert lab.runs(AT_VAULT, lab.runs(VAULT_LOGIN, lab.runs(VAULT_ASSERTION))) == "read"
    assert lab.iamrange("behaviour", "accept", "log-writer").returncode == 1
    assert "log-writer" in lab.ok("behaviour", "baseline", "log-writer")
    assert lab.iamrange("behaviour", "baseline", "nobody").returncode == 1
    lab.ok("audit", "verify")


def test_what_works_as_an_accused_agent_is_stopped_with_what_it_has_started(lab: Range) -> None:
    work = ["exec", "--network", "outside", "payments-agent", "--", sys.executable, "-c"]
    identity = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    at_home = ["exec", "payments-agent", "--", sys.executable, "-c"]
    assert "payments-agent-role" in lab.ok(*at_home, identity)
    assert lab.iamrange(*at_home, "raise SystemExit(9)").returncode == 9
    pid_file = lab.folder / "daemon"
    stopped = lab.iamrange(*work, ASTRAY, str(pid_file))
    assert stopped.returncode == 128 + 9, stopped.stderr
    assert "payments-agent stands accused" in stopped.stderr
    assert not Path(f"/proc/{pid_file.read_text()}").exists()
    refused = lab.iamrange(*at_home, "print('it worked')")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "quarantined" in refused.stderr
    lab.until(lambda: all(step["done"] for step in lab.incidents()[-1]["steps"]))
    steps = {step["means"]: step["detail"] for step in lab.incidents()[-1]["steps"]}
    assert steps["processes"] == "2 stopped"
    lab.ok("agents", "release", "payments-agent")
    lab.until(lambda: not lab.incidents()[-1]["accused"])
    assert lab.ok(*at_home, "print('it worked')") == "it worked\n"
