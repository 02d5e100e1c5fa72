"""A real Pulumi engine on the embedded providers, on the range's own clouds."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pulumi
import pytest
import requests
import semver
import uvicorn
from pulumi import automation

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import Fetched, FetchError
from iamrange.clouds.gcp.cloud import GcpCloud
from iamrange.core.clock import SystemClock
from iamrange.credentials.database.door import Database
from iamrange.credentials.database.holdings import DatabaseState
from iamrange.credentials.vault.app import Vault, VaultState
from iamrange.engine.endpoints import VaultEndpoint
from iamrange.engine.server import AccessKey, AwsEndpoint, GcpEndpoint, ProviderEndpoints, serve
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pulumi.automation import EngineEvent

# clients and their answers are whatever the cloud's own library makes of them
Answer = Any
MANAGEMENT = "100000000001"
PROJECT = "iamrange-agents"
MEMBERS = ("100000000002", "100000000003")
CLI = Path.home() / ".cache/iamrange/pulumi/3.274.1/pulumi"


@dataclass
class Run:
    """What one engine operation did, by the resources' Pulumi names."""

    operations: dict[str, str] = field(default_factory=dict)
    differences: dict[str, set[str]] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def note(self, event: EngineEvent) -> None:
        step = event.resource_pre_event or event.res_outputs_event
        if step is None:
            return
        data = step.metadata
        # a component and its parts share a name: told apart by type
        name = data.urn.rsplit("::", 1)[-1]
        if data.type.startswith(("pulumi:pulumi:", "pulumi:providers:")):
            return
        operation = data.op.value if hasattr(data.op, "value") else str(data.op)
        if operation != "refresh" or name not in self.operations:
            self.operations[name] = operation
        paths = set(data.detailed_diff or {}) | set(data.diffs or [])
        self.differences.setdefault(name, set()).update(
            path.split(".")[0].split("[")[0] for path in paths
        )

    @property
    def changed(self) -> dict[str, str]:
        quiet = ("same", "refresh", "read")
        return {name: op for name, op in self.operations.items() if op not in quiet}

    @property
    def text(self) -> str:
        return "".join(self.output)


class Engine:
    """One stack with an inline program."""

    def __init__(self, folder: Path, debug_providers: str, program: Callable[[], None]) -> None:
        command = automation.PulumiCommand(skip_version_check=True)
        # the engine was built from source and does not know its own version
        command.version = semver.VersionInfo.parse("3.274.1")
        work = folder / "work"
        work.mkdir(parents=True)
        (work / "Pulumi.yaml").write_text("name: range\nruntime: python\n")
        options = automation.LocalWorkspaceOptions(
            work_dir=str(work),
            pulumi_command=command,
            env_vars={
                "PULUMI_DEBUG_PROVIDERS": debug_providers,
                "PULUMI_BACKEND_URL": folder.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "range",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            },
        )
        self.folder = folder
        self.stack = automation.create_stack(
            "lab", project_name="range", program=program, opts=options
        )

    def configure(self, **values: str) -> None:
        for key, value in values.items():
            self.stack.set_config(key.replace("_", ":", 1), automation.ConfigValue(value))

    def attach(self, debug_providers: str) -> None:
        """Use other providers from here on."""
        old = self.stack.workspace.env_vars
        self.stack.workspace.env_vars = {**old, "PULUMI_DEBUG_PROVIDERS": debug_providers}

    def run_program(self, program: Callable[[], None]) -> None:
        self.stack.workspace.program = program

    def _run(self, operation: Callable[..., Any], **options: Answer) -> Run:
        run = Run()
        result = operation(color="never", on_output=run.output.append, on_event=run.note, **options)
        if isinstance(result, automation.UpResult):
            run.outputs = {key: value.value for key, value in result.outputs.items()}
        return run

    def up(self, **options: Answer) -> Run:
        return self._run(self.stack.up, **options)

    def preview(self, **options: Answer) -> Run:
        return self._run(self.stack.preview, **options)

    def refresh(self, **options: Answer) -> Run:
        return self._run(self.stack.refresh, **options)

    def destroy(self, **options: Answer) -> Run:
        return self._run(self.stack.destroy, **options)

    def state(self) -> dict[str, Any]:
        deployment = self.stack.export_stack().deployment
        assert deployment is not None
        return {item["urn"].rsplit("::", 1)[-1]: item for item in deployment.get("resources", [])}


