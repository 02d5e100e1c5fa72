"""What the token's verifier wrote of a call, heard on its way to the records.

- The verifier answers with a status; its reason, and whose token it refused, are in its record.
- What was heard is handed over once, to the thread that asked the verifier.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iamrange.core.decision import DecisionRecord, RecordSink


class RecordTap:
    """A record sink that hands each record on, and lets the last one be looked at."""

    def __init__(self, sink: RecordSink) -> None:
        """Take where the records go."""
        self._sink = sink
        self._heard = threading.local()

    def __call__(self, record: DecisionRecord) -> None:
        """Take one record."""
        self._heard.record = record
        self._sink(record)

    def take(self, request_id: str) -> DecisionRecord | None:
        """Return the record that was heard last in this thread, if it is of this call."""
        record: DecisionRecord | None = getattr(self._heard, "record", None)
        self._heard.record = None
        return record if record is not None and record.request_id == request_id else None
