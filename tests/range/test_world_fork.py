"""A fork is a world of its own: what happens in one is not seen in the other."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

from iamrange.core.decision import Effect, Outcome
from iamrange.identity.agent_home import AwsTarget, agent_environment, write_agent_home
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration, Project, WorldConfig
from iamrange.range.processes import Zygote
from iamrange.range.world import CommandRefusedError, World, WorldBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MANAGEMENT, WORKLOADS = "100000000001", "100000000002"
CONFIG = WorldConfig(
    run_id="test",
    aws_accounts=(MANAGEMENT, WORKLOADS),
    aws_organization=MANAGEMENT,
    aws_members=(WORKLOADS,),
    gcp_organization="123456789012",
    gcp_projects=(
        Project(id="iamrange-agents", number="340000000001", organization="123456789012"),
    ),
    rogues={"allow": "rogues:allow_everything", "deny-at": "rogues:DenyAt"},
)
ROGUES = """
from dataclasses import replace
from iamrange.core.decision import Effect

def allow_everything(point, layers):
    return tuple(replace(layer, effect=Effect.ALLOW) for layer in layers)

class DenyAt:
    def __init__(self, wanted): self.wanted = wanted
    def __call__(self, point, layers):
        effect = Effect.DENY if point == self.wanted else None
        return tuple(replace(layer, effect=effect or layer.effect) for layer in layers)
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    (folder / "rogues.py").write_text(ROGUES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def zygote(state: Path) -> Iterator[Zygote]:
    with Zygote(log=state / "zygote.log") as running:
        yield running


@pytest.fixture(scope="module")
def base(zygote: Zygote, state: Path) -> Iterator[World]:
    with World.start(CONFIG, zygote=zygote, path=[str(state)]) as world:
        yield world


@pytest.fixture
def fork(base: World) -> Iterator[World]:
    with base.fork() as world:
        yield world


def aws(world: World, service: str, account: str = WORKLOADS) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
    key = world.aws_keys[account]
    return boto3.client(  # type: ignore[call-overload]  # the service is a variable
        service,
        region_name="us-east-1",
        endpoint_url=world.aws_endpoint,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
    )


def secrets(world: World) -> set[str]:
    with_client = aws(world, "secretsmanager")
    try:
        return {secret["Name"] for secret in with_client.list_secrets()["SecretList"]}
    finally:
        with_client.close()


def create_secret(world: World, name: str) -> None:
    client = aws(world, "secretsmanager")
    client.create_secret(Name=name, SecretString="value")
    client.close()


def gcp(world: World, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(
        method,
        f"{world.gcp_endpoint}/v1/projects/iamrange-agents/{path}",
        json=body,
        headers={"Authorization": f"Bearer {world.gcp_tokens['iamrange-agents']}"},
        timeout=20,
    )


def gcp_secrets(world: World) -> set[str]:
    listed = gcp(world, "GET", "secrets").json().get("secrets", [])
    return {secret["name"].rpartition("/")[2] for secret in listed}


def create_gcp_secret(world: World, name: str) -> None:
    body: dict[str, Any] = {"replication": {"automatic": {}}}
    assert gcp(world, "POST", f"secrets?secretId={name}", body).status_code == 200


def test_fork_starts_with_what_the_base_held_and_changes_neither_way(base: World) -> None:
    create_secret(base, "before")
    create_gcp_secret(base, "before")
    with base.fork() as one, base.fork() as two:
        for world, name in ((base, "in-base"), (one, "in-one"), (two, "in-two")):
            create_secret(world, name)
            create_gcp_secret(world, name)
        for world, own in ((base, "in-base"), (one, "in-one"), (two, "in-two")):
            seen = secrets(world)
            assert seen >= {"before", own}
            assert len(seen & {"in-base", "in-one", "in-two"}) == 1
            assert gcp_secrets(world) == {"before", own}


def test_fork_of_a_fork_is_isolated_too(fork: World) -> None:
    create_secret(fork, "first")
    with fork.fork() as second:
        create_secret(second, "second")
        assert "first" in secrets(second)
        assert "second" not in secrets(fork)


def test_fork_has_an_authority_and_ports_of_its_own(base: World, fork: World) -> None:
    def ports(world: World) -> set[str]:
        description = world.describe()
        urls = [network["url"] for network in description["networks"].values()]
        return {*urls, description["aws"]["endpoint"], description["gcp"]["endpoint"]}

    assert not ports(base) & ports(fork)
    context = ssl.create_default_context(cafile=base.ca_file)
    own = ssl.create_default_context(cafile=fork.ca_file)
    assert context.get_ca_certs() != own.get_ca_certs()
    url = "https://idp.iamrange.example/.well-known/openid-configuration"
    proxies = {"https": fork.environment()["HTTPS_PROXY"]}
    assert requests.get(url, proxies=proxies, verify=fork.ca_file, timeout=20).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, proxies=proxies, verify=base.ca_file, timeout=20)


def test_fork_keeps_records_of_its_own(base: World, fork: World) -> None:
    _, offset = base.records_since()
    assert fork.records_since() == ([], 0)
    secrets(fork)
    assert base.records_since(offset) == ([], offset)
    records, end = fork.records_since()
    assert "aws.authorize" in {record.point for record in records}
    assert fork.records_since(end) == ([], end)


def test_fork_copies_the_clock_and_then_keeps_its_own(base: World) -> None:
    base.set_clock(3600)
    try:
        with base.fork() as fork:
            assert fork.describe()["clock_offset"] == 3600
            fork.set_clock(7200)
            assert base.describe()["clock_offset"] == 3600
            secrets(fork)
            (record, *_), _ = fork.records_since()
            assert abs(record.time - time.time() - 7200) < 60
    finally:
        base.set_clock(0)


def test_fork_copies_the_issuer_and_the_directory_and_then_keeps_its_own(
    base: World, fork: World
) -> None:
    key = SigningKey.generate("ES256")
    fork.register_agent(AgentRegistration(name="only-here", public_jwk=key.public_jwk()))
    assert "spiffe://iamrange.example/agent/only-here" not in base.describe()["agents"]
    assert base.describe()["issuer_keys"] == fork.describe()["issuer_keys"]
    fork.control("rotate_keys")
    assert len(fork.describe()["issuer_keys"]) == 2
    assert len(base.describe()["issuer_keys"]) == 1


def test_base_goes_on_serving_an_open_connection_across_a_fork(base: World) -> None:
    url = f"{base.aws_endpoint}/"
    with requests.Session() as session:
        assert session.get(url, timeout=20).status_code == 403
        with base.fork() as fork:
            assert session.get(url, timeout=20).status_code == 403
            assert requests.get(f"{fork.aws_endpoint}/", timeout=20).status_code == 403
        assert session.get(url, timeout=20).status_code == 403


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {
                "Federated": f"arn:aws:iam::{WORKLOADS}:oidc-provider/idp.iamrange.example"
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    "idp.iamrange.example:aud": "sts.amazonaws.com",
                    "idp.iamrange.example:sub": "spiffe://iamrange.example/agent/data-analyst",
                }
            },
        }
    ],
}
ROLE = f"arn:aws:iam::{WORKLOADS}:role/agents/data-analyst"
WHO = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