@dataclass(frozen=True)
class Store:
    """An AWS on loopback and its administrators."""

    url: str
    accounts: dict[str, AccessKey]

    def client(self, service: str, account: str = MANAGEMENT) -> Answer:
        key = self.accounts[account]
        make: Answer = boto3.client  # the stubs know each service's name as a literal only
        return make(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
        )


class Serving:
    """An ASGI application on a port of its own, in a thread."""

    def __init__(self, app: Answer) -> None:
        config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


class Unreachable:
    """A network without issuers."""

    async def fetch(self, url: str) -> Fetched:
        raise FetchError(url)


@pytest.fixture(scope="session", autouse=True)
def _engine_on_path() -> Iterator[None]:
    if not CLI.is_file():
        pytest.skip(f"no Pulumi engine at {CLI}")
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", f"{CLI.parent}{os.pathsep}{os.environ['PATH']}")
    yield
    patch.undo()


def _no_record(_record: Answer) -> None:
    """Drop a decision record."""


@pytest.fixture
def aws_cloud() -> Iterator[Store]:
    cloud = AwsCloud(clock=SystemClock(), records=_no_record, fetcher=Unreachable())
    accounts = {}
    for account in (MANAGEMENT, *MEMBERS):
        key = cloud.create_account(account)
        accounts[account] = AccessKey(key.access_key_id, key.secret_access_key)
    cloud.create_organization(MANAGEMENT, MEMBERS)
    serving = Serving(cloud)
    yield Store(serving.url, accounts)
    serving.stop()


@dataclass(frozen=True)
class Google:
    """A Google Cloud on loopback and its administrators."""

    url: str
    tokens: dict[str, str]

    def call(self, method: str, path: str, body: Answer = None, **query: str) -> Answer:
        headers = {"authorization": f"Bearer {self.tokens[PROJECT]}"}
        answer = requests.request(
            method, self.url + path, json=body, params=query, headers=headers, timeout=10
        )
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture
def gcp_cloud() -> Iterator[Google]:
    cloud = GcpCloud(clock=SystemClock(), records=_no_record, fetcher=Unreachable())
    cloud.create_organization("123456789012")
    tokens = {
        project: cloud.create_project(project, number, organization="123456789012")
        for project, number in ((PROJECT, "340000000001"), ("iamrange-security", "340000000002"))
    }
    serving = Serving(cloud)
    yield Google(serving.url, tokens)
    serving.stop()


