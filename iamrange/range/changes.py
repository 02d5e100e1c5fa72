"""What is logged besides decisions: the directory's events, orders taken, credentials found.

- The directory's own table is read, so a change counts whoever made it, by whichever tool.
- An order is noted where it is carried out, refused ones too, with the user who gave it as the
  kernel tells it.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from iamrange.detect.ocsf_changes import Change
from iamrange.detect.ocsf_findings import FoundCredential, event_of_finding
from iamrange.identity.directory.directory import Directory
from iamrange.range.world import CommandRefusedError
from iamrange.range.world_directory import FOLDER, directory_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")
_PAGE: Final = 500
_KEPT: Final = 10_000
_SHOWN: Final = 200
READING: Final = frozenset(
    {"note_findings", "policy_status", "revocation_lists", "token_keys", "trust_bundle"}
)
"""Orders that change nothing; findings are events of their own."""

MOST_FINDINGS: Final = 100
"""In one order, which is one line."""

_MEMBERS: Final = {one.name for one in fields(FoundCredential)}
_NAMES: Final = ("agent_id", "agent", "kid")


class DirectoryChanges:
    """Follows a world's directory, from its first event on."""

    def __init__(self, world_folder: Path) -> None:
        """Open the directory in a world's folder.

        Raises:
            StoreDownError: it cannot be read.
        """
        self._directory = Directory.open(directory_url(world_folder), world_folder / FOLDER)
        self._after = 0

    def read(self) -> Iterator[list[Change]]:
        """Yield pages of what has happened since the last page that was taken whole.

        Raises:
            StoreDownError: it cannot be read now.
        """
        while events := self._directory.events(after=self._after, limit=_PAGE):
            yield [
                Change(
                    uid=f"directory-{event.version}",
                    time=event.time,
                    actor=event.actor,
                    action=event.action,
                    kind="agent",
                    entity=event.agent,
                    point="directory",
                    detail=event.detail,
                )
                for event in events
            ]
            self._after = events[-1].version

    def close(self) -> None:
        """Close the database."""
        self._directory.close()


class _Waiting(Generic[T]):
    """What waits for the log, which alone takes it away. Threads may share it."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._kept: list[T] = []

    def read(self) -> Iterator[list[T]]:
        """Yield what waits, and forget it once that was taken."""
        with self._lock:
            found = list(self._kept)
        if found:
            yield found
            with self._lock:
                del self._kept[: len(found)]


class OrdersTaken(_Waiting[Change]):
    """The orders that a running range took."""

    def __init__(self) -> None:
        """Start with none."""
        super().__init__()
        self._number = 0

    def check(self) -> None:
        """Refuse an order that could not be logged.

        Raises:
            OrdersFullError: too many wait for the log.
        """
        with self._lock:
            if len(self._kept) >= _KEPT:
                raise OrdersFullError("the range's log takes nothing: no order is carried out")

    def note(
        self, user: int, name: str, parameters: Mapping[str, Any], refused: str | None
    ) -> None:
        """Note an order, and why it was refused if it was.

        Of its parameters only what names something is kept.
        """
        if name in READING:
            return
        entity = next((str(parameters[one]) for one in _NAMES if parameters.get(one)), "range")
        lists = {key: value for key, value in parameters.items() if isinstance(value, list)}
        detail = "; ".join(f"{key}: {', '.join(map(str, lists[key])) or 'none'}" for key in lists)
        with self._lock:
            self._number += 1
            self._kept.append(
                Change(
                    uid=f"order-{self._number}",
                    time=time.time(),
                    actor=f"uid:{user}",
                    action=name[:_SHOWN],
                    kind="range" if entity == "range" else "identity",
                    entity=entity[:_SHOWN],
                    point="range.orders",
                    detail=detail[:_SHOWN],
                    refused=None if refused is None else refused[:_SHOWN],
                )
            )


class OrdersFullError(Exception):
    """Nobody has collected orders for too long."""


class FindingsTaken(_Waiting[dict[str, Any]]):
    """Credentials that a scan found."""

    def note(self, *, findings: object) -> int:
        """Take what a scan found; return how many that are. The socket is its owner's alone.

        Raises:
            CommandRefusedError: they are none, or the log takes nothing.
        """
        if not isinstance(findings, list) or len(findings) > MOST_FINDINGS:
            raise CommandRefusedError(f"findings: expected a list of at most {MOST_FINDINGS}")
        events = []
        for one in findings:
            if not isinstance(one, dict) or one.keys() != _MEMBERS:
                raise CommandRefusedError(f"finding: expected the members {sorted(_MEMBERS)}")
            found = FoundCredential(**{name: str(text)[:_SHOWN] for name, text in one.items()})
            events.append(event_of_finding(found, time=time.time(), actor=f"uid:{os.getuid()}"))
        with self._lock:
            if len(self._kept) + len(events) > _KEPT:
                raise CommandRefusedError("the range's log takes nothing: findings are not noted")
            self._kept += events
        return len(events)
