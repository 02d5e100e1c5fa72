"""The central audit log of a range left running: decisions, changes and access log, sealed.

- The world writes its records, its Envoy what it saw; this process, which no agent can reach,
  collects and seals them.
- The log stays when the range ends. Its anchor lies beside the logs, not in them: who wants to know
  more than that nobody tampered with a folder copies it elsewhere.
- Where the log takes nothing any more the range ends: nothing is decided unlogged for long.
"""

from __future__ import annotations

import contextlib
import json
import threading
from itertools import chain
from typing import TYPE_CHECKING, Any

from iamrange.core.clock import SystemClock
from iamrange.detect.audit_cut import append
from iamrange.detect.audit_log import AuditLog, LogDownError
from iamrange.detect.audit_rotation import Rotation
from iamrange.detect.ocsf import event_of
from iamrange.detect.ocsf_changes import event_of_change
from iamrange.identity.agent import write_private
from iamrange.identity.stores.errors import StoreDownError
from iamrange.range.access_log import AccessLogs
from iamrange.range.changes import DirectoryChanges
from iamrange.range.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iamrange.core.decision import DecisionRecord
    from iamrange.range.changes import FindingsTaken, OrdersTaken
    from iamrange.range.world import World

FOLDER = "audit"
ANCHORS = "audit-anchors"
COLLECT_SECONDS = 0.2
PATIENCE_SECONDS = 10.0
KEPT_FILES = 64
"""How many files of the log that were put aside stay: 4 GiB, until they are retired."""

_BATCH = 2000


class CentralLog:
    """Collects one world's records."""

    def __init__(
        self, world: World, state: Path, orders: OrdersTaken, findings: FindingsTaken
    ) -> None:
        """Make the log of this world below the state's folder.

        Raises:
            OSError: it cannot be made.
            StoreDownError: the world's directory cannot be read.
        """
        self._orders = orders
        self._findings = findings
        self._directory = DirectoryChanges(world.folder)
        self.folder = state / FOLDER / world.folder.name
        self.anchor = state / ANCHORS / f"{world.folder.name}.json"
        self._world = world
        self._log, anchor = AuditLog.create(self.folder, SystemClock(), Rotation(keep=KEPT_FILES))
        self.anchor.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.anchor, json.dumps(anchor.to_json()))
        self._mark = 0
        self._records: list[DecisionRecord] = []
        self._access = AccessLogs(world.sockets)
        self._seen: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._failed: str | None = None
        self._thread = threading.Thread(target=self._run, name="central log", daemon=True)

    def check(self) -> None:
        """Raise if the log takes nothing any more.

        Raises:
            ProcessError: it does not.
        """
        if self._failed is not None:
            raise ProcessError(f"the range cannot log what it decides: {self._failed}")

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """Collect what is left, sign the last head."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(LogDownError, StoreDownError, OSError):
            self._collect()
            while self._collect_access():
                pass
        self._access.close()
        self._directory.close()
        self._log.close()

    def _run(self) -> None:
        failed = 0
        while not self._ended.wait(COLLECT_SECONDS):
            try:
                self._collect()
                self._collect_access()
                failed = 0
            except (LogDownError, StoreDownError, OSError, ValueError) as error:
                failed += 1
                if failed * COLLECT_SECONDS >= PATIENCE_SECONDS:
                    self._failed = str(error)
                    return
            except Exception as error:
                # Nobody collects any more: the range must not go on unlogged.
                self._failed = type(error).__name__
                raise

    def _collect(self) -> None:
        records, self._mark = self._world.records_since(self._mark)
        self._records += records
        while self._records:
            # What the log did not take is given to it again, and nothing that it took.
            append(self._log, (event_of(record) for record in self._records[:_BATCH]))
            del self._records[:_BATCH]
        for changes in chain(self._orders.read(), self._directory.read()):
            append(self._log, (event_of_change(change) for change in changes))
        for events in self._findings.read():
            append(self._log, events)

    def _collect_access(self) -> bool:
        """Take the next of what Envoy saw; what the log did not take is given to it again."""
        self._seen = self._seen or self._access.events()
        if self._seen:
            append(self._log, self._seen)
        taken, self._seen = bool(self._seen), []
        return taken


@contextlib.contextmanager
def collected(
    world: World, state: Path, orders: OrdersTaken, findings: FindingsTaken
) -> Iterator[CentralLog]:
    """Collect the world's records, and what the range is told and ordered, in this block."""
    log = CentralLog(world, state, orders, findings)
    log.start()
    try:
        yield log
    finally:
        log.stop()
