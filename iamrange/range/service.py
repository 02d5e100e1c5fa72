"""The range left running: `iamrange up` starts this process, `iamrange down` ends it.

- It holds one hardened deployment and serves its providers, so that a shell's `pulumi`, boto3 and
  Google's clients work on it with what `iamrange env` prints.
- What others need to find it is one private file; a broken world is taken down whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.core.controls import control_named
from iamrange.core.scenario import Part
from iamrange.engine.run import Engine, OperationResult
from iamrange.engine.workspace import Workspace
from iamrange.identity.agent import write_private
from iamrange.identity.agent_home import agent_environment
from iamrange.range.deployment import Deployment, served
from iamrange.range.processes import ProcessError
from iamrange.range.runner import RunOptions, workshop
from iamrange.range.sweep import ProcessMark, worlds_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iamrange.core.result import ScenarioResult
    from iamrange.core.verdict import Trial
    from iamrange.engine.events import Step
    from iamrange.range.processes import Child

STATE_FILE = "running.json"
WATCH_SECONDS = 0.5
STOP_SECONDS = 30.0


class NotRunningError(Exception):
    """No range is left running; the message says how to start one."""


class AlreadyRunningError(Exception):
    """A range is running already."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of the range left running."""

    state: Mapping[str, Any]
    mark: ProcessMark

    def environment(self, agent: str | None = None, network: str | None = None) -> dict[str, str]:
        """Return the variables for a shell that works as this agent, from this network.

        Raises:
            KeyError: no such agent or network; the error's argument lists those that there are.
        """
        homes: Mapping[str, str] = self.state["homes"]
        names: Mapping[str, str] = self.state["names"]
        networks: Mapping[str, Mapping[str, str]] = self.state["networks"]
        network = network or next(iter(networks))
        if network not in networks:
            raise KeyError("network", network, tuple(networks))
        part = next((p for p in homes if agent in (p, names[p])), None)
        if agent is None:
            part = Part.DATA_ANALYST.value
        if part is None:
            raise KeyError("agent", agent, tuple(names.values()))
        return {
            **networks[network],
            **agent_environment(Path(homes[part])),
            **self.state["engine"],
        }


def state_file() -> Path:
    """Return the file by which a running range is found."""
    return worlds_folder().parent / STATE_FILE


def running() -> Running:
    """Return the range left running.

    Raises:
        NotRunningError: there is none.
    """
    try:
        state = json.loads(state_file().read_text())
        mark = ProcessMark(**state["process"])
    except (OSError, ValueError, KeyError, TypeError):
        raise NotRunningError("no range is running; `iamrange up` starts one") from None
    if not mark.alive:
        state_file().unlink(missing_ok=True)
        raise NotRunningError("the range that was running has ended; `iamrange up` starts one")
    return Running(state, mark)


def start(options: RunOptions, hear: Callable[[str], None]) -> Running:
    """Start a range that stays when this process ends; `hear` gets its progress, line by line.

    Raises:
        AlreadyRunningError: one is running.
        ProcessError: it did not come up; the message is its own.
    """
    with contextlib.suppress(NotRunningError):
        found = running()
        raise AlreadyRunningError(f"a range is running already: {found.state['world']}")
    log = worlds_folder().parent / "service.log"
    orders = {"project": str(options.project), "target": options.target}
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__, json.dumps(orders)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            text=True,
        )
    last = ""
    try:
        for line in process.stdout or ():
            message = json.loads(line)
            if message.get("ready"):
                return running()
            last = message.get("error") or last
            if "step" in message:
                hear(message["step"])
    except BaseException:
        process.terminate()
        process.wait()
        raise
    process.wait()
    words = last or log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise ProcessError(f"the range did not come up: {words}")


