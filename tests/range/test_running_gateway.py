"""The gateway of a running range, by curl and by people's tools: what docs/gateway.md says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import iamrange.access

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = Path(iamrange.access.__file__).parent / "policy"
DOCUMENT = Path(__file__).parents[2] / "docs" / "gateway.md"
DEPLOYMENTS = "https://deployments.iamrange.example"
PRODUCTION = f"{DEPLOYMENTS}/deployments/production"
HEADERS = """
import json, sys
from scenarios import oauth
client = oauth.Own.from_home().client()
token = client.client_credentials(resource=sys.argv[1], scope=sys.argv[4] or None)
import requests
asked = requests.Request(sys.argv[2], sys.argv[3], auth=token)
with requests.Session() as session:
    nonce = session.get(sys.argv[1] + "/records/latest", auth=token)
    ready = session.prepare_request(asked)
print(json.dumps([ready.headers["Authorization"], ready.headers["DPoP"]]))
"""


class Range:
    """A running range, used as from a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy"
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.shells: dict[str, dict[str, str]] = {}

    def iamrange(
        self, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "iamrange.cli", *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def ok(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        done = self.iamrange(*arguments, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, agent: str) -> dict[str, str]:
        if agent not in self.shells:
            made: dict[str, str] = json.loads(self.ok("env", "--agent", agent, "--json"))
            self.shells[agent] = {**made, "HOME": str(self.folder), "PATH": os.environ["PATH"]}
        return self.shells[agent]

    def proved(
        self, agent: str, method: str, url: str, *, resource: str = "", scope: str = ""
    ) -> list[str]:
        """Return curl's arguments by which an agent shows its token with a proof for the call."""
        origin = resource or "/".join(url.split("/", 3)[:3])
        done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", HEADERS, origin, method, url, scope],
            cwd=Path(__file__).parents[2],
            env=self.shell(agent),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-1500:]
        authorization, proof = json.loads(done.stdout)
        return ["-X", method, "-H", f"Authorization: {authorization}", "-H", f"DPoP: {proof}"]

    def curl(self, *arguments: str) -> tuple[int, str]:
        """Return the status and the reason."""
        plain = ("--path-as-is", "--suppress-connect-headers", "-o", "-", "-D", "-")
        done = subprocess.run(  # noqa: S603 - curl against the range's own names
            ["curl", "-sS", *plain, *arguments],  # noqa: S607
            env=self.shell("deploy-bot"),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        lines = done.stdout.splitlines()
        reasons = [line.split(": ", 1)[1] for line in lines if line.startswith("x-iamrange-reason")]
        return int(lines[0].split()[1]), "".join(reasons)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    running = Range(tmp_path_factory.mktemp("running"))
    try:
        shutil.copytree(POLICY, running.policy)
        running.ok("up", "--policy", str(running.policy))
        yield running
    finally:
        running.iamrange("down")


def documented() -> dict[str, tuple[int, str]]:
    rows = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    return {
        row[1].strip(): (int(row[2]), row[3].strip().strip("`"))
        for row in rows
        if len(row) == 5 and row[2].strip().isdecimal()
    }


def calls(lab: Range) -> dict[str, list[str]]:
    """Return curl's arguments for each thing that can be wrong, by docs/gateway.md's own words."""
    latest = f"{DEPLOYMENTS}/records/latest"
    body = ["-H", "Content-Type: application/json", "-d", '{"version":"1"}']
    good = lab.proved("deploy-bot", "GET", latest)
    used = lab.proved("deploy-bot", "GET", latest)
    lab.curl(*used, latest)
    hr = "https://hr.iamrange.example/records/latest"
    segments = "https://customers.iamrange.example/segments/all"
    telemetry = "https://telemetry.iamrange.example/records/latest"
    return {
        "nothing": [*good, latest],
        "no token": [latest],
        "a bound token without its proof": [*good[:4], latest.replace("latest", "newest")],
        "a proof that was used before": [*used, latest],
        "a token for another service": [
            *lab.proved("deploy-bot", "GET", hr, resource=DEPLOYMENTS),
            hr,
        ],
        "a path that can be read in two ways": [
            *lab.proved("deploy-bot", "GET", f"{DEPLOYMENTS}/records/../admin"),
            f"{DEPLOYMENTS}/records/%2e%2e/admin",
        ],
        "a path that nothing serves": [
            *lab.proved("deploy-bot", "GET", f"{DEPLOYMENTS}/nothing"),
            f"{DEPLOYMENTS}/nothing",
        ],
        "a method that the path does not have": [
            *lab.proved("deploy-bot", "PUT", latest),
            *body,
            latest,
        ],
        "a scope is lacking": [
            *lab.proved("deploy-bot", "POST", PRODUCTION, scope="read:deployments"),
            *body,
            PRODUCTION,
        ],
        "the role may not": [*lab.proved("credential-broker", "GET", telemetry), telemetry],
        "the data is above the agent's ceiling": [
            *lab.proved("data-analyst", "GET", segments),
            segments,
        ],
        "nobody has approved": [*lab.proved("deploy-bot", "POST", PRODUCTION), *body, PRODUCTION],
    }


def test_curl_without_each_thing_is_told_what_the_document_says(lab: Range) -> None:
    expected = documented()
    assert len(expected) == 15
    answers = {wrong: lab.curl(*arguments) for wrong, arguments in calls(lab).items()}
    assert answers == {wrong: expected[wrong] for wrong in answers}
    assert len(answers) == 12


def test_a_deployment_waits_for_a_manager_and_goes_once(lab: Range) -> None:
    expected = documented()
    people: dict[str, Any] = json.loads(lab.ok("status", "--json"))["gateway"]["people"]
    ((person, key), *_) = people.items()
    name = person.rpartition("/")[2]
    text = '{"version": "7"}'
    asked = json.loads(
        lab.ok(
            *("approvals", "ask", "POST", PRODUCTION, "--body", text, "--json"),
            env=lab.shell("deploy-bot"),
        )
    )
    shell = lab.shell("deploy-bot")
    listed = lab.ok("approvals", "list", "--key", key, "--as", name, "--json", env=shell)
    assert asked["approval_id"] in listed
    lab.ok("approvals", "approve", asked["approval_id"], "--key", key, "--as", name, env=shell)
    approval = ["-H", f"approval-id: {asked['approval_id']}"]
    typed = ["-H", "Content-Type: application/json"]

    def deploy(body: str) -> tuple[int, str]:
        proof = lab.proved("deploy-bot", "POST", PRODUCTION)
        return lab.curl(*proof, *approval, *typed, "-d", body, PRODUCTION)

    other = expected["the approval is for another call"]
    assert deploy('{"version": "8"}') == other
    assert deploy(text) == (200, "")
    assert deploy(text) == expected["the approval was used"]


def test_an_agent_that_floods_is_told_to_wait(lab: Range) -> None:
    flood = """
import sys
import requests
from scenarios import oauth
client = oauth.Own.from_home().client()
token = client.client_credentials(resource=sys.argv[1])
for _ in range(400):
    answer = requests.get(sys.argv[1] + "/records/latest", auth=token, timeout=20)
    if answer.status_code != 200:
        break
print(answer.status_code, answer.headers["x-iamrange-reason"], answer.headers["retry-after"])
"""
    done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
        [sys.executable, "-c", flood, "https://telemetry.iamrange.example"],
        cwd=Path(__file__).parents[2],
        env=lab.shell("fleet-sensor"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    status, reason, wait = done.stdout.split()
    assert (int(status), reason) == documented()["too many calls"]
    assert 0 < int(wait) <= 10


def test_a_control_of_the_gateway_goes_off_and_on_while_it_runs(lab: Range) -> None:
    segments = "https://customers.iamrange.example/segments/all"

    def status() -> int:
        return lab.curl(*lab.proved("data-analyst", "GET", segments), segments)[0]

    assert status() == 403
    lab.ok("controls", "off", "access.classification")
    assert status() == 404  # let through: the service has nothing there
    lab.ok("controls", "on", "access.classification")
    assert status() == 403


def policy_status(lab: Range, *, code: int) -> dict[str, Any]:
    """Return what the range says of its policy, once it says so with this exit status."""
    end = time.monotonic() + 30
    while (done := lab.iamrange("policy", "status", "--json")).returncode != code:
        assert time.monotonic() < end, done.stdout + done.stderr
    status: dict[str, Any] = json.loads(done.stdout)
    return status


def policy_events(lab: Range, reason: str) -> list[dict[str, Any]]:
    """Return what the audit log has of changed policies."""
    asked = ("audit", "query", "api.service.name=gateway.policy", f"status_code={reason}", "--json")
    end = time.monotonic() + 30
    while not (found := lab.ok(*asked).splitlines()):
        assert time.monotonic() < end
    return [json.loads(line) for line in found]


def test_a_rule_that_is_changed_on_disk_counts_and_half_a_file_does_not(lab: Range) -> None:
    latest = "https://customers.iamrange.example/records/latest"

    def answer() -> tuple[int, str]:
        return lab.curl(*lab.proved("data-analyst", "GET", latest), latest)

    first = policy_status(lab, code=0)
    assert first["folder"] == str(lab.policy)
    assert answer() == (200, "")
    roles, tests = lab.policy / "roles.rego", lab.policy / "authorization_test.rego"
    whole = roles.read_text()

    roles.write_text(whole[: len(whole) // 2])
    refused = policy_status(lab, code=1)
    assert refused["digest"] == first["digest"]
    assert "roles.rego" in refused["refusal"]
    assert answer() == (200, "")
    (event,) = policy_events(lab, "policy-refused")
    assert event["unmapped"]["facts"]["policy"] == first["digest"]
    assert "roles.rego" in event["unmapped"]["details"]["policy"]

    public = '"action": "read", "up_to": "public"}'
    assert public in whole
    kept = tests.read_text()
    tests.write_text(
        "package ai.authorization_test\n\nimport data.ai.authorization\n\n"
        "test_nothing if not authorization.allow with input as {}\n"
    )
    roles.write_text(whole.replace(public, public.replace("read", "audit")))
    second = policy_status(lab, code=0)
    assert second["digest"] != first["digest"]
    assert answer() == (403, "role-may-not")
    events = lab.ok("audit", "query", f"unmapped.facts.policy={second['digest']}", "--json")
    points = [json.loads(line)["api"]["service"]["name"] for line in events.splitlines()]
    assert points[0] == "gateway.policy"

    roles.write_text(whole)
    tests.write_text(kept)
    end = time.monotonic() + 30
    while policy_status(lab, code=0)["digest"] != first["digest"]:
        assert time.monotonic() < end
    assert answer() == (200, "")


def test_the_gateway_is_explained_as_it_is_now(lab: Range) -> None:
    world = json.loads(lab.ok("status", "--json"))["world"]
    before = json.loads(lab.ok("gateway", "explain", "--json"))
    assert world in before["of"]
    assert before["unsafe"] == []
    lab.ok("controls", "off", "access.segmentation")
    try:
        assert json.loads(lab.ok("gateway", "explain", "--json"))["unsafe"] == [
            "unsafe_sidecars_accept_anyone"
        ]
        assert world in lab.ok("gateway", "validate")
    finally:
        lab.ok("controls", "on", "access.segmentation")


def found_events(lab: Range, *conditions: str) -> list[dict[str, Any]]:
    """Return the audit log's events that hold these, once there are any."""
    end = time.monotonic() + 30
    while not (lines := lab.ok("audit", "query", *conditions, "--json").splitlines()):
        assert time.monotonic() < end
    return [json.loads(line) for line in lines]


def test_the_audit_log_has_what_envoy_saw_beside_what_was_decided(lab: Range) -> None:
    latest = "https://customers.iamrange.example/records/latest"
    assert lab.curl(*lab.proved("data-analyst", "GET", latest), latest) == (200, "")
    calls = ("class_uid=4002", "http_response.code=200", "dst_endpoint.svc_name=edge")
    seen = found_events(lab, *calls, f"http_request.url.url_string={latest}")[-1]
    joined = found_events(lab, f"metadata.uid={seen['metadata']['uid']}")
    names = {one.get("dst_endpoint", {}).get("svc_name") for one in joined}
    names |= {one.get("api", {}).get("service", {}).get("name") for one in joined}
    assert {"edge", "sidecar:customers", "gateway.call"} <= names

    assert lab.curl(latest) == (401, "no-token")
    refused = found_events(lab, "class_uid=4002", "status_code=no-token")[-1]
    assert (refused["action_id"], refused["http_response"]["code"]) == (2, 401)


def test_a_handshake_that_a_sidecar_refused_is_in_the_audit_log(lab: Range) -> None:
    done = subprocess.run(
        ["curl", "-sSk", "https://hr.mesh.iamrange.example/records/latest"],  # noqa: S607
        env=lab.shell("deploy-bot"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    refused = found_events(lab, "class_uid=4001", "dst_endpoint.svc_name=sidecar:hr")[-1]
    assert (refused["status_code"], refused["action_id"]) == ("no-certificate", 2)
    assert "no-certificate" in lab.ok("audit", "query", "class_uid=4001")
    assert lab.iamrange("audit", "verify").returncode == 0
