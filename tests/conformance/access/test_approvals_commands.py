"""`iamrange approvals ...` on a service and on a database, with the real directory behind both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests
from typer.testing import CliRunner

from iamrange.access.approvals.api import ApprovalsApi
from iamrange.access.approvals.declared import describe
from iamrange.access.approvals.model import ApprovalFacts
from iamrange.access.approvals.service import Approvals, AskedCall
from iamrange.access.approvals.sql_store import SqlApprovalStore
from iamrange.access.approvals.views import Views
from iamrange.cli_approvals import app
from iamrange.core.clock import SystemClock
from iamrange.identity.directory import Agent, AgentKey, AgentSpec, Directory
from iamrange.identity.directory.model import Kind
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose.sign import SigningKey
from tests.conformance.access.approvals_lab import AGENT, MANAGER, public, reason
from tests.conformance.access.approvals_site import Host, believes, hosting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

TARGET = "https://hr.iamrange.example/records/7"
EMPTY = hashlib.sha256(b"").hexdigest()
PEOPLE = (
    ("maria", Kind.PERSON, "maria@example.com", {"manager"}),
    ("olga", Kind.PERSON, "olga@example.com", {"manager"}),
    ("payments-agent", Kind.AGENT, "olga@example.com", set[str]()),
)


@dataclass
class Range:
    """A directory, approvals and their site on one database, and the people's key files."""

    folder: Path
    url: str
    database: str
    directory: Directory
    approvals: Approvals

    def run(self, *words: str, here: bool = False) -> Result:
        where = ("--database", self.database) if here else ("--url", self.url)
        return CliRunner().invoke(app, [*words, *where])

    def signed(self, *words: str, by: str = "maria", here: bool = False) -> Result:
        who = ("--key", str(self.folder / f"{by}.jwk"), "--as", by)
        return self.run(*words, *who, here=here)

    def asked(self, target: str = TARGET) -> str:
        call = ("ask", "DELETE", target, "--agent", "payments-agent", "--json")
        answer = self.run(*call, here=True)
        assert answer.exit_code == 0, answer.output
        return str(json.loads(answer.stdout)["approval_id"])

    def present(self, approval_id: str) -> object:
        now = self.approvals.clock.now()
        return self.approvals.present(approval_id, AGENT, "DELETE", TARGET, EMPTY, now)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as running:
        yield running


@pytest.fixture
def world(host: Host, tmp_path: Path) -> Iterator[Range]:
    database = f"sqlite:///{tmp_path}/directory.db"
    directory = Directory.open(database, tmp_path)
    for name, kind, owner, roles in PEOPLE:
        key = SigningKey.generate()
        (tmp_path / f"{name}.jwk").write_text(json.dumps(key.private_jwk()))
        spec = AgentSpec(
            name=name,
            kind=kind,
            owner=owner,
            roles=frozenset(roles),
            keys=(AgentKey.from_jwk(public(key)),),
        )
        assert isinstance(directory.register(spec, actor="test", activate=True), Agent)
    store = SqlApprovalStore(database)
    approvals = Approvals(store, directory, describe)
    views = Views(store, directory, clock=SystemClock(), origin=host.url)
    host.app = ApprovalsApi(approvals, views, guard=believes, origin=host.url)
    yield Range(tmp_path, host.url, database, directory, approvals)
    store.close()
    directory.close()


HERE = pytest.mark.parametrize("here", [False, True], ids=["service", "database"])