def federate(world: World, home: Path, name: str) -> Mapping[str, str]:
    key = SigningKey.generate("ES256")
    world.register_agent(
        AgentRegistration(name=name, public_jwk=key.public_jwk(), aws_role_arn=ROLE)
    )
    write_agent_home(home, name=name, key=key, aws=AwsTarget(role_arn=ROLE, session_name=name))
    return agent_environment(home)


def run(script: str, world: World, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our interpreter, this file's source
        [sys.executable, "-c", script],
        env={**world.environment(), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_agent_federates_in_the_fork_through_the_forks_own_issuer(
    fork: World, tmp_path: Path
) -> None:
    iam = aws(fork, "iam")
    iam.create_open_id_connect_provider(
        Url="https://idp.iamrange.example", ClientIDList=["sts.amazonaws.com"]
    )
    iam.create_role(
        RoleName="data-analyst", Path="/agents/", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    iam.close()
    done = run(WHO, fork, federate(fork, tmp_path / "home", "data-analyst"))
    session = f"arn:aws:sts::{WORKLOADS}:assumed-role/data-analyst/data-analyst-test"
    assert done.stdout.strip() == session, done.stderr
    neighbour = run(WHO, fork, federate(fork, tmp_path / "other", "hr-assistant"))
    assert "AccessDenied" in neighbour.stderr
    points = [(record.point, record.outcome) for record in fork.records_since()[0]]
    assert ("aws.web-identity", Outcome.ALLOW) in points
    assert ("broker.aws-session", Outcome.ALLOW) in points


def test_rogue_is_switched_on_in_one_world_only(base: World) -> None:
    anonymous = f"{base.aws_endpoint}/?Action=ListUsers&Version=2010-05-08"
    with base.fork(rogue="deny-at", rogue_arguments={"wanted": "aws.authorize"}) as rogue:
        client = aws(rogue, "secretsmanager")
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.list_secrets()
        client.close()
        secrets(base)
        rogue.set_rogue(None)
        secrets(rogue)
    assert requests.get(anonymous, timeout=20).status_code == 403


def test_unknown_rogue_is_refused_with_the_declared_names(base: World) -> None:
    with pytest.raises(
        CommandRefusedError, match=r"declared are \['allow', 'deny-at'\]"
    ) as refused:
        base.set_rogue("nobody")
    assert "nobody" in str(refused.value)
    base.check()


def test_fork_with_an_unknown_rogue_breaks_alone_and_names_its_log(base: World) -> None:
    with pytest.raises(CommandRefusedError, match="the new world broke"):
        base.fork(rogue="nobody")
    secrets(base)


def test_unknown_command_is_refused_with_the_known_ones(base: World) -> None:
    with pytest.raises(CommandRefusedError, match=r"describe, .*fork, "):
        base.control("nonsense")


def test_world_that_cannot_start_says_why_and_leaves_nothing(zygote: Zygote, state: Path) -> None:
    config = replace(CONFIG, networks={"corporate": "192.0.2.1"})
    with pytest.raises(WorldBrokenError, match=r"did not start.*last words.*192.0.2.1"):
        World.start(config, zygote=zygote, name="nowhere")
    assert not list((state / "iamrange" / "worlds").glob("nowhere-*"))


def test_layer_answers_come_back_from_the_file_as_they_were(fork: World) -> None:
    requests.get(f"{fork.aws_endpoint}/?Action=ListUsers&Version=2010-05-08", timeout=20)
    (record, *_), _ = fork.records_since()
    assert record.outcome is Outcome.DENY
    assert any(layer.effect is not Effect.ALLOW for layer in record.layers)
