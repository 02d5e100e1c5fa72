"""The range left running: what a person's shell can do on it, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil
import pytest
import yaml

from iamrange.core.controls import UnknownNameError
from iamrange.core.scenario import Part
from iamrange.range.landing import LandingError
from iamrange.range.runner import RunOptions
from iamrange.range.running import AlreadyRunningError, running
from iamrange.range.service import start
from iamrange.range.sweep import worlds_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
"""Seconds until a test gives up; nothing is measured with it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project, program and all, which a test may change."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Pulumi.yaml", "Pulumi.lab.yaml"):
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def service(state_home: Path, project: Path, iamrange: CommandLine) -> Iterator[Mapping[str, Any]]:
    """Return what is known of a range that was started and stays."""
    assert state_home.is_dir()
    told: list[str] = []
    found = start(RunOptions(project=project), told.append)
    assert any("aws:iam/role:Role" in line for line in told)
    yield found.state
    iamrange("down")


class Shell:
    """A person's shell after `eval "$(iamrange env ...)"`, with nothing else of the range's."""

    def __init__(self, iamrange: CommandLine, folder: Path, *options: str) -> None:
        answer = iamrange("env", *options)
        assert answer.status == 0, answer.err
        self.exports = answer.out
        self.folder = folder

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(  # noqa: S603 - a shell, as a person has one
            ["/bin/sh", "-c", f'{self.exports}\nexec "$@"', "sh", *command],
            cwd=self.folder,
            env=plain,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


SCRIPT = """
import sys
import boto3
from botocore.exceptions import ClientError
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import secretmanager

aws_secrets, gcp_secrets = (list(filter(None, names.split(","))) for names in sys.argv[1:])
client = boto3.client("secretsmanager")
for secret in aws_secrets:
    try:
        value = client.get_secret_value(SecretId=secret)["SecretString"]
        print(value.startswith("canary-"))
    except ClientError as error:
        print(error.response["Error"]["Code"])
client = secretmanager.SecretManagerServiceClient(transport="rest")
for secret in gcp_secrets:
    try:
        value = client.access_secret_version(name=secret + "/versions/latest", retry=None)
        print(value.payload.data.decode().startswith("canary-"))
    except GoogleAPICallError as error:
        print(type(error).__name__)
"""
# restricted data has a policy of its own besides: this neighbour's is none
OWN, NEIGHBOUR = Part.HR_ASSISTANT, Part.DATA_ANALYST


def read_secrets(
    service: Mapping[str, Any], shell: Shell, clouds: tuple[str, ...] = ("aws", "gcp")
) -> list[str]:
    """Have a plain script read the agent's own secret and its neighbour's, in these clouds."""
    facts = service["facts"]
    lists = [
        ",".join(facts[part][fact] for part in (OWN, NEIGHBOUR) if cloud in clouds)
        for cloud, fact in (("aws", "aws_secret_arn"), ("gcp", "gcp_secret"))
    ]
    answer = shell("python", "-c", SCRIPT, *lists)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


REFUSED = ["True", "AccessDeniedException", "True", "Forbidden"]


def test_status_has_the_shape_that_stays_put(
    service: Mapping[str, Any], iamrange: CommandLine
) -> None:
    answer = iamrange("status", "--json")
    assert answer.status == 0
    status = json.loads(answer.out)
    assert list(status) == [
        "world",
        "ca_file",
        "env",
        "issuer",
        "token_endpoint",
        "directory",
        "gateway",
        "aws",
        "gcp",
        "vault",
        "audit",
    ]
    assert set(status["audit"]) == {"log", "anchor"}
    assert status["token_endpoint"] == "https://auth.iamrange.example/oauth/token"
    assert status["directory"]
    assert set(status["gateway"]["people"])
    assert status["vault"]["address"] == "https://vault.iamrange.example"
    assert set(status["vault"]) == {"address", "endpoint", "token"}
    assert status["env"]["VAULT_ADDR"] == status["vault"]["address"]
    assert status["env"]["VAULT_CACERT"] == status["ca_file"]
    assert status["world"] == service["world"]
    assert status["issuer"] == "https://idp.iamrange.example"
    assert "BEGIN CERTIFICATE" in Path(status["ca_file"]).read_text()
    accounts = status["aws"]["accounts"]
    ours, vendors = ["100000000001", "100000000002", "100000000003"], ["900000000009"]
    assert sorted(accounts) == [*ours, *vendors]
    assert all(set(key) == {"access_key_id", "secret_access_key"} for key in accounts.values())
    project = status["gcp"]["projects"]["iamrange-agents"]
    assert set(project) == {"number", "access_token"}
    for cloud in ("aws", "gcp", "vault"):
        assert status[cloud]["endpoint"].startswith("http://127.0.0.1:")
    exported = json.loads(iamrange("env", "--json").out)
    assert status["env"] == exported
    assert {"HTTPS_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"} <= set(exported)


def test_status_reads_well_for_people(service: Mapping[str, Any], iamrange: CommandLine) -> None:
    answer = iamrange("status")
    assert answer.status == 0
    assert service["world"] in answer.out
    assert "hr-assistant" in answer.out


def test_a_second_up_is_misuse(
    service: Mapping[str, Any], project: Path, iamrange: CommandLine
) -> None:
    with pytest.raises(AlreadyRunningError, match=service["world"]):
        start(RunOptions(project=project), lambda _line: None)
    answer = iamrange("up")
    assert answer.status == 2
    assert f"a range is running already: {service['world']}" in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--agent", "hr-asistant"), "unknown agent 'hr-asistant'; nearest: hr-assistant"),
        (("--network", "corprate"), "unknown network 'corprate'; nearest: corporate"),
    ],
)
def test_an_unknown_agent_or_network_is_misuse_with_the_nearest_names(
    service: Mapping[str, Any], iamrange: CommandLine, options: tuple[str, ...], said: str
) -> None:
    assert service
    answer = iamrange("env", *options)
    assert answer.status == 2
    assert said in answer.err
    assert answer.out == ""