def stop() -> str:
    """End the range left running; return its name.

    Raises:
        NotRunningError: there is none.
        ProcessError: it does not end.
    """
    found = running()
    os.kill(found.mark.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while found.mark.alive:
        if time.monotonic() > deadline:
            raise ProcessError(f"the range's process ({found.mark.pid}) does not end")
        time.sleep(0.05)
    return str(found.state["world"])


def switch(name: str, *, on: bool) -> OperationResult:
    """Switch a control on the running range by a real `pulumi up`, in its own copy of the config.

    Raises:
        UnknownNameError: there is no such control.
        NotRunningError: no range is running.
        EngineError: the engine failed.
    """
    control = control_named(name)
    state = running().state
    workspace = Workspace(Path(state["state_dir"]), state["project"], state["stack"])
    providers = {"PULUMI_DEBUG_PROVIDERS": state["engine"]["PULUMI_DEBUG_PROVIDERS"]}
    engine = Engine(Path(state["cli"]), workspace, providers)
    controls = dict(workspace.config().get("iamrange:controls") or {})
    controls.pop(control.id, None)
    if not on:
        controls[control.id] = False
    engine.set_config({"iamrange:controls": controls})
    return engine.up()


class _Told:
    """Progress that goes to whoever started us, as JSON lines, until they have heard enough."""

    def tell(self, **message: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def step(self, message: str) -> None:
        self.tell(step=message)

    def resource(self, step: Step) -> None:
        if step.done:
            self.tell(step=f"  {step.type} {step.name}")

    def attacked(self, trial: Trial) -> None:
        del trial

    def scenario(self, result: ScenarioResult) -> None:
        del result


def serve(orders: Mapping[str, str]) -> int:
    """Bring a range up, tell that it is, and hold it until ended or broken."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    told = _Told()
    options = RunOptions(project=Path(orders["project"]), target=orders["target"])
    try:
        with (
            workshop(options, told) as tools,
            Deployment.create(tools, told.resource) as base,
            served(tools, base.landing, base.world, base.engine) as providers,
            _announced(base, base.engine.write_shell_commands(options.project)),
        ):
            told.tell(ready=True)
            _let_go_of_the_starter()
            _hold(ended, base, providers)
    except Exception as error:  # noqa: BLE001 - whoever started us must be told, whatever it was
        told.tell(error=str(error) or type(error).__name__)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 3
    return 0


def _hold(ended: threading.Event, base: Deployment, providers: Child) -> None:
    """Wait for the end.

    Raises:
        ProcessError: a process of the range ended before.
    """
    while not ended.wait(WATCH_SECONDS):
        base.world.check()
        if not providers.running:
            raise ProcessError("the providers' process ended")


@contextlib.contextmanager
def _announced(base: Deployment, commands: Path) -> Iterator[None]:
    """Write the file by which this range is found, and remove it in the end."""
    path = state_file()
    write_private(path, json.dumps(_state(base, commands)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _state(base: Deployment, commands: Path) -> dict[str, Any]:
    description = base.world.describe()
    mark = ProcessMark.of("service", os.getpid())
    if mark is None:  # cannot be: we run
        raise ProcessError("the service's own process is not found")
    engine = base.engine
    return {
        "world": base.world.folder.name,
        "run_id": base.tools.run_id,
        "process": {"name": mark.name, "pid": mark.pid, "started": mark.started},
        "folder": str(base.world.folder),
        "ca_file": description["ca_file"],
        "issuer": description["issuer"],
        "aws": {"endpoint": base.world.aws_endpoint, "accounts": sorted(base.world.aws_keys)},
        "gcp": {"endpoint": base.world.gcp_endpoint, "projects": sorted(base.world.gcp_tokens)},
        "networks": {name: net["env"] for name, net in description["networks"].items()},
        "homes": {part.value: str(home) for part, home in base.homes.items()},
        "names": {part.value: base.stage.agents[part]["name"] for part in base.homes},
        "facts": {
            part.value: dict(base.stage.agents[part]) for part in Part if part in base.stage.agents
        },
        "stack": base.tools.stack,
        "project": engine.workspace.project,
        "state_dir": str(engine.workspace.state_dir),
        "cli": str(base.tools.cli),
        "engine": {
            **engine.shell_environment(),
            **engine.environment,
            # first this range's own `pulumi`, then the environment that has iamrange and the SDKs
            "PATH": os.pathsep.join(
                [str(commands), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
            ),
        },
    }


def _let_go_of_the_starter() -> None:
    """Close the pipe to whoever started us: they have gone on by now."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


if __name__ == "__main__":
    sys.exit(serve(json.loads(sys.argv[1])))