class Vaulted:
    """A real vault on loopback, in a thread, and its administrator; started when it is asked.

    So is the database that it makes logins of: there `agent-one` reads a schema.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="v-"))
        self._database_folder = Path(tempfile.mkdtemp(prefix="d-"))
        held = DatabaseState()
        held.plant("agent-one", "nonce")
        self._database = Database(
            held, self._database_folder, clock=SystemClock(), records=_no_record
        )
        state = VaultState()
        self.token = state.administrator
        self._vault = Vault(
            state,
            self._folder / "v",
            address="https://vault.iamrange.example",
            environment=lambda: {"NO_PROXY": "*", **self._database.environment},
            clock=SystemClock(),
            records=_no_record,
            databases=self._database,
        )
        self._edge = Edge([Route("*", self._vault)], ca=None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._database.start())
        self._run(self._vault.start())
        self._run(self._edge.start())
        self.url = f"http://127.0.0.1:{self._edge.port}"

    def _run(self, awaited: Answer) -> None:
        asyncio.run_coroutine_threadsafe(awaited, self._loop).result(60)

    def call(self, method: str, path: str, body: Answer = None) -> Answer:
        headers = {"X-Vault-Token": self.token}
        answer = requests.request(
            method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=60
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else {}

    def stop(self) -> None:
        self._run(self._edge.stop())
        self._run(self._vault.stop())
        self._run(self._database.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder)
        shutil.rmtree(self._database_folder)


@pytest.fixture
def vault_cloud() -> Iterator[Vaulted]:
    running = Vaulted()
    yield running
    running.stop()


@pytest.fixture
def engine(
    tmp_path: Path,
    aws_cloud: Store,
    gcp_cloud: Google,
    vault_cloud: Vaulted,
    request: pytest.FixtureRequest,
) -> Callable[[Callable[[], None]], Engine]:
    def make(program: Callable[[], None]) -> Engine:
        aws = AwsEndpoint(aws_cloud.url, aws_cloud.accounts, management=MANAGEMENT)
        gcp = GcpEndpoint(gcp_cloud.url, gcp_cloud.tokens)
        vault = VaultEndpoint(vault_cloud.url, vault_cloud.token)
        running = serve(ProviderEndpoints(aws=aws, gcp=gcp, vault=vault))
        request.addfinalizer(running.stop)
        # what the SDK drops when a program fails is complained of here, where it is ignored
        request.addfinalizer(gc.collect)
        made = Engine(tmp_path / uuid.uuid4().hex, running.debug_providers, program)
        made.configure(aws_region="us-east-1", gcp_project=PROJECT)
        return made

    return make


@dataclass(frozen=True)
class Drift:
    """One input of one resource: what was written, how it is read, how it is spoiled."""

    resource: str
    input: str
    written: Answer
    read: Callable[[Live], Answer]
    spoil: Callable[[Live], Answer]


@pytest.fixture
def drift() -> type[Drift]:
    return Drift


@dataclass(frozen=True)
class Live:
    """What an independent client sees: clients and the ids of what was made."""

    client: Answer
    ids: dict[str, str]


@pytest.fixture
def prove_drift() -> Callable[[Engine, list[Answer], list[Answer], Answer], None]:
    return _prove_drift


def _prove_drift(stack: Engine, drifts: list[Answer], types: list[Answer], client: Answer) -> None:
    """Show that every drifting input is written, that its drift shows, and that `up` repairs it."""
    stack.up()
    assert stack.preview().changed == {}
    quiet = stack.refresh()
    assert {name: quiet.differences[name] for name in quiet.changed} == {}

    state = stack.state()
    kinds = {name: item["type"] for name, item in state.items()}
    covered = {(kinds[drift.resource], drift.input) for drift in drifts}
    assert covered == {(kind.token, key) for kind in types for key in kind.drifting}
    live = Live(client, {name: item.get("id", "") for name, item in state.items()})
    written = {(d.resource, d.input): d.read(live) for d in drifts}
    assert written == {(d.resource, d.input): d.written for d in drifts}

    for drift in drifts:
        drift.spoil(live)
    assert [(d.resource, d.input) for d in drifts if d.read(live) == d.written] == []
    shown = stack.refresh().differences
    unseen = [d for d in drifts if d.input not in shown.get(d.resource, set())]
    assert [(d.resource, d.input) for d in unseen] == []

    stack.up()
    assert {(d.resource, d.input): d.read(live) for d in drifts} == written
    last = stack.refresh()
    assert {name: last.differences[name] for name in last.changed} == {}


@pytest.fixture
def prove_import_and_loss(
    engine: Callable[[Callable[[], None]], Engine],
) -> Callable[[Callable[[], None], set[str]], None]:
    def prove(program: Callable[[], None], stays: set[str]) -> None:
        """Show that a second stack can import it all, and that what it deletes is gone."""
        first = engine(program)
        first.up()
        made = {name: item for name, item in first.state().items() if item.get("id")}
        ids = {(item["type"], name): item["id"] for name, item in made.items()}

        def importing() -> None:
            def name_it(args: pulumi.ResourceTransformationArgs) -> Answer:
                key = (args.type_, args.name)
                options = pulumi.ResourceOptions(
                    import_=ids.get(key), retain_on_delete=args.name in stays
                )
                merged = pulumi.ResourceOptions.merge(args.opts, options)
                return pulumi.ResourceTransformationResult(args.props, merged)

            pulumi.runtime.register_stack_transformation(name_it)
            program()

        second = engine(importing)
        run = second.up()
        # settings, which no cloud stores, come from the program: an update that calls nothing
        assert set(run.changed.values()) <= {"import", "update"}, run.changed
        second.run_program(program)
        assert second.preview().changed == {}
        second.destroy()
        lost = {
            name for name, operation in first.refresh().changed.items() if operation == "delete"
        }
        names = {name for name, item in made.items() if not item["type"].startswith("pulumi:")}
        assert names - lost == stays

    return prove