@HERE
def test_a_request_is_listed_shown_approved_and_used(world: Range, here: bool) -> None:  # noqa: FBT001 - a table's
    approval_id = world.asked()
    listed = world.signed("list", "--json", here=here)
    assert listed.exit_code == 0, listed.output
    assert [each["id"] for each in json.loads(listed.stdout)["requests"]] == [approval_id]
    table = world.signed("list", here=here)
    assert approval_id in table.stdout
    assert "Deletion of data" in table.stdout
    shown = world.run("show", approval_id, here=here)
    assert "service: hr" in shown.stdout
    assert TARGET in shown.stdout
    approved = world.signed("approve", approval_id, "--json", here=here)
    assert approved.exit_code == 0, approved.output
    assert json.loads(approved.stdout)["state"] == "approved"
    assert "Deletion of data" in approved.stderr
    facts = world.present(approval_id)
    assert isinstance(facts, ApprovalFacts)
    assert facts.approver == MANAGER
    again = world.signed("approve", approval_id, here=here)
    assert (again.exit_code, "approval-decided" in again.stderr) == (1, True)
    assert world.approvals.consume(approval_id, world.approvals.clock.now())
    used = json.loads(world.run("show", approval_id, "--json", here=here).stdout)
    assert used["state"] == "used"


@HERE
def test_denied_is_denied(world: Range, here: bool) -> None:  # noqa: FBT001 - a table's
    approval_id = world.asked()
    denied = world.signed("deny", approval_id, here=here)
    assert (denied.exit_code, denied.stdout.strip()) == (0, f"{approval_id} is denied")
    assert reason(world.present(approval_id)) == "approval-denied"


@HERE
@pytest.mark.parametrize(
    ("by", "name", "expected"),
    [
        ("olga", "olga", "approval-by-owner"),
        ("payments-agent", AGENT, "approval-self"),
        ("olga", "maria", "approver-key-not-current"),
        ("maria", "nobody", "approver-unknown"),
    ],
)
def test_who_may_not_approve_is_refused_with_the_reason(
    world: Range,
    here: bool,  # noqa: FBT001 - a table's
    by: str,
    name: str,
    expected: str,
) -> None:
    approval_id = world.asked()
    who = ("--key", str(world.folder / f"{by}.jwk"), "--as", name)
    refused = world.run("approve", approval_id, *who, here=here)
    assert refused.exit_code == 1
    assert expected in refused.stderr
    assert reason(world.present(approval_id)) == "approval-pending"


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("retire", "approver-not-active"),
        ("quarantine", "approver-not-active"),
        ("rotate", "approver-key-not-current"),
        ("withdraw", "approver-key-not-current"),
        ("demote", "approver-not-manager"),
    ],
)
def test_what_the_directory_says_at_that_moment_counts(
    world: Range, act: str, expected: str
) -> None:
    approval_id = world.asked()
    world.signed("approve", approval_id)
    assert isinstance(world.present(approval_id), ApprovalFacts)
    directory, kid = world.directory, ""
    entry = directory.get(MANAGER)
    assert entry is not None
    kid = entry.keys[0].kid
    acts: dict[str, Any] = {
        "retire": lambda: directory.retire(MANAGER, actor="test"),
        "quarantine": lambda: directory.quarantine(MANAGER, actor="test"),
        "rotate": lambda: directory.rotate(
            MANAGER, public(SigningKey.generate()), overlap=3600, actor="test"
        ),
        "withdraw": lambda: directory.withdraw(MANAGER, kid, actor="test"),
        "demote": lambda: directory.update(MANAGER, roles=frozenset({"clerk"}), actor="test"),
    }
    assert isinstance(acts[act](), Agent)
    assert reason(world.present(approval_id)) == expected
    second = world.asked("https://hr.iamrange.example/records/8")
    refused = world.signed("approve", second)
    assert (refused.exit_code, expected in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("approve", "x"),
        ("approve", "x", "--key", "none.jwk", "--as", "maria"),
        ("deny", "x", "--as", "maria"),
        ("list", "--as", "maria"),
        ("list", "--database", "sqlite:///x.db"),
        ("ask", "DELETE", TARGET, "--body-file", "none.json"),
    ],
    ids=str,
)
def test_misuse_is_status_2(world: Range, words: tuple[str, ...]) -> None:
    assert world.run(*words).exit_code == 2


def test_a_list_nobody_signed_for_is_refused(world: Range) -> None:
    approval_id = world.asked()
    refused = world.run("list")
    assert refused.exit_code == 1
    assert approval_id not in refused.output


