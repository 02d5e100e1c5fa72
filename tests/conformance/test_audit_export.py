"""The log's way to a SIEM: in order, without a gap, again from where it stopped; by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from iamrange.core.clock import SystemClock
from iamrange.detect.audit_export import (
    BATCH_RECORDS,
    Batch,
    Cursor,
    FileSink,
    GapError,
    Patience,
    SinkError,
    batches,
    read_cursor,
    send,
    write_cursor,
)
from iamrange.detect.audit_log import HEADS_FILE, AuditLog
from iamrange.detect.audit_segments import LOG_FILE
from iamrange.detect.audit_verify import Verified, verify
from iamrange.detect.otlp import headers_of, logs_url, record_of, request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from iamrange.detect.audit_head import Anchor

CLOCK = SystemClock()
KEY = "the-collectors-key"


def appended(folder: Path, count: int) -> Anchor | None:
    """Append events to a log, which is made where there is none."""
    events = [
        {
            "time": 1_800_000_000_000 + n,
            "severity_id": 1 + n % 2,
            "class_uid": 6003,
            "metadata": {"uid": f"r-{n}"},
            "actor": {"user": {"uid": "spiffe://iamrange.example/agent/a"}},
            "n": n,
        }
        for n in range(count)
    ]
    if (folder / LOG_FILE).exists():
        with AuditLog(folder, CLOCK) as log:
            log.append(events)
        return None
    log, anchor = AuditLog.create(folder, CLOCK)
    with log:
        log.append(events)
    return anchor


class Collector:
    """Takes what is posted; `answers` are given first, one a request, then 200."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.sequences: list[int] = []
        self.url = ""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
        self.headers.append(headers)
        if path != "/v1/logs" or headers["Content-Type"] != "application/x-protobuf":
            return 404, {}, b""
        if self.answers:
            return self.answers.pop(0)
        request = ExportLogsServiceRequest.FromString(body)
        for record in request.resource_logs[0].scope_logs[0].log_records:
            attributes = {one.key: one.value for one in record.attributes}
            self.sequences.append(attributes["iamrange.audit.sequence"].int_value)
        return 200, {}, ExportLogsServiceResponse().SerializeToString()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, answer = collector.take(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def export(folder: Path, *arguments: str, headers: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "iamrange.cli", "audit", "export", str(folder), *arguments],
        env={**os.environ, "OTEL_EXPORTER_OTLP_HEADERS": headers},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_record_reaches_a_collector_once_and_the_next_export_goes_on(
    collector: Collector, tmp_path: Path
) -> None:
    log, cursor = tmp_path / "log", tmp_path / "cursor.json"
    appended(log, BATCH_RECORDS + 3)
    asked = ("--otlp", collector.url, "--cursor", str(cursor))
    first = export(log, *asked, headers=f"x-api-key={KEY}")
    assert first.returncode == 0, first.stderr
    assert collector.sequences == list(range(BATCH_RECORDS + 3))
    assert collector.headers[0]["x-api-key"] == KEY
    assert "0 records sent" in export(log, *asked).stdout
    appended(log, 2)
    assert "2 records sent" in export(log, *asked).stdout
    assert collector.sequences == list(range(BATCH_RECORDS + 5))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_collector_that_is_busy_is_asked_again(
    collector: Collector, tmp_path: Path, status: int
) -> None:
    appended(tmp_path / "log", 3)
    collector.answers = [(status, {"Retry-After": "0"}, b"")]
    done = export(
        tmp_path / "log", "--otlp", collector.url, "--cursor", str(tmp_path / "cursor.json")
    )
    assert done.returncode == 0, done.stderr
    assert f"answered {status}: again in" in done.stderr
    assert collector.sequences == [0, 1, 2]


PARTIAL = ExportLogsServiceResponse()
PARTIAL.partial_success.rejected_log_records = 2
PARTIAL.partial_success.error_message = KEY


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, {}, b""), "answered 400"),
        ((401, {}, b""), "answered 401"),
        ((500, {}, b""), "answered 500"),
        ((307, {"Location": "http://127.0.0.1:1/"}, b""), "answered 307"),
        ((200, {}, PARTIAL.SerializeToString()), "refused 2 records"),
        ((200, {}, b"<html>sign in</html>"), "no OTLP"),
    ],
)
def test_collector_that_refuses_ends_the_export_and_nothing_counts_as_sent(
    collector: Collector, tmp_path: Path, answer: tuple[int, dict[str, str], bytes], said: str
) -> None:
    appended(tmp_path / "log", 3)
    collector.answers = [answer]
    cursor = tmp_path / "cursor.json"
    done = export(
        tmp_path / "log", "--otlp", collector.url, "--cursor", str(cursor), headers=f"k={KEY}"
    )
    assert done.returncode == 3
    assert said in done.stderr
    assert KEY not in done.stderr + done.stdout
    assert read_cursor(cursor) == Cursor()


