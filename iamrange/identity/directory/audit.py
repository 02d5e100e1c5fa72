"""What every change of the directory tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One change. `version` is its place in the directory's one sequence.

    `detail` names what changed (a kid, a state, the fields), never a secret or its hash.
    """

    version: int
    time: float
    actor: str
    action: str
    agent: str
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the event as JSON-ready values."""
        return {
            "version": self.version,
            "time": self.time,
            "actor": self.actor,
            "action": self.action,
            "agent": self.agent,
            "detail": self.detail,
        }


AuditSink = Callable[[AuditEvent], None]
"""Takes each event after its commit. Must not raise."""