def test_without_options_the_running_range_is_worked_on(
    world: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Running:
        """A range whose state says where things are."""

        def __init__(self) -> None:
            self.state = {"directory": {"database": world.database, "home": str(world.folder)}}

        def environment(self) -> dict[str, str]:
            return {"HTTPS_PROXY": "http://127.0.0.1:1", "REQUESTS_CA_BUNDLE": "/none.pem"}

    approval_id = world.asked()
    monkeypatch.setattr("iamrange.range.running.running", Running)
    monkeypatch.setattr("iamrange.identity.names.service_resource", lambda _: world.url)
    run = CliRunner().invoke
    listed = json.loads(run(app, ["list", "--json"]).stdout)["requests"]
    assert [each["id"] for each in listed] == [approval_id]
    who = ["--key", str(world.folder / "maria.jwk"), "--as", "maria"]
    seen = json.loads(run(app, ["list", "--json", *who]).stdout)["requests"]
    assert seen == listed
    approved = run(app, ["approve", approval_id, *who])
    assert approved.exit_code == 0, approved.output
    assert isinstance(world.present(approval_id), ApprovalFacts)


@HERE
def test_an_unknown_id_is_refused(world: Range, here: bool) -> None:  # noqa: FBT001 - a table's
    for words in (("show", "../now"), ("show", "0" * 48)):
        refused = world.run(*words, here=here)
        assert refused.exit_code == 1
        assert "unknown" in refused.stderr or "not-found" in refused.stderr


def test_a_key_file_that_is_none_is_misuse(world: Range) -> None:
    approval_id = world.asked()
    for content in ("", "[]", "{}", '{"kty":"EC"}', '{"kty":"RSA","n":"AQAB","e":"AQAB"}'):
        (world.folder / "maria.jwk").write_text(content)
        assert world.signed("approve", approval_id).exit_code == 2


def test_a_service_that_is_away_broke_and_says_so(world: Range) -> None:
    approval_id = world.asked()
    world.directory.database.close()
    answer = CliRunner().invoke(app, ["show", approval_id, "--url", "http://127.0.0.1:1"])
    assert isinstance(answer.exception, requests.ConnectionError)
    (world.folder / "directory.db").rename(world.folder / "gone.db")
    refused = world.signed("approve", approval_id)
    # the store is made anew for a moment, empty; the directory's tables are not in it
    assert refused.exit_code == 1 or isinstance(refused.exception, StoreDownError)


def test_a_service_that_names_another_request_gets_no_signature(world: Range, host: Host) -> None:
    wanted = world.asked()
    other = world.asked("https://hr.iamrange.example/records/8")
    request = world.approvals.get(other)
    assert request is not None
    seen: list[str] = []

    class Lies:
        def __init__(self, honest: Any) -> None:  # noqa: ANN401 - an ASGI app
            self.honest = honest

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
            seen.append(scope["path"])
            changed = scope["path"].replace(wanted, other)
            if scope["method"] == "GET":
                scope = {**scope, "path": changed, "raw_path": changed.encode()}
            await self.honest(scope, receive, send)

    host.app = Lies(host.app)
    refused = world.signed("approve", wanted)
    assert (refused.exit_code, "another request" in refused.stderr) == (1, True)
    assert not any(path.endswith("/decision") for path in seen)


def test_hostile_text_reaches_the_terminal_written_out(world: Range) -> None:
    body = '{"note":"\\u001b[2J\\u202e[bold red]x[/]"}'
    call = AskedCall(
        method="POST",
        url="https://payments.iamrange.example/transfers",
        body=body.encode(),
        content_type="application/json",
    )
    asked = world.approvals.ask(AGENT, call)
    shown = world.run("show", getattr(asked, "id", ""))
    assert "\\u{1b}[2J\\u{202e}[bold red]x[/]" in shown.stdout
    assert "\x1b[2J" not in shown.stdout