def test_copy_in_a_file_verifies_as_the_log_and_goes_on_behind_a_half_written_line(
    tmp_path: Path,
) -> None:
    log, copy = tmp_path / "log", tmp_path / "copy.jsonl"
    anchor = appended(log, 20)
    assert anchor is not None
    assert export(log, "--to", str(copy)).returncode == 0
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-5])
    assert "1 records sent" in export(log, "--to", str(copy)).stdout
    appended(log, 7)
    assert "7 records sent" in export(log, "--to", str(copy)).stdout
    assert copy.read_bytes() == (log / LOG_FILE).read_bytes()
    with copy.open("rb") as lines:
        found = verify(lines, anchor, (log / HEADS_FILE).read_text().splitlines())
    assert isinstance(found, Verified)
    assert found.size == 27


@pytest.mark.parametrize("kept", ["a shopping list\n", "no line end", '{"a": 1}\n', '{"a": 1}'])
def test_file_that_holds_something_else_is_left_as_it_is(tmp_path: Path, kept: str) -> None:
    appended(tmp_path / "log", 2)
    copy = tmp_path / "copy.jsonl"
    copy.write_text(kept)
    done = export(tmp_path / "log", "--to", str(copy))
    assert done.returncode == 2
    assert f"--to '{copy}'" in done.stderr
    assert copy.read_text() == kept


@pytest.mark.parametrize("name", [LOG_FILE, HEADS_FILE, "new.jsonl"])
def test_a_copy_in_the_logs_own_folder_is_refused_and_nothing_is_touched(
    tmp_path: Path, name: str
) -> None:
    log, link = tmp_path / "log", tmp_path / "copy.jsonl"
    appended(log, 2)
    before = {path.name: path.read_bytes() for path in log.iterdir()}
    link.symlink_to(log / name)
    for place in (log / name, log / ".." / "log" / name, link):
        done = export(log, "--to", str(place))
        assert done.returncode == 2
        assert "in the log's own folder" in done.stderr
    assert {path.name: path.read_bytes() for path in log.iterdir()} == before


def test_two_exports_do_not_write_one_copy(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    first = FileSink(copy)
    with pytest.raises(ValueError, match="another export writes it"):
        FileSink(copy)
    first.close()
    FileSink(copy).close()


def test_a_copy_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a file"):
        FileSink(tmp_path / "pipe")


def drop(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], *lines[6:]]


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


def double(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[4], *lines[5:]]


@pytest.mark.parametrize("tamper", [drop, swap, double])
def test_gap_in_the_log_ends_the_export_with_its_number(
    tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]]
) -> None:
    appended(tmp_path / "log", 10)
    path = tmp_path / "log" / LOG_FILE
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    done = export(tmp_path / "log", "--to", str(tmp_path / "copy.jsonl"))
    assert done.returncode == 1
    assert "record 5 is not there" in done.stderr


def test_another_log_in_the_same_place_is_not_gone_on_with(tmp_path: Path) -> None:
    for name in ("one", "two"):
        appended(tmp_path / name, 10)
    copy = tmp_path / "copy.jsonl"
    assert export(tmp_path / "one", "--to", str(copy)).returncode == 0
    done = export(tmp_path / "two", "--to", str(copy))
    assert done.returncode == 1
    assert "record 9 is not the one that was sent" in done.stderr


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"sequence":-1,"offset":0,"seal":""}', '{"sequence":0,"offset":7,"seal":""}'],
)
def test_cursor_that_is_none_is_refused_before_anything_is_sent(
    collector: Collector, tmp_path: Path, text: str
) -> None:
    appended(tmp_path / "log", 2)
    cursor = tmp_path / "cursor.json"
    cursor.write_text(text)
    done = export(tmp_path / "log", "--otlp", collector.url, "--cursor", str(cursor))
    assert done.returncode == 2
    assert f"--cursor '{cursor}'" in done.stderr
    assert collector.headers == []


class Flaky:
    """Takes a batch at the third time."""

    def __init__(self, *errors: SinkError) -> None:
        self.errors = list(errors)
        self.taken: list[Batch] = []

    def send(self, batch: Batch) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(batch)


BATCH = Batch((b"{}\n",), Cursor(1, 3, "00"))


def test_waits_double_and_the_sinks_own_word_goes_before() -> None:
    waited: list[float] = []
    flaky = Flaky(
        SinkError("a", again=True),
        SinkError("b", again=True),
        SinkError("c", again=True, after=20),
        SinkError("d", again=True, after=1e9),
    )
    patience = Patience(tries=None, jitter=lambda: 1.0)
    send(flaky, BATCH, patience, lambda _, seconds: waited.append(seconds))
    assert waited == [0.5, 1.0, 20, 300]
    assert flaky.taken == [BATCH]


@pytest.mark.parametrize("tries", [1, 3])
def test_sink_that_stays_away_is_given_up_after_so_many_tries(tries: int) -> None:
    flaky = Flaky(*(SinkError("away", again=True) for _ in range(10)))
    with pytest.raises(SinkError, match="away"):
        send(flaky, BATCH, Patience(tries=tries), lambda *_: None)
    assert len(flaky.errors) == 10 - tries


