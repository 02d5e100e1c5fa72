"""Run the Pulumi CLI on one stack of one world, and read what it did.

- Every operation is the real engine: `pulumi up`, `preview`, `refresh`, `import`, `destroy`.
- An operation that fails raises an `OperationError` that names the step and carries the engine's
  own diagnostics; one that ends well returns a typed `OperationResult`.
- Nothing of the caller's own Pulumi login, home or switches reaches the engine.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from iamrange.engine.errors import (
    EngineError,
    EngineKilledError,
    OperationError,
    OperationInterruptedError,
)
from iamrange.engine.events import Diagnostic, EventLog, Progress, Step, plain
from iamrange.engine.language_server import LOOPBACK, NO_PROXY_VARIABLE
from iamrange.engine.launcher import write_world_pulumi
from iamrange.engine.process import CommandRun, Ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.engine.workspace import Workspace

TIMEOUT_SECONDS = 900.0
_ASK_AGAIN_SECONDS = 1.0
_STATE_LOST = "failed to save snapshot"
"""What the engine says when it cannot write its state: the disk is full, most likely."""

# engine.md (g): no look-up outside, no download, no question.
SWITCHES: Mapping[str, str] = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PULUMI_ERROR_OUTPUT_STRING": "true",
    "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
    "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
    "PULUMI_SUPPRESS_NEO_LINK": "true",
    # A world is to stay small: the engine's heap is, and is collected early to keep it so.
    "GOGC": "50",
    NO_PROXY_VARIABLE: LOOPBACK,
}

# engine.md (i): for worlds that are dropped whole, state and store together. A crash of the engine
# would leave no record of what it did; nobody would read it.
THROWAWAY: Mapping[str, str] = {
    "GOGC": "400",
    "PULUMI_EXPERIMENTAL": "true",
    "PULUMI_SKIP_CHECKPOINTS": "true",
}


# A refresh that finds drift reports the step as the update or delete that it amounts to.
_UNCHANGING = frozenset({"same", "read", "refresh"})


class ProgramHosts(Protocol):
    """Gives a fresh language server for one run of the program."""

    @contextmanager
    def server(self) -> Iterator[str]:
        """Yield the address of a server that lives as long as the block."""
        ...


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What an operation that ended well did."""

    operation: str
    changes: Mapping[str, int]
    steps: tuple[Step, ...]
    diagnostics: tuple[Diagnostic, ...]
    outputs: Mapping[str, object] = field(repr=False)
    seconds: float

    @property
    def changed(self) -> tuple[Step, ...]:
        """The steps that changed something, or would."""
        return tuple(step for step in self.steps if step.operation not in _UNCHANGING)


