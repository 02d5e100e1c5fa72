"""What a watch keeps in its file: read as a whole, or refused as a whole. Pure.

- A file that somebody, or a full disk, has damaged must neither stop a watch later, in the middle
  of a call, nor teach it: it is refused before anything of it is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from iamrange.detect.behaviour_rate import number
from iamrange.detect.containment import steps_of
from iamrange.detect.watcher import StateError, Watcher

_LATEST: Final = 253_402_300_799.0
"""The last second that has a date of four figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What was kept: the watcher, and plain values of containments and incidents."""

    watcher: Watcher
    containments: dict[str, list[dict[str, Any]]]
    incidents: list[dict[str, Any]]


def read_saved(data: bytes, watcher: Watcher | None = None) -> Saved:
    """Read a watch's file, of this release or an older one, and have this watcher go on with it.

    Without one the watcher that is returned knows of nobody's declarations: it is for looking, not
    for judging.

    Raises:
        StateError: it is something else, or damaged; the watcher is as it was.
    """
    watcher = Watcher(lambda _: None) if watcher is None else watcher
    try:
        value = json.loads(data)
        containments = {str(name): list(steps) for name, steps in value["containments"].items()}
        for steps in containments.values():
            steps_of(steps)
        for incident in value["incidents"]:
            _check_incident(incident)
        incidents = list(value["incidents"])
        watcher.take(value["watcher"])  # last: what is damaged elsewhere is not half taken
        return Saved(watcher=watcher, containments=containments, incidents=incidents)
    except StateError:
        raise
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise StateError(
            f"state: expected what was saved, got something else ({type(error).__name__})"
        ) from None


def _check_incident(incident: dict[str, Any]) -> None:
    """Refuse what is no incident.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    texts = [incident["agent"]]
    for said in incident["accusations"]:
        texts += [said[member] for member in ("rule", "seen", "expected")]
        texts += said["evidence"]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("incident: expected texts")
    if not isinstance(incident["contained"], bool) or number(incident["time"]) > _LATEST:
        raise ValueError("incident: expected whether it was contained, and when it was")
