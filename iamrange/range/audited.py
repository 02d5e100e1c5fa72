"""The audit log of one world, in an attacker's reach, and what is kept of it where it is not.

- Written before the attack, with all that was decided so far; its head is kept here, as an operator
  keeps one.
- Without the control it is plain lines: what there is to verify is gone, and nobody is told.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from iamrange.core.clock import SystemClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.core.detect_controls import AUDIT, AUDIT_CHAIN
from iamrange.detect.audit_events import verified
from iamrange.detect.audit_log import AuditLog
from iamrange.detect.audit_segments import LOG_FILE
from iamrange.detect.audit_verify import Broken
from iamrange.detect.ocsf import event_of
from iamrange.range.work import FootholdError

if TYPE_CHECKING:
    from iamrange.core.scenario import Part
    from iamrange.detect.audit_head import Anchor
    from iamrange.range.deployment import Deployment

FOLDER = "audit"


class Audited:
    """The log of a world, as it was before an attack."""

    def __init__(self, world: Deployment, victim: Part) -> None:
        """Write down what was decided so far.

        Raises:
            FootholdError: nothing of the victim's is in it, so there is nothing to hide.
            OSError, LogDownError: it cannot be written.
        """
        self.folder = world.world.folder / FOLDER
        self._victim = world.stage.agents[victim]["spiffe_id"].encode()
        self._kept = ""
        self._anchor: Anchor | None = None
        records, _ = world.world.records_since(0)
        events = [event_of(record) for record in records]
        if AUDIT_CHAIN.id in world.off:
            self.folder.mkdir()
            lines = "".join(f"{json.dumps(event)}\n" for event in events)
            (self.folder / LOG_FILE).write_text(lines)
        else:
            log, self._anchor = AuditLog.create(self.folder, SystemClock())
            with log:
                log.append(events)
                self._kept = log.head()
        if self.silent():
            raise FootholdError(f"{victim}: the audit log has nothing of its work")

    def silent(self) -> bool:
        """Tell whether the log does not name the victim."""
        return self._victim not in (self.folder / LOG_FILE).read_bytes()

    def found(self) -> DecisionRecord | None:
        """Verify the log, as an operator does; return what is wrong with it, as a record."""
        if self._anchor is None:
            return None
        broken = verified(self.folder, self._anchor, [self._kept])
        if not isinstance(broken, Broken):
            return None
        answer = LayerAnswer("chain", Effect.DENY, broken.flaw.value, detail=str(broken))
        return DecisionRecord(
            request_id=str(uuid.uuid4()),
            time=SystemClock().now(),
            point=AUDIT,
            action="audit:Verify",
            resource=LOG_FILE,
            principal="",
            outcome=Outcome.DENY,
            reason=broken.flaw.value,
            layers=(answer,),
        )
