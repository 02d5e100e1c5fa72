"""A real Pulumi engine on the embedded providers, on the range's own clouds."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import semver
import uvicorn
from pulumi import automation

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import Fetched, FetchError
from iamrange.core.clock import SystemClock
from iamrange.engine.server import AccessKey, AwsEndpoint, ProviderEndpoints, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pulumi.automation import EngineEvent

MANAGEMENT = "100000000001"
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
        work.mkdir()
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

    def run_program(self, program: Callable[[], None]) -> None:
        self.stack.workspace.program = program

    def _run(self, operation: Callable[..., Any], **options: Any) -> Run:
        run = Run()
        result = operation(color="never", on_output=run.output.append, on_event=run.note, **options)
        if isinstance(result, automation.UpResult):
            run.outputs = {key: value.value for key, value in result.outputs.items()}
        return run

    def up(self, **options: Any) -> Run:
        return self._run(self.stack.up, **options)

    def preview(self, **options: Any) -> Run:
        return self._run(self.stack.preview, **options)

    def refresh(self, **options: Any) -> Run:
        return self._run(self.stack.refresh, **options)

    def destroy(self, **options: Any) -> Run:
        return self._run(self.stack.destroy, **options)

    def state(self) -> dict[str, Any]:
        deployment = self.stack.export_stack().deployment
        assert deployment is not None
        return {item["urn"].rsplit("::", 1)[-1]: item for item in deployment["resources"]}


@dataclass(frozen=True)
class Store:
    """An AWS on loopback and its administrators."""

    url: str
    accounts: dict[str, AccessKey]

    def client(self, service: str, account: str = MANAGEMENT) -> Any:
        key = self.accounts[account]
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
        )


class Serving:
    """An ASGI application on a port of its own, in a thread."""

    def __init__(self, app: Any) -> None:
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


def _no_record(_record: Any) -> None:
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


@pytest.fixture
def engine(
    tmp_path: Path, aws_cloud: Store, request: pytest.FixtureRequest
) -> Callable[[Callable[[], None]], Engine]:
    def make(program: Callable[[], None]) -> Engine:
        endpoint = AwsEndpoint(aws_cloud.url, aws_cloud.accounts, management=MANAGEMENT)
        running = serve(ProviderEndpoints(aws=endpoint))
        request.addfinalizer(running.stop)
        made = Engine(tmp_path, running.debug_providers, program)
        made.configure(aws_region="us-east-1")
        return made

    return make