def test_disk_that_fills_leaves_no_part_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended(tmp_path / "log", 4)
    copy = tmp_path / "copy.jsonl"
    sink = FileSink(copy)
    with (tmp_path / "log" / LOG_FILE).open("rb") as log:
        (batch,) = batches(log, sink.cursor)
    written: list[int] = []

    def full(descriptor: int, data: memoryview) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(descriptor)
        return real(descriptor, data[:50])

    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(SinkError, match="No space left"):
            sink.send(batch)
    sink.send(batch)
    sink.close()
    assert copy.read_bytes() == (tmp_path / "log" / LOG_FILE).read_bytes()


def test_line_without_an_end_is_waited_for_and_one_that_never_ends_is_not(tmp_path: Path) -> None:
    appended(tmp_path / "log", 3)
    path = tmp_path / "log" / LOG_FILE
    with path.open("ab") as file:
        file.write(b'{"half":')
    with path.open("rb") as log:
        assert [len(batch.lines) for batch in batches(log, Cursor())] == [3]
    with path.open("ab") as file:
        file.write(b"x" * (2 << 20))
    with path.open("rb") as log, pytest.raises(GapError, match="no end"):
        list(batches(log, Cursor()))


def test_cursor_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    write_cursor(tmp_path / "c", Cursor(7, 900, "ab"))
    assert read_cursor(tmp_path / "c") == Cursor(7, 900, "ab")
    assert read_cursor(tmp_path / "none") == Cursor()


def plain(value: AnyValue) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a collector makes of a value."""
    match value.WhichOneof("value"):
        case "kvlist_value":
            return {one.key: plain(one.value) for one in value.kvlist_value.values}
        case "array_value":
            return [plain(one) for one in value.array_value.values]
        case None:
            return None
        case name:
            return getattr(value, name)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=6))
def test_any_event_arrives_whole(event: dict[str, Any]) -> None:
    sent = request_of([json.dumps(event).encode()], 1.0).SerializeToString()
    arrived = ExportLogsServiceRequest.FromString(sent)
    (record,) = arrived.resource_logs[0].scope_logs[0].log_records
    assert plain(record.body) == event


@pytest.mark.parametrize("depth", [10, 24, 25, 60, 400])
def test_an_event_however_deep_arrives_whole(depth: int) -> None:
    event: dict[str, Any] = {"deepest": 1}
    for number in range(depth):
        event = {"inner": [event]} if number % 2 else {"inner": event}
    sent = request_of([json.dumps(event).encode()], 1.0).SerializeToString()
    arrived = ExportLogsServiceRequest.FromString(sent)
    found = plain(arrived.resource_logs[0].scope_logs[0].log_records[0].body)
    for number in reversed(range(depth)):
        found = json.loads(found) if isinstance(found, str) else found
        found = found["inner"]
        found = json.loads(found) if isinstance(found, str) else found
        found = found[0] if number % 2 else found
    found = json.loads(found) if isinstance(found, str) else found
    assert found == {"deepest": 1}


@pytest.mark.parametrize("time", [-1, 0, 1 << 63, 10**40, 1.5, "1", None])
def test_a_moment_that_is_none_is_left_out(time: object) -> None:
    assert record_of({"time": time}, 1.0).time_unix_nano == 0


END = b',"seq":7,"seal":"%s"}' % (b"0" * 32)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":nothing' + END,
        b'{"a":"\x1b[2J"' + END,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + END,
        b'{"a":1' + b"0" * 5000 + END,
        b'{"a":"\xff"' + END,
    ],
    ids=["no JSON", "a control character", "too deep", "too many digits", "no UTF-8"],
)
def test_a_line_that_is_no_event_is_named_and_nothing_breaks(line: bytes) -> None:
    with pytest.raises(GapError, match="record 7 is no event"):
        request_of([line], 1.0)


def test_what_protobuf_cannot_hold_still_arrives() -> None:
    record = record_of({"severity_id": 2, "big": 1 << 70, "lone": "\ud800", "\udfff": 1}, 2.5)
    assert plain(record.body) == {"severity_id": 2, "big": str(1 << 70), "lone": "?", "?": 1}
    assert record.severity_text == "Low"
    assert record.observed_time_unix_nano == 2_500_000_000


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"),
        ("https://siem.example/", "https://siem.example/v1/logs"),
        ("https://siem.example/otlp/logs", "https://siem.example/otlp/logs"),
    ],
)
def test_collectors_url_has_the_standard_path_where_it_has_none(text: str, url: str) -> None:
    assert logs_url(text) == url


@pytest.mark.parametrize("text", ["", "siem.example", "ftp://siem.example", "http://u:p@siem"])
def test_what_is_no_collectors_url_is_refused_without_showing_a_password(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        logs_url(text)


def test_headers_are_read_as_opentelemetry_writes_them() -> None:
    assert headers_of("") == {}
    assert headers_of("a=1, b=x%20y=z ,") == {"a": "1", "b": "x y=z"}


@pytest.mark.parametrize("text", ["nothing", "=v", "a b=c", f"x={KEY}%0d%0aHost: y"])
def test_header_that_is_none_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(ValueError, match="part 1") as refused:
        headers_of(text)
    assert KEY not in str(refused.value)