class Engine:
    """The Pulumi CLI on one stack."""

    def __init__(
        self,
        cli: Path,
        workspace: Workspace,
        environment: Mapping[str, str] | None = None,
        *,
        program: ProgramHosts | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Name the CLI, the stack's folder, and what the providers and the program are told.

        `environment` holds PULUMI_DEBUG_PROVIDERS and the like. Without a `program` host the CLI
        starts the language host that lies next to it.
        """
        self.cli = cli
        self.workspace = workspace
        self.environment = dict(environment or {})
        self._program = program
        self._timeout = timeout
        self._running: CommandRun | None = None

    def child_environment(self) -> dict[str, str]:
        """Return the whole environment that the CLI runs in."""
        inherited = {key: val for key, val in os.environ.items() if not key.startswith("PULUMI_")}
        return {**inherited, **self.shell_environment(), **self.environment}

    def shell_environment(self) -> dict[str, str]:
        """Return the variables that make a shell's `pulumi` work on this stack."""
        return {
            **SWITCHES,
            "PULUMI_BACKEND_URL": self.workspace.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.workspace.passphrase_file),
            "PULUMI_HOME": str(self.workspace.home),
            "IAMRANGE_PYTHON": sys.executable,
            "PULUMI_PYTHON_CMD": sys.executable,
        }

    def interrupt(self) -> None:
        """Cancel the operation that runs, from another thread or a signal handler."""
        if self._running is not None:
            self._running.interrupt()

    def init(self) -> None:
        """Create the stack in the backend, unless it is there."""
        if not self.workspace.state_file.exists():
            self._text("stack", "init", self.workspace.stack, "--secrets-provider", "passphrase")

    def up(
        self,
        *,
        refresh: bool = False,
        targets: tuple[str, ...] = (),
        progress: Progress | None = None,
    ) -> OperationResult:
        """Make the world as the program declares it."""
        flags = ["--skip-preview", *(f"--target={urn}" for urn in targets)]
        if refresh:
            flags.append("--refresh")
        return self._operate("up", flags, progress, runs_program=True)

    def preview(
        self, *, refresh: bool = False, progress: Progress | None = None
    ) -> OperationResult:
        """Say what `up` would do."""
        flags = ["--refresh"] if refresh else []
        return self._operate("preview", flags, progress, runs_program=True)

    def refresh(self, *, progress: Progress | None = None) -> OperationResult:
        """Read every resource back into the state; the steps show what drifted."""
        return self._operate("refresh", ["--skip-preview"], progress)

    def preview_refresh(self, *, progress: Progress | None = None) -> OperationResult:
        """Say what drifted, and write nothing."""
        return self._operate("refresh", ["--preview-only"], progress)

    def destroy(self, *, progress: Progress | None = None) -> OperationResult:
        """Delete every resource of the stack, and what can be where one refuses."""
        return self._operate("destroy", ["--skip-preview", "--continue-on-error"], progress)

    def import_resource(self, type_token: str, name: str, identity: str) -> OperationResult:
        """Take a resource that exists into the state."""
        flags = ["--skip-preview", "--generate-code=false", "--protect=false"]
        return self._operate("import", [*flags, type_token, name, identity], None)

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, secrets in the clear."""
        answer = json.loads(
            self._text("stack", "output", *self._stack_flag(), "--json", "--show-secrets")
        )
        return dict(answer)

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """Return the stack's state."""
        flags = ["--show-secrets"] if show_secrets else []
        return dict(json.loads(self._text("stack", "export", *self._stack_flag(), *flags)))

    def set_config(self, values: Mapping[str, object]) -> None:
        """Write plain values into this world's copy of the stack's config."""
        self.workspace.set_config(values)

    def set_secret(self, key: str, value: str) -> None:
        """Write an encrypted value into this world's copy of the stack's config."""
        self._text("config", "set", *self._stack_flag(), "--secret", key, given=value)

    def copy_to(self, state_dir: Path, environment: Mapping[str, str] | None = None) -> Engine:
        """Return an engine on a copy of this stack, state and all."""
        workspace = self.workspace.copy_to(state_dir)
        told = self.environment if environment is None else environment
        return Engine(self.cli, workspace, told, program=self._program, timeout=self._timeout)

    def write_shell_commands(self, checkout: Path) -> Path:
        """Write a `pulumi` that works on this stack inside `checkout`; return its folder.

        A shell that has this folder first on its PATH, and `shell_environment`, uses the range.
        """
        self._text("stack", "select", self.workspace.stack)
        folder = self.workspace.state_dir / "bin"
        directory = self.workspace.directory
        write_world_pulumi(folder, cli=self.cli, directory=directory, checkout=checkout)
        return folder

    def _stack_flag(self) -> tuple[str, ...]:
        return (f"--stack={self.workspace.stack}",)

    def _operate(
        self,
        operation: str,
        flags: list[str],
        progress: Progress | None,
        *,
        runs_program: bool = False,
    ) -> OperationResult:
        arguments = [operation, "--json", *self._stack_flag(), *flags]
        if operation != "preview" and "--preview-only" not in flags:
            arguments.append("--yes")
        log = EventLog()
        started = time.monotonic()
        if runs_program and self._program is not None:
            with self._program.server() as address:
                arguments.append(f"--client={address}")
                self._command(operation, arguments, log, progress)
        else:
            self._command(operation, arguments, log, progress)
        return OperationResult(
            operation,
            log.changes,
            tuple(log.steps),
            tuple(log.diagnostics),
            log.outputs,
            time.monotonic() - started,
        )

    def _command(
        self, operation: str, arguments: list[str], log: EventLog, progress: Progress | None
    ) -> None:
        lost = threading.Event()
        again = threading.Timer(_ASK_AGAIN_SECONDS, self.interrupt)
        again.daemon = True

        def hear(line: str) -> None:
            log.add(line, progress)
            if _STATE_LOST in line and not lost.is_set():
                # It would wait for ever for the resources that it has begun; asked twice, it ends.
                lost.set()
                self.interrupt()
                again.start()

        ended = self._run(arguments, hear)
        again.cancel()
        if lost.is_set():
            ended = replace(ended, interrupted=False, code=ended.code or 1)
        _check(operation, ended, [*log.errors()], log.unread)

    def _text(self, *arguments: str, given: str | None = None) -> str:
        lines: list[str] = []
        ended = self._run(list(arguments), lines.append, given)
        _check(" ".join(arguments[:2]), ended, [], [])
        return "\n".join(lines)

    def _run(self, arguments: list[str], on_line: Any, given: str | None = None) -> Ended:  # noqa: ANN401 - a callback
        environment = self.child_environment()
        environment["PULUMI_ENABLE_STREAMING_JSON_PREVIEW"] = "true"
        command = [str(self.cli), *arguments, "--non-interactive", "--color=never"]
        self._running = run = CommandRun()
        try:
            return run.run(
                command,
                directory=self.workspace.directory,
                environment=environment,
                on_line=on_line,
                timeout=self._timeout,
                given=given,
            )
        except OSError as error:
            raise EngineError(f"engine {str(self.cli)!r}: could not be started: {error}") from error
        finally:
            self._running = None


def _check(step: str, ended: Ended, errors: list[Diagnostic], unread: list[str]) -> None:
    """Raise what a failed command means.

    Raises:
        EngineKilledError: a signal ended it that we did not send.
        OperationInterruptedError: it was cancelled.
        OperationError: it failed by itself, or took too long.
    """
    if ended.timed_out:
        raise OperationError(f"pulumi {step}: took too long and was cancelled")
    if ended.code == 0 and not ended.interrupted:
        return
    if ended.interrupted:
        raise OperationInterruptedError(f"pulumi {step}: cancelled")
    if ended.code < 0:
        raise EngineKilledError(
            f"pulumi {step}: the engine was ended by signal {-ended.code}; "
            "way out: drop this world and start a new one (iamrange down, then iamrange up)"
        )
    # The engine ends every failure with `update failed`, which adds nothing to its causes.
    causes = [one for one in errors if not one.message.endswith(" failed") or one.urn] or errors
    details = [f"  {_short(one.urn)}{one.message}" for one in causes]
    if not details:
        text = plain(ended.stderr).strip() or "\n".join(unread[-20:]) or "it said nothing"
        details = [f"  {line}" for line in text.splitlines()]
    raise OperationError("\n".join([f"pulumi {step}: failed (exit {ended.code})", *details]))


def _short(urn: str) -> str:
    return f"{urn.rsplit('::', 2)[-2]} {urn.rsplit('::', 1)[-1]}: " if "::" in urn else ""
