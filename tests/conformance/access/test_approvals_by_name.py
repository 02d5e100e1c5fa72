"""The whole way at real names: a real token, TLS, the command line, Chromium through a proxy."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from iamrange.access.approvals.api import APPROVALS, SCOPE, ApprovalsApi
from iamrange.access.approvals.declared import describe
from iamrange.access.approvals.service import Approvals
from iamrange.access.approvals.views import Views
from iamrange.cli_approvals import app
from iamrange.core.clock import SystemClock
from iamrange.identity.names import AUTH_ISSUER
from iamrange.identity.nonces import NonceSource
from iamrange.identity.protected import TokenVerifier
from iamrange.identity.protected_http import request_guard
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.memory import MemoryReplay
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Route
from iamrange.network.proxy import Proxy
from tests.conformance.access.approvals_lab import MANAGER, Folk, sqlite
from tests.conformance.tokens.lab import ANALYST, WORKER, House, Party

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.identity.directory.model import Agent

TARGET = "https://hr.iamrange.example/records/7"


class Everybody:
    """The agents of the token service's lab, and people."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.folk = Folk()
        self.folk.add(MANAGER, owner="maria@example.com", roles=frozenset({"manager"}))

    def get(self, identifier: str, /) -> Agent | None:
        return self.house.agents.by_id(identifier) or self.folk.get(identifier)


@dataclass
class World:
    """What a shell has that evaluated `iamrange env`."""

    folder: Path
    house: House
    approvals: Approvals
    environment: dict[str, str]

    def home(self, party: Party) -> Path:
        """An agent's home, as far as it is needed."""
        folder = self.folder / party.id.rpartition("/")[2]
        folder.mkdir()
        (folder / "key.jwk").write_text(json.dumps(party.key.private_jwk()))
        settings = {"id": party.id, "oauth": {"issuer": AUTH_ISSUER}}
        (folder / "agent.json").write_text(json.dumps(settings))
        return folder

    def run(self, *words: str, status: int = 0) -> str:
        answer = CliRunner(env=self.environment).invoke(app, [*words, "--url", APPROVALS])
        assert answer.exit_code == status, (answer.output, answer.exception)
        return answer.stdout if status == 0 else answer.stderr


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    house = House(resources={APPROVALS: frozenset({SCOPE})})
    house.register(house.analyst, scopes={SCOPE})
    people = Everybody(house)
    store = sqlite(tmp_path)
    approvals = Approvals(store, people, describe)
    verifier = TokenVerifier(
        APPROVALS,
        keys=house.keys.key_set,
        replay=MemoryReplay(),
        revocation=DirectoryRevocation(house.agents, house.revocation, clock=house.clock),
        nonces=NonceSource(None, house.clock),
        clock=house.clock,
        records=house.records.append,
    )
    views = Views(store, people, clock=SystemClock(), origin=APPROVALS)
    api = ApprovalsApi(approvals, views, guard=request_guard(verifier))
    ca = CertificateAuthority.create("approvals")
    (tmp_path / "ca.pem").write_text(ca.pem)
    (tmp_path / "maria.jwk").write_text(json.dumps(people.folk.keys[MANAGER].private_jwk()))
    routes = [
        Route("auth.iamrange.example", house.service),
        Route("approvals.iamrange.example", api),
    ]
    edge = Edge(routes, ca=ca)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Proxy:
        await edge.start()
        proxy = Proxy("agents", targets={"*": ("127.0.0.1", edge.port)})
        await proxy.start()
        return proxy

    async def stop() -> None:
        await proxy.stop()
        await edge.stop()

    proxy = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    environment = {
        "HTTPS_PROXY": proxy.url,
        "https_proxy": proxy.url,
        "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
        "NO_PROXY": "",
        "no_proxy": "",
    }
    yield World(tmp_path, house, approvals, environment)
    asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()
    store.close()


def test_an_agent_asks_with_its_own_token_and_a_manager_approves(world: World) -> None:
    home = world.home(world.house.analyst)
    asked = json.loads(world.run("ask", "DELETE", TARGET, "--agent-home", str(home), "--json"))
    approval_id = asked["approval_id"]
    assert asked["review"] == f"{APPROVALS}/review/{approval_id}"
    who = ("--key", str(world.folder / "maria.jwk"), "--as", "maria")
    listed = json.loads(world.run("list", "--json", *who))["requests"]
    assert [(each["id"], each["agent"]) for each in listed] == [(approval_id, ANALYST)]
    approved = json.loads(world.run("approve", approval_id, *who, "--json"))
    assert approved["state"] == "approved"
    kept = world.approvals.get(approval_id)
    assert kept is not None
    assert kept.decision is not None
    assert kept.decision.approver == MANAGER


def test_an_agent_without_the_scope_asks_nobody(world: World) -> None:
    home = world.home(world.house.worker)
    refused = world.run("ask", "DELETE", TARGET, "--agent-home", str(home), status=1)
    assert "invalid_scope" in refused or "insufficient_scope" in refused
    assert WORKER not in refused
    assert world.approvals.pending() == ()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium")
def test_a_browser_at_the_real_name_approves_through_the_ranges_proxy(world: World) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    home = world.home(world.house.analyst)
    asked = json.loads(world.run("ask", "DELETE", TARGET, "--agent-home", str(home), "--json"))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"),
            proxy={"server": world.environment["HTTPS_PROXY"]},
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        # the range's authority is in no browser's store
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(asked["review"])
        page.get_by_label("Your name in the directory").fill("maria")
        page.get_by_label("Your key (a JWK file)").set_input_files(world.folder / "maria.jwk")
        page.get_by_role("button", name="Approve").click()
        page.get_by_text("Approved.", exact=True).wait_for()
        browser.close()
    kept = world.approvals.get(asked["approval_id"])
    assert kept is not None
    assert kept.state.value == "approved"