def test_an_agent_is_found_by_its_name_before_its_part(service: Mapping[str, Any]) -> None:
    found = running()
    swapped = {**service["names"], OWN: NEIGHBOUR, NEIGHBOUR: OWN}
    renamed = type(found)({**found.state, "names": swapped}, found.mark)
    assert renamed.environment(OWN) == found.environment(NEIGHBOUR)
    with pytest.raises(UnknownNameError):
        renamed.environment("nobody")


def test_a_plain_script_may_what_the_agent_may_and_is_refused_the_rest(
    service: Mapping[str, Any], iamrange: CommandLine, tmp_path: Path
) -> None:
    shell = Shell(iamrange, tmp_path, "--agent", OWN)
    assert "endpoint" not in shell.exports.lower()
    assert read_secrets(service, shell) == REFUSED


def test_a_plain_script_outside_the_perimeter_is_refused_its_own(
    service: Mapping[str, Any], iamrange: CommandLine, tmp_path: Path
) -> None:
    shell = Shell(iamrange, tmp_path, "--agent", OWN, "--network", "outside")
    # Google lets it, and whoever watches the agents then cuts this one off: see test_behaviour
    assert read_secrets(service, shell, ("aws",)) == ["AccessDeniedException"] * 2


def test_a_control_switched_off_and_on_opens_and_closes_the_way(
    service: Mapping[str, Any], iamrange: CommandLine, tmp_path: Path
) -> None:
    shell = Shell(iamrange, tmp_path, "--agent", OWN)
    off = iamrange("controls", "off", "aws.least-privilege")
    assert off.status == 0, off.err
    assert "update aws:iam/rolePolicy:RolePolicy" in off.out
    assert read_secrets(service, shell) == ["True", "True", "True", "Forbidden"]
    on = iamrange("controls", "on", "aws.least-privilege")
    assert on.status == 0, on.err
    assert read_secrets(service, shell) == REFUSED


