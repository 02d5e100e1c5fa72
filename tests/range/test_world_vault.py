"""A world's vault: reached by name, trusting the world's issuer, each fork's its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import hvac
import hvac.exceptions
import psutil
import pytest

from iamrange.identity.agent_home import VaultTarget, write_agent_home
from iamrange.jose import SigningKey
from iamrange.network.names import VAULT_HOST
from iamrange.range.config import AgentRegistration, WorldConfig
from iamrange.range.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDRESS = f"https://{VAULT_HOST}"
READ = 'path "agents/data/{}" {{ capabilities = ["read"] }}'


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def base(state: Path) -> Iterator[World]:
    del state
    with World.start(WorldConfig(run_id="test")) as world:
        admin = client(world, world.vault_token)
        admin.sys.enable_secrets_engine("kv", path="agents", options={"version": "2"})
        write(admin, "one", "of the base")
        admin.sys.enable_auth_method("jwt", path="jwt")
        issuer = "https://idp.iamrange.example"
        admin.auth.jwt.configure(oidc_discovery_url=issuer, bound_issuer=issuer, path="jwt")
        admin.sys.create_or_update_policy("one", READ.format("one"))
        admin.auth.jwt.create_role(
            "one",
            role_type="jwt",
            user_claim="sub",
            allowed_redirect_uris=[],
            bound_audiences=[ADDRESS],
            bound_subject="spiffe://iamrange.example/agent/one",
            token_policies=["one"],
            path="jwt",
        )
        yield world


def client(world: World, token: str = "") -> hvac.Client:
    """Return a client as it comes, on the world's network."""
    environment = world.environment()
    made = hvac.Client(
        url=environment["VAULT_ADDR"],
        token=token or "none",
        verify=environment["VAULT_CACERT"],
        proxies={"https": environment["HTTPS_PROXY"]},
    )
    made.session.trust_env = False
    return made


def write(admin: hvac.Client, path: str, value: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            admin.secrets.kv.v2.create_or_update_secret(
                path=path, secret={"value": value}, mount_point="agents"
            )
        except hvac.exceptions.InvalidRequest:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # the store is being made
        else:
            return


def read(reader: hvac.Client, path: str) -> str:
    answer: Any = reader.secrets.kv.v2.read_secret_version(
        path=path, mount_point="agents", raise_on_deleted_version=True
    )
    return str(answer["data"]["data"]["value"])


def servers(world: World) -> list[int]:
    children = psutil.Process(world.pid).children()
    return [child.pid for child in children if "server" in child.cmdline()]


def test_agent_reads_its_secret_with_a_token_of_the_worlds_issuer(
    base: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iamrange.identity.agent import AgentIdentity  # noqa: PLC0415 - reads the environment

    key = SigningKey.generate("ES256")
    home = write_agent_home(
        tmp_path / "one", name="one", key=key, vault=VaultTarget(audience=ADDRESS)
    )
    base.register_agent(
        AgentRegistration(name="one", public_jwk=key.public_jwk(), audiences=(ADDRESS,))
    )
    for name, value in base.environment().items():
        monkeypatch.setenv(name, value)
    token = AgentIdentity(home).token(ADDRESS)
    agent = client(base)
    agent.auth.jwt.jwt_login(role="one", jwt=token, path="jwt")
    assert read(agent, "one") == "of the base"
    with pytest.raises(hvac.exceptions.Forbidden):
        read(agent, "two")
    last = base.records_since()[0][-1]
    assert (last.point, last.reason) == ("vault.authorize", "no-policy-allows")
    assert last.principal == "spiffe://iamrange.example/agent/one"
    assert last.source_ip == "127.10.0.1"


def test_client_that_asks_for_a_list_by_the_vaults_own_method_has_it(base: World) -> None:
    admin = client(base, base.vault_token)
    for _ in range(2):  # on one connection
        listed: Any = admin.secrets.kv.v2.list_secrets(path="", mount_point="agents")
        assert listed["data"]["keys"] == ["one"]
        assert read(admin, "one") == "of the base"
    assert [r.action for r in base.records_since()[0][-2:]] == ["vault:LIST", "vault:GET"]


def test_fork_has_a_vault_of_its_own_with_what_the_base_was_told(base: World) -> None:
    lent = client(base, base.vault_token).auth.token.create(policies=["one"])
    with base.fork() as fork:
        assert servers(fork) == []
        admin = client(fork, fork.vault_token)
        assert read(admin, "one") == "of the base"
        assert len(servers(fork)) == 1
        write(admin, "one", "of the fork")
        assert read(admin, "one") == "of the fork"
        assert read(client(base, base.vault_token), "one") == "of the base"
        # what the base's vault gave out is nothing to the fork's
        with pytest.raises(hvac.exceptions.Forbidden):
            read(client(fork, lent["auth"]["client_token"]), "one")
        pids = servers(fork)
    assert not any(map(psutil.pid_exists, pids))


def test_vault_of_a_world_that_was_killed_ends_with_it(state: Path) -> None:
    del state
    world = World.start(WorldConfig(run_id="test"))
    try:
        client(world, world.vault_token).sys.read_health_status(method="GET")
        (pid,) = servers(world)
        psutil.Process(world.pid).kill()
        deadline = time.monotonic() + 10
        while psutil.pid_exists(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        world.stop()
