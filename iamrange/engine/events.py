"""What the engine tells while it works: its JSON events, read into typed values.

- Secret outputs arrive masked from the engine and are left out here; `Engine.outputs` reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_COLOUR = re.compile(r"<\{%[^%]*%\}>")
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's public marker of a secret
_STACK_TYPE = "pulumi:pulumi:Stack"
_SHOWN_SEVERITIES = frozenset({"info#err", "warning", "error"})


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A message of the engine, a provider or the program."""

    severity: str
    message: str
    urn: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on one resource; `done` once its result is known."""

    operation: str
    urn: str
    type: str
    name: str
    done: bool
    changed: tuple[str, ...] = ()
    failed: bool = False


Progress = Callable[[Step], None]


@dataclass(slots=True)
class EventLog:
    """Everything that one operation reported."""

    changes: dict[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    outputs: dict[str, object] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def add(self, line: str, progress: Progress | None = None) -> None:
        """Read one line of the engine's standard output."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            if line.strip():
                self.unread.append(line.rstrip())
            return
        if "summaryEvent" in event:
            self.changes = dict(event["summaryEvent"].get("resourceChanges") or {})
        elif "diagnosticEvent" in event:
            self._diagnose(event["diagnosticEvent"])
        elif "errorEvent" in event:
            self.diagnostics.append(Diagnostic("error", plain(event["errorEvent"]["error"])))
        else:
            self._step(event, progress)

    def errors(self) -> list[Diagnostic]:
        """Return the diagnostics that are errors."""
        return [one for one in self.diagnostics if one.severity == "error"]

    def _diagnose(self, event: Mapping[str, Any]) -> None:
        if event.get("ephemeral") or event["severity"] == "debug":
            return
        text = plain(event["message"])
        if text:
            self.diagnostics.append(Diagnostic(event["severity"], text, event.get("urn", "")))

    def _step(self, event: Mapping[str, Any], progress: Progress | None) -> None:
        for kind, done, failed in (
            ("resourcePreEvent", False, False),
            ("resOutputsEvent", True, False),
            ("resOpFailedEvent", True, True),
        ):
            if kind not in event:
                continue
            metadata = event[kind]["metadata"]
            step = _read_step(metadata, done=done, failed=failed)
            if done:
                self._keep(step)
                if step.type == _STACK_TYPE:
                    self.outputs = _plain_outputs(metadata.get("new") or {})
            if progress is not None:
                progress(step)

    def _keep(self, step: Step) -> None:
        """Keep one step an operation and resource: a component reports its end twice."""
        same = [(one.operation, one.urn) == (step.operation, step.urn) for one in self.steps]
        if any(same):
            self.steps[same.index(True)] = step
        else:
            self.steps.append(step)


def plain(text: str) -> str:
    """Return a message without the engine's colour marks."""
    return _COLOUR.sub("", text).rstrip()


def _read_step(metadata: Mapping[str, Any], *, done: bool, failed: bool) -> Step:
    urn = metadata["urn"]
    changed = tuple(sorted(metadata.get("detailedDiff") or metadata.get("diffs") or ()))
    name = urn.rsplit("::", 1)[-1]
    return Step(metadata["op"], urn, metadata["type"], name, done, changed, failed)


def _plain_outputs(state: Mapping[str, Any]) -> dict[str, object]:
    outputs = state.get("outputs") or {}
    return {name: value for name, value in outputs.items() if not _holds_secret(value)}


def _holds_secret(value: object) -> bool:
    if isinstance(value, dict):
        return value.get(_SIGNATURE) == _SECRET or any(map(_holds_secret, value.values()))
    if isinstance(value, list):
        return any(map(_holds_secret, value))
    return False
