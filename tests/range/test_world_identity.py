"""A world's directory, token service and services, at their real names."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.control import Layer, SwitchedIn
from iamrange.core.controls import CONTROLS
from iamrange.core.decision import Outcome
from iamrange.identity.agent_home import OauthTarget, agent_environment, write_agent_home
from iamrange.identity.names import AUTH_ISSUER
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration, WorldConfig
from iamrange.range.lapses import LAPSES
from iamrange.range.world import CommandRefusedError, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUSTOMERS = "https://customers.iamrange.example"
DIRECTORY = "https://directory.iamrange.example"
READ = """
import json, sys
import requests
from scenarios import oauth
own = oauth.Own.from_home()
client = oauth.client_with_key(own.client_id, own.issuer, own.key(), dpop_bound_access_tokens=True)
answers = []
for method, url, body in json.loads(sys.argv[1]):
    resource = "/".join(url.split("/", 3)[:3])
    token = client.client_credentials(resource=resource)
    answer = requests.request(method, url, auth=token, json=body, timeout=20)
    answers.append([answer.status_code, answer.json()])
print(json.dumps(answers))
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with World.start(WorldConfig(run_id="identity")) as started:
        yield started


def enrolled(world: World, folder: Path, name: str, *scopes: str, **fields: Any) -> Path:  # noqa: ANN401 - AgentRegistration's
    key = SigningKey.generate("ES256")
    fields = {"roles": ("data-analyst",), "project": "analytics", **fields}
    world.register_agent(
        AgentRegistration(name=name, public_jwk=key.public_jwk(), scopes=scopes, **fields)
    )
    return write_agent_home(
        folder / name, name=name, key=key, oauth=OauthTarget(issuer=AUTH_ISSUER)
    )


def asked(world: World, home: Path, *requests: tuple[str, str, object]) -> list[Any]:
    done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
        [sys.executable, "-c", READ, json.dumps(requests)],
        env=world.environment() | agent_environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[Any] = json.loads(done.stdout)
    return answers


def test_agent_reads_its_services_record_with_a_bound_token(world: World, tmp_path: Path) -> None:
    world.control("plant", url=CUSTOMERS, value="nonce-1")
    home = enrolled(world, tmp_path, "reader", "read:customers")
    (answer,) = asked(world, home, ("GET", f"{CUSTOMERS}/records/latest", None))
    assert answer == [200, {"value": "nonce-1"}]
    records, _ = world.records_since()
    points = [record.point for record in records if record.outcome is Outcome.ALLOW]
    assert points == ["as.token", "rs.token", "gateway.call"]


def test_fork_has_a_directory_of_its_own(world: World, tmp_path: Path) -> None:
    world.control("plant", url=CUSTOMERS, value="nonce-2")
    home = enrolled(world, tmp_path, "reader", "read:customers")
    url = f"{CUSTOMERS}/records/latest"
    with world.fork() as fork:
        fork.change_agent("reader", "quarantine")
        late = enrolled(fork, tmp_path / "fork", "late", "read:customers")
        assert asked(fork, late, ("GET", url, None)) == [[200, {"value": "nonce-2"}]]
        with pytest.raises(AssertionError, match=r"InvalidClient|invalid_client"):
            asked(fork, home, ("GET", url, None))
    assert asked(world, home, ("GET", url, None)) == [[200, {"value": "nonce-2"}]]
    assert set(world.describe()["agents"]) == {"spiffe://iamrange.example/agent/reader"}


def test_forks_of_a_world_that_used_its_envoy_start_their_own(world: World, tmp_path: Path) -> None:
    home = enrolled(world, tmp_path, "reader", "read:customers")
    world.control("plant", url=CUSTOMERS, value="nonce-3")
    url = f"{CUSTOMERS}/records/latest"
    assert asked(world, home, ("GET", url, None))[0][0] == 200
    with world.fork() as fork:
        assert asked(fork, home, ("GET", url, None))[0][0] == 200
    assert asked(world, home, ("GET", url, None))[0][0] == 200


def test_directory_answers_those_who_look_after_agents_and_nobody_else(
    world: World, tmp_path: Path
) -> None:
    admin = enrolled(world, tmp_path, "admin", "read:directory", "write:directory")
    reader = enrolled(world, tmp_path, "reader", "read:customers", "read:directory")
    listed, quarantined = asked(
        world,
        admin,
        ("GET", f"{DIRECTORY}/agents", None),
        ("POST", f"{DIRECTORY}/agents/reader/release", {}),
    )
    assert listed[0] == 200
    assert {agent["name"] for agent in listed[1]["agents"]} == {"admin", "reader"}
    assert quarantined[0] == 200
    (refused,) = asked(world, reader, ("POST", f"{DIRECTORY}/agents/admin/retire", {}))
    assert (refused[0], refused[1]["error"]) == (403, "insufficient_scope")
    assert world.describe()["agents"]["spiffe://iamrange.example/agent/admin"] == "active"


def test_every_control_of_a_world_has_a_lapse_and_is_switched_there() -> None:
    # those of AWS are the broker's
    switched = {
        id_
        for id_, control in CONTROLS.items()
        if control.switched_in is SwitchedIn.WORLD and control.layer is not Layer.AWS
    }
    assert {control.id for control in LAPSES} == switched
    assert switched


def test_each_control_goes_off_and_on_in_a_running_world(world: World, tmp_path: Path) -> None:
    home = enrolled(world, tmp_path, "reader", "read:customers")
    url = f"{CUSTOMERS}/records/latest"
    world.control("plant", url=CUSTOMERS, value="nonce-4")
    for control in LAPSES:
        world.control("switch", off=[control.id])
        assert asked(world, home, ("GET", url, None)) == [[200, {"value": "nonce-4"}]], control.id
    world.control("switch", off=[])
    assert asked(world, home, ("GET", url, None)) == [[200, {"value": "nonce-4"}]]


def test_world_refuses_an_order_about_an_agent_that_is_not_there(world: World) -> None:
    with pytest.raises(CommandRefusedError, match="unknown-agent"):
        world.change_agent("nobody", "retire")