def test_a_shells_pulumi_shows_no_change_then_takes_a_change_of_the_program_up(
    service: Mapping[str, Any], project: Path, iamrange: CommandLine
) -> None:
    assert service
    before = (project / "Pulumi.lab.yaml").read_text()
    shell = Shell(iamrange, project)
    same = shell("pulumi", "preview", "--expect-no-changes")
    assert same.returncode == 0, same.stdout + same.stderr
    source = project / "infra" / "aws" / "agent_principal.py"
    text = source.read_text()
    changed = text.replace('f"Credentials of {agent.part}"', 'f"Secrets of {agent.part}"')
    assert changed != text
    source.write_text(changed)
    up = shell("pulumi", "up", "--yes", "--skip-preview")
    assert up.returncode == 0, up.stdout + up.stderr
    assert f"{len(Part)} updated" in up.stdout
    assert shell("pulumi", "preview", "--expect-no-changes").returncode == 0
    drifted = shell("pulumi", "refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert drifted.returncode == 0, drifted.stdout + drifted.stderr
    assert (project / "Pulumi.lab.yaml").read_text() == before


def until(found: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(0.05)


def processes_of(state: Mapping[str, Any]) -> list[psutil.Process]:
    service = psutil.Process(state["process"]["pid"])
    return [service, *service.children(recursive=True)]


def pid_of(state: Mapping[str, Any], name: str) -> int:
    """Return a process of the world, as the register has it."""
    entry = json.loads((Path(state["folder"]) / "world.json").read_text())
    (pid,) = [one["pid"] for one in entry["processes"] if one["name"] == name]
    return int(pid)


def test_a_range_whose_world_is_killed_goes_whole_and_status_says_so(
    service: Mapping[str, Any], iamrange: CommandLine
) -> None:
    processes = processes_of(service)
    assert len(processes) >= 4
    os.kill(pid_of(service, "world world"), signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert alive == []
    assert list(worlds_folder().glob("*-*")) == []
    for _ in range(2):
        answer = iamrange("status")
        assert answer.status == 3
        assert "the range that was running broke: world 'world': its process (" in answer.err
    assert iamrange("down").status == 3
    after = iamrange("status")
    assert after.status == 2
    assert "no range is running; `iamrange up` starts one" in after.err


def test_down_leaves_nothing_and_a_second_down_is_misuse(iamrange: CommandLine) -> None:
    up = iamrange("up")
    assert up.status == 0, up.err
    state = running().state
    processes = processes_of(state)
    down = iamrange("down")
    assert down.status == 0
    assert down.out.strip() == f"the range is down: {state['world']}"
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert alive == []
    assert list(worlds_folder().glob("*-*")) == []
    again = iamrange("down")
    assert again.status == 2
    assert "no range is running" in again.err


def test_a_killed_service_takes_all_along_and_status_says_so(
    state_home: Path, iamrange: CommandLine
) -> None:
    assert state_home.is_dir()
    state = start(RunOptions(), lambda _line: None).state
    processes = processes_of(state)
    os.kill(state["process"]["pid"], signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert alive == []
    answer = iamrange("status")
    assert answer.status == 3
    assert f"service: its process ({state['process']['pid']}) ended" in answer.err
    assert list(worlds_folder().glob("*-*")) == []
    assert iamrange("down").status == 3


def test_a_starter_that_is_interrupted_leaves_nothing(
    state_home: Path, iamrange: CommandLine
) -> None:
    assert state_home.is_dir()

    class StopError(Exception):
        """What a Ctrl-C while the range comes up amounts to."""

    others = set(psutil.Process().children(recursive=True))  # of other tests' fixtures
    seen: list[psutil.Process] = []

    def hear(line: str) -> None:
        if "aws:" in line:
            seen.extend(set(psutil.Process().children(recursive=True)) - others)
            raise StopError

    with pytest.raises(StopError):
        start(RunOptions(), hear)
    assert seen
    _, alive = psutil.wait_procs(seen, timeout=PATIENCE)
    assert alive == []
    assert list(worlds_folder().glob("*-*")) == []
    assert iamrange("status").status == 2


def test_a_config_that_cannot_be_used_is_misuse_for_up_too(
    state_home: Path, project: Path, iamrange: CommandLine
) -> None:
    assert state_home.is_dir()
    path = project / "Pulumi.lab.yaml"
    document = yaml.safe_load(path.read_text())
    document["config"]["iamrange:controls"] = {"aws.least-privilege": "no"}
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(LandingError, match=r"aws\.least-privilege expected true or false"):
        start(RunOptions(project=project), lambda _line: None)
    assert iamrange("status").status == 2
