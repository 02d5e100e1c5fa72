"""Measure audit events a second, and how long a million of them take to verify.

- An event is a whole decision record of the gateway with its nine layers, as OCSF. Writing is from
  the record to the acknowledged line: OCSF, JSON, redaction, seal, tree, write, fsync.
- `batches` are of as many as come in 100 ms at the target's rate. `one by one` is a single caller
  that waits for each; `64 callers` wait for theirs at the same time.
- The peer is the same JSON lines with the same fsync and nothing else: what sealing costs is the
  ratio. Then one byte in the middle is changed, and must be found.

Run as `python -m bench.audit [EVENTS]`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from iamrange.access.gateway_layers import LAYERS
from iamrange.core.clock import SystemClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.detect.audit_log import HEADS_FILE, AuditLog
from iamrange.detect.audit_segments import LOG_FILE, open_log, segments
from iamrange.detect.audit_verify import Broken, Verified, verify
from iamrange.detect.ocsf import event_of

if TYPE_CHECKING:
    from iamrange.detect.audit_head import Anchor

EVENTS, BATCH = 1_000_000, 5000
TARGETS = {"events a second": 50_000, "seconds to verify a million": 20}
SINGLE, CALLERS = 2000, 64


def record(number: int) -> DecisionRecord:
    """Return what the gateway writes of one call."""
    return DecisionRecord(
        request_id=f"00000000-0000-4000-8000-{number:012}",
        time=1_800_000_000.0 + number / 1000,
        point="gateway.call",
        action="GET",
        resource="https://customers.iamrange.example/records/latest",
        principal="spiffe://iamrange.example/agent/data-analyst",
        outcome=Outcome.ALLOW,
        reason="admitted",
        layers=tuple(LayerAnswer(name, Effect.ALLOW, "as-it-should-be") for name in LAYERS),
        source_ip="127.0.0.1",
    )


def written(log: AuditLog, count: int) -> float:
    """Append so many in batches; return how many a second were acknowledged."""
    batches = [[record(n) for n in range(BATCH)] for _ in range(2)]
    began = time.perf_counter()
    for number in range(count // BATCH):
        log.append(event_of(one) for one in batches[number % 2])
    return count / (time.perf_counter() - began)


def plain(path: Path, count: int) -> float:
    """Write the same lines without seals; return how many a second."""
    records = [record(n) for n in range(BATCH)]
    began = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(count // BATCH):
            file.write(b"\n".join(orjson.dumps(event_of(one)) for one in records))
            file.flush()
            os.fdatasync(file.fileno())
    return count / (time.perf_counter() - began)


def at_once(log: AuditLog, count: int) -> float:
    """Have many callers append one event at a time; return how many a second."""
    event = event_of(record(0))

    def calls() -> None:
        for _ in range(count // CALLERS):
            log.append([event])

    threads = [threading.Thread(target=calls) for _ in range(CALLERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - began)


def verified(folder: Path, anchor: Anchor) -> tuple[Verified | Broken, float]:
    """Verify; return what was found, and the seconds."""
    began = time.perf_counter()
    with open_log(folder) as log:
        found = verify(log, anchor, (folder / HEADS_FILE).read_text().splitlines())
    return found, time.perf_counter() - began


def main(count: int) -> None:
    """Print the figures as one JSON document."""
    figures: dict[str, Any] = {"events": count, "load average": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="iamrange-") as name:
        folder = Path(name) / "log"
        log, anchor = AuditLog.create(folder, SystemClock())
        with log:
            figures["events a second"] = round(written(log, count))
        found, seconds = verified(folder, anchor)
        if not isinstance(found, Verified) or found.size != count:
            raise SystemExit(f"the log does not verify: {found}")
        figures["seconds to verify a million"] = round(seconds * 1e6 / count, 1)
        size = sum(one.stat().st_size for one in folder.glob("audit*.jsonl"))
        figures["bytes an event"] = round(size / count)
        figures["files put aside"] = len(segments(folder))
        with AuditLog(folder, SystemClock()) as again:
            figures["one by one, a second"] = round(_one_by_one(again))
            figures["64 callers, a second"] = round(at_once(again, SINGLE))
        with (folder / LOG_FILE).open("r+b") as file:
            file.seek((folder / LOG_FILE).stat().st_size // 2)
            file.write(b"~")
        found, _ = verified(folder, anchor)
        if not isinstance(found, Broken):
            raise SystemExit("a changed byte was not found")
        figures["changed byte found at"] = str(found)
        sample = min(count, 20 * BATCH)
        peer = plain(Path(name) / "plain", sample)
        figures["plain lines a second"] = round(peer)
        figures["ratio"] = round(figures["events a second"] / peer, 2)
    figures["targets"] = TARGETS
    print(json.dumps(figures, indent=1))


def _one_by_one(log: AuditLog) -> float:
    event = event_of(record(0))
    began = time.perf_counter()
    for _ in range(SINGLE):
        log.append([event])
    return SINGLE / (time.perf_counter() - began)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)
