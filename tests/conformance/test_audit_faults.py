"""The audit log under kill -9: what was acknowledged is there, and the rest is not half there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from iamrange.core.clock import SystemClock
from iamrange.detect.audit_head import read_anchor
from iamrange.detect.audit_log import HEADS_FILE, AuditLog
from iamrange.detect.audit_segments import open_log, segments
from iamrange.detect.audit_verify import Verified, verify

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import json, sys
from pathlib import Path
from iamrange.core.clock import SystemClock
from iamrange.detect.audit_log import AuditLog
from iamrange.detect.audit_rotation import Rotation
folder, rotation = Path(sys.argv[1]), Rotation(size=int(sys.argv[2]))
if (folder / "seal.json").exists():
    log = AuditLog(folder, SystemClock(), rotation)
else:
    log, anchor = AuditLog.create(folder, SystemClock(), rotation)
    folder.with_name("anchor.json").write_text(json.dumps(anchor.to_json()))
number = log.size
while True:
    size = log.append({"number": n, "padding": "x" * 200} for n in range(number, number + 500))
    number += 500
    print(size, flush=True)
"""


@pytest.mark.parametrize("after", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("size", [1 << 30, 100_000], ids=["one file", "a file each few appends"])
def test_killed_writer_loses_nothing_that_it_acknowledged(
    tmp_path: Path, size: int, after: float
) -> None:
    folder = tmp_path / "log"
    for _ in range(3):
        with subprocess.Popen(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", WRITER, str(folder), str(size)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            acknowledged = int(writer.stdout.readline())
            time.sleep(after)
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = max(
                [acknowledged, *(int(line) for line in writer.stdout if line[-1:] == "\n")]
            )
        with AuditLog(folder, SystemClock()) as log:
            assert log.size >= acknowledged
    anchor = read_anchor((tmp_path / "anchor.json").read_bytes())
    with open_log(folder) as file:
        found = verify(file, anchor, (folder / HEADS_FILE).read_text().splitlines())
    assert isinstance(found, Verified), found
    with open_log(folder) as file:
        assert [json.loads(line)["number"] for line in file] == list(range(found.size))
    assert bool(segments(folder)) == (size < 1 << 30)
