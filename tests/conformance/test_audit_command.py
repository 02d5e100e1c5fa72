"""`iamrange audit` on a log of many files, as a program reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.clock import FixedClock
from iamrange.detect.audit_log import AuditLog
from iamrange.detect.audit_rotation import RETIRED_FILE, Rotation
from iamrange.detect.audit_segments import LOG_FILE, segments

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = FixedClock(1_800_000_000.0)
COUNT = 75


class Command:
    """Runs `iamrange audit` on one log."""

    def __init__(self, folder: Path, anchor: Path) -> None:
        self.folder = folder
        self.anchor = anchor

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "iamrange.cli", "audit", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def verify(self, status: int = 0) -> dict[str, Any]:
        said = self(
            "verify", str(self.folder), "--anchor", str(self.anchor), "--json", status=status
        )
        told: dict[str, Any] = json.loads(said)
        return told

    def log(self, first: int, count: int) -> None:
        with AuditLog(self.folder, CLOCK, Rotation(size=1000)) as log:
            for number in range(first, first + count, 5):
                log.append({"number": n, "padding": "x" * 20} for n in range(number, number + 5))


@pytest.fixture
def audit(tmp_path: Path) -> Command:
    log, anchor = AuditLog.create(tmp_path / "log", CLOCK)
    log.close()
    (tmp_path / "anchor.json").write_text(json.dumps(anchor.to_json()))
    command = Command(tmp_path / "log", tmp_path / "anchor.json")
    command.log(0, COUNT)
    assert len(segments(command.folder)) > 3
    return command


def test_every_command_reads_all_files(audit: Command, tmp_path: Path) -> None:
    assert audit.verify()["size"] == COUNT
    folder = str(audit.folder)
    shown = audit("tail", folder, "-n", "35", "--json").splitlines()
    assert [json.loads(line)["number"] for line in shown] == list(range(40, COUNT))
    (found,) = audit("query", "number=7", "--folder", folder, "--json").splitlines()
    assert json.loads(found)["seq"] == 7
    copy = tmp_path / "copy.jsonl"
    assert f"{COUNT} records sent" in audit("export", folder, "--to", str(copy))
    audit.log(COUNT, 10)
    assert "10 records sent" in audit("export", folder, "--to", str(copy))
    assert copy.read_bytes().count(b"\n") == COUNT + 10


def test_old_files_are_retired_on_purpose_and_it_is_said(audit: Command, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.jsonl")
    audit("export", str(audit.folder), "--to", copy)
    begins = json.loads(audit("retire", str(audit.folder), "--keep", "1", "--json"))["begins"]
    assert len(segments(audit.folder)) == 1
    found = audit.verify()
    assert (found["ok"], found["begins"], found["size"]) == (True, begins, COUNT)
    said = audit("verify", str(audit.folder), "--anchor", str(audit.anchor))
    assert f"it begins at record {begins}: older ones were retired, signed 20" in said
    audit.log(COUNT, 5)
    place = [str(audit.folder), "--anchor", str(audit.anchor), "--to"]
    assert "5 records sent" in audit("export", *place, copy)
    fresh = str(tmp_path / "fresh.jsonl")
    assert f"{COUNT + 5 - begins} records sent" in audit("export", *place, fresh)


def test_what_was_retired_before_it_was_sent_ends_the_export(
    audit: Command, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    audit("export", str(audit.folder), "--to", str(copy))
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[:5]))
    audit("retire", str(audit.folder), "--keep", "0")
    place = [str(audit.folder), "--anchor", str(audit.anchor), "--to", str(copy)]
    assert "records 5 to" in audit("export", *place, status=1)


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_deletion_without_a_statement_is_found(
    audit: Command, tmp_path: Path, command: str
) -> None:
    audit("retire", str(audit.folder), "--keep", "1")
    (audit.folder / RETIRED_FILE).write_text("nobody.signed.this\n")
    if command == "verify":
        assert audit.verify(status=1)["flaw"] == "bad-retirement"
        return
    place = [str(audit.folder), "--anchor", str(audit.anchor), "--to", str(tmp_path / "copy")]
    assert "not signed" in audit("export", *place, status=1)


def test_a_log_that_is_written_is_not_retired_beside_its_writer(audit: Command) -> None:
    with AuditLog(audit.folder, CLOCK):
        assert "no range writes" in audit("retire", str(audit.folder), "--keep", "1", status=2)


def test_a_log_that_was_tampered_with_is_not_retired(audit: Command) -> None:
    (audit.folder / LOG_FILE).unlink()
    for one in segments(audit.folder)[-2:]:
        one.path.unlink()
    before = len(segments(audit.folder))
    assert "NOT what was written" in audit("retire", str(audit.folder), "--keep", "0", status=1)
    assert len(segments(audit.folder)) == before


HOSTILE = {
    "a terminal's command": b'{"agent":"\x1b[2J\x9b2J","number":1}\n',
    "another encoding": '{"agent":"x\u202ey"}\n'.encode("utf-16"),
    "zeros": bytes(300) + b"\n",
    "too deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "too many digits": b'{"time":' + b"1" * 5000 + b"}\n",
    "no object": b"[1]\n",
    "longer than a record": b"x" * (3 << 20) + b"\n",
    "no end": b'{"number":',
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_whatever_somebody_has_put_in_is_shown_as_plain_lines(audit: Command, line: bytes) -> None:
    folder = str(audit.folder)
    with (audit.folder / LOG_FILE).open("ab") as log:
        log.write(line)
    shown = [
        audit("tail", folder, "-n", "2"),
        audit("query", "--folder", folder),
        audit("query", "number=74", "--folder", folder),
    ]
    for text in shown:
        assert text.replace("\n", "").isprintable()
        assert len(text) < 100_000
    for command in (["tail", folder, "-n", "9"], ["query", "--folder", folder]):
        read = [json.loads(one) for one in audit(*command, "--json").splitlines()]
        assert any(one["number"] == COUNT - 1 for one in read if "number" in one)
    assert audit.verify(status=1)["record"] == COUNT


def test_an_empty_log_is_one(audit: Command, tmp_path: Path) -> None:
    log, anchor = AuditLog.create(tmp_path / "empty", CLOCK)
    log.close()
    (tmp_path / "its.json").write_text(json.dumps(anchor.to_json()))
    folder, own = str(tmp_path / "empty"), str(tmp_path / "its.json")
    assert json.loads(audit("verify", folder, "--anchor", own, "--json"))["size"] == 0
    assert audit("tail", folder) == ""
    assert audit("query", "--folder", folder) == ""
    assert "0 records sent" in audit("export", folder, "--to", str(tmp_path / "copy"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_head_counts_in_whatever_encoding_a_shell_has_written_it(
    audit: Command, tmp_path: Path, encoding: str
) -> None:
    kept = audit("head", str(audit.folder))
    (tmp_path / "head.jws").write_bytes(kept.encode(encoding))
    (tmp_path / "empty.jws").write_bytes(b"")
    place = [str(audit.folder), "--anchor", str(audit.anchor), "--head", str(tmp_path / "head.jws")]
    assert f"{COUNT} records" in audit("verify", *place)
    said = audit("verify", *place, "--head", str(tmp_path / "empty.jws"), status=2)
    assert "got an empty file" in said


def test_half_a_head_is_not_given_away_for_one(audit: Command) -> None:
    whole = audit("head", str(audit.folder))
    with (audit.folder / "heads.jws").open("ab") as heads:
        heads.write(b"eyJhbGciOi")
    assert audit("head", str(audit.folder)) == whole
