"""What can go wrong while the engine is found, built or run.

- Every error here means that the range broke (exit 3): a refusal by a cloud is never one of them.
- A message names the step, the command and the way out; it never holds a passphrase or a token.
"""

from __future__ import annotations


class EngineError(Exception):
    """The Pulumi engine could not do what it was asked to."""

    exit_code = 3


class PrepareError(EngineError):
    """A step of the preparation failed."""

    def __init__(self, step: str, cause: str, way_out: str, command: str | None = None) -> None:
        """Say which step failed, why, by which command, and what a person can do."""
        self.step = step
        self.command = command
        self.way_out = way_out
        lines = [f"{step}: {cause}"]
        if command is not None:
            lines.append(f"  command: {command}")
        lines.append(f"  way out: {way_out}")
        super().__init__("\n".join(lines))


class OperationError(EngineError):
    """The engine ran an operation and it failed; the diagnostics say why."""


class EngineKilledError(OperationError):
    """The engine's process was ended from outside; the world it worked on is not to be trusted."""


class OperationInterruptedError(OperationError):
    """The operation was cancelled by SIGINT or SIGTERM; the engine has ended cleanly."""
