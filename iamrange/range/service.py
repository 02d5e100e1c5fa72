"""The range left running: `iamrange up` starts this process, `iamrange down` ends it.

- It holds one hardened deployment and serves its providers, so that a shell's `pulumi`, boto3 and
  Google's clients work on it with what `iamrange env` prints.
- What others need to find it is one private file; a broken world is taken down whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.core.controls import UnknownNameError
from iamrange.core.scenario import Part
from iamrange.identity.agent import write_private
from iamrange.identity.names import TOKEN_ENDPOINT, service_resource
from iamrange.network.names import VAULT_HOST
from iamrange.range.behaviour_watch import BehaviourWatch, watched
from iamrange.range.central_log import CentralLog, collected
from iamrange.range.changes import FindingsTaken, OrdersTaken
from iamrange.range.deployment import Deployment, served
from iamrange.range.gateway import POLICY
from iamrange.range.landing import LandingError
from iamrange.range.processes import ProcessError
from iamrange.range.runner import RunOptions, workshop
from iamrange.range.running import (
    AlreadyRunningError,
    BrokenRangeError,
    NotRunningError,
    Running,
    note_broken,
    orders_socket,
    running,
    state_file,
    watch_file,
)
from iamrange.range.service_socket import orders_taken
from iamrange.range.services import APPROVALS, SERVICES
from iamrange.range.sweep import ProcessMark, worlds_folder
from iamrange.range.world_directory import FOLDER as DIRECTORY_FOLDER
from iamrange.range.world_directory import directory_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iamrange.core.result import ScenarioResult
    from iamrange.core.verdict import Trial
    from iamrange.engine.events import Step
    from iamrange.range.processes import Child

LOCK_FILE = "service.lock"
_LEFT_RUNNING: list[subprocess.Popen[str]] = []
"""Kept, because a Popen that is collected warns of a process that runs on; these are meant to."""
WATCH_SECONDS = 0.5
STOP_SECONDS = 30.0


class _EndedError(BaseException):
    """A signal asked for the end before the range was up."""


def start(options: RunOptions, hear: Callable[[str], None]) -> Running:
    """Start a range that stays when this process ends; `hear` gets its progress, line by line.

    Raises:
        AlreadyRunningError: one is running.
        LandingError: the stack's config cannot be used.
        ProcessError: it did not come up; the message is its own.
    """
    with contextlib.suppress(NotRunningError, BrokenRangeError):
        found = running()
        raise AlreadyRunningError(f"a range is running already: {found.state['world']}")
    log = worlds_folder().parent / "service.log"
    orders = {
        "project": str(options.project),
        "target": options.target,
        "policy": str((options.policy or POLICY).resolve()),
    }
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__, json.dumps(orders)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            text=True,
        )
    last: dict[str, Any] = {}
    with process.stdout or contextlib.nullcontext(()) as lines:
        try:
            for line in lines:
                message = json.loads(line)
                if message.get("ready"):
                    _LEFT_RUNNING.append(process)
                    return running()
                if "step" in message:
                    hear(message["step"])
                else:
                    last = message
        except BaseException:
            process.terminate()
            process.wait()
            raise
    process.wait()
    words = last.get("error") or log.read_text(errors="replace").strip().rpartition("\n")[2]
    if last.get("running"):
        raise AlreadyRunningError(words)
    if last.get("misuse"):
        raise LandingError(words)
    raise ProcessError(f"the range did not come up: {words or f'exit {process.returncode}'}")


def stop() -> str:
    """End the range left running; return its name.

    Raises:
        NotRunningError: there is none.
        BrokenRangeError: it broke before, and was taken down then.
        ProcessError: it does not end.
    """
    try:
        found = running()
    except BrokenRangeError:
        state_file().unlink(missing_ok=True)
        raise
    os.kill(found.mark.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while found.mark.alive:
        if time.monotonic() > deadline:
            raise ProcessError(f"the range's process ({found.mark.pid}) does not end")
        time.sleep(0.05)
    return str(found.state["world"])


class _Told:
    """Progress that goes to whoever started us, as JSON lines."""

    def tell(self, **message: object) -> None:
        """Tell something.

        Raises:
            ProcessError: whoever started us is gone, so nobody knows of this range.
        """
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            raise ProcessError("whoever started the range is gone") from error

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
    ending = _Ending()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ending)
    told, taken, findings = _Told(), OrdersTaken(), FindingsTaken()
    options = RunOptions(
        project=Path(orders["project"]), target=orders["target"], policy=Path(orders["policy"])
    )
    try:
        with (
            _only_one(),
            workshop(options, told) as tools,
            Deployment.create(tools, told.resource) as base,
            served(tools, base.landing, base.world, base.engine) as providers,
            collected(base.world, worlds_folder().parent, taken, findings) as log,
            watched(base, state=watch_file()) as watch,
            orders_taken(
                base.world,
                orders_socket(),
                taken,
                {"accept_behaviour": watch.accept, "note_findings": findings.note},
            ),
            _announced(base, log, base.engine.write_shell_commands(options.project)),
        ):
            ending.up = True
            told.tell(ready=True)
            _let_go_of_the_starter()
            _hold(ending.asked, base, (log, watch), providers)
    except _EndedError:
        return 3
    except Exception as error:  # noqa: BLE001 - whoever started us must be told, whatever it was
        words = str(error) or type(error).__name__
        with contextlib.suppress(ProcessError):
            told.tell(
                error=words,
                misuse=isinstance(error, (LandingError, UnknownNameError)),
                running=isinstance(error, AlreadyRunningError),
            )
        sys.stderr.write(f"{type(error).__name__}: {words}\n")
        return 3
    return 0


class _Ending:
    """Ends the range at the first signal: at once while it comes up, in order once it is up."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.up = False

    def __call__(self, _number: int, _frame: object) -> None:
        first = not self.asked.is_set()
        self.asked.set()
        if first and not self.up:
            raise _EndedError


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Hold the lock that each range left running holds; the kernel drops it with the process.

    Raises:
        AlreadyRunningError: another one holds it.
    """
    with (worlds_folder().parent / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError("a range is coming up or going down already") from None
        yield


def _hold(
    ended: threading.Event,
    base: Deployment,
    looking: tuple[CentralLog | BehaviourWatch, ...],
    providers: Child,
) -> None:
    """Wait for the end.

    Raises:
        ProcessError: a process of the range ended before.
    """
    while not ended.wait(WATCH_SECONDS):
        base.world.check()
        for one in looking:
            one.check()
        if not providers.running:
            raise ProcessError("the providers' process ended")


@contextlib.contextmanager
def _announced(base: Deployment, log: CentralLog, commands: Path) -> Iterator[None]:
    """Write the file by which this range is found; in the end remove it, or say what broke."""
    write_private(state_file(), json.dumps(_state(base, log, commands)))
    try:
        yield
    except Exception as error:
        note_broken(str(error))
        raise
    state_file().unlink(missing_ok=True)


def _state(base: Deployment, log: CentralLog, commands: Path) -> dict[str, Any]:
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
        "token_endpoint": TOKEN_ENDPOINT,
        "directory": {
            "url": service_resource("directory"),
            "database": directory_url(base.world.folder),
            "home": str(base.world.folder / DIRECTORY_FOLDER),
        },
        "gateway": {
            "services": {name: service.resource for name, service in SERVICES.items()},
            "approvals": APPROVALS.resource,
            "people": {person: str(key) for person, key in base.people.items()},
        },
        "behaviour": {"state": str(watch_file())},
        "audit": {"log": str(log.folder), "anchor": str(log.anchor)},
        # as `iamrange clouds` says it: an administrator for each account and project
        "aws": {
            "endpoint": base.world.aws_endpoint,
            "accounts": {account: dict(key) for account, key in base.world.aws_keys.items()},
        },
        "gcp": {
            "endpoint": base.world.gcp_endpoint,
            "projects": {
                project: {
                    "number": base.landing.project_number,
                    "access_token": base.world.gcp_tokens[project],
                }
                for project in (base.landing.project,)
            },
        },
        "vault": {
            "address": f"https://{VAULT_HOST}",
            "endpoint": base.world.vault_endpoint,
            "token": base.world.vault_token,
        },
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
