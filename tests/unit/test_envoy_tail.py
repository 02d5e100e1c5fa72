"""The tail of an access log: each line once and in order, whatever is put aside meanwhile."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.network.envoy_log import ACCESS_LOG_FILE, OLD_ACCESS_LOG_FILE
from iamrange.network.envoy_tail import LONGEST_LINE, AccessLogTail


class Envoy:
    """Writes, and opens a new log when it is told to, as the real one does."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / ACCESS_LOG_FILE
        self.old = folder / OLD_ACCESS_LOG_FILE
        self.descriptor = -1
        self.reopen()

    def reopen(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def put_aside(self) -> None:
        self.log.rename(self.old)


@pytest.fixture
def envoy(tmp_path: Path) -> Envoy:
    return Envoy(tmp_path)


@pytest.fixture
def tail(tmp_path: Path) -> AccessLogTail:
    return AccessLogTail(tmp_path)


def test_there_is_nothing_to_read_before_the_log_is(tmp_path: Path) -> None:
    assert AccessLogTail(tmp_path).read() == []


def test_each_line_comes_once(envoy: Envoy, tail: AccessLogTail) -> None:
    envoy.write(b"a\nb\n")
    assert tail.read() == [b"a", b"b"]
    assert tail.read() == []
    envoy.write(b"c\n")
    assert tail.read() == [b"c"]


def test_half_a_line_waits_for_its_end(envoy: Envoy, tail: AccessLogTail) -> None:
    envoy.write(b"a\nb")
    assert tail.read() == [b"a"]
    envoy.write(b"b")
    assert tail.read() == []
    envoy.write(b"b\nc\n")
    assert tail.read() == [b"bbb", b"c"]


def test_what_is_written_before_the_next_log_is_opened_is_not_lost(
    envoy: Envoy, tail: AccessLogTail
) -> None:
    envoy.write(b"a\n")
    assert tail.read() == [b"a"]
    envoy.put_aside()
    envoy.write(b"b\n")
    assert tail.read() == [b"b"]
    envoy.write(b"c\n")
    envoy.reopen()
    envoy.write(b"d\n")
    assert tail.read() == [b"c", b"d"]
    assert (tail.gaps, tail.dropped) == (0, 0)


def test_the_log_before_this_one_is_read_first(envoy: Envoy, tail: AccessLogTail) -> None:
    envoy.write(b"a\n")
    envoy.put_aside()
    envoy.reopen()
    envoy.write(b"b\n")
    assert tail.read() == [b"a", b"b"]


def test_lines_of_a_log_that_was_removed_are_read(envoy: Envoy, tail: AccessLogTail) -> None:
    envoy.write(b"a\n")
    tail.read()
    envoy.write(b"b\n")
    envoy.log.unlink()
    assert tail.gone
    assert tail.read() == [b"b"]


def test_two_logs_between_two_looks_are_read_and_a_third_is_told(
    envoy: Envoy, tail: AccessLogTail
) -> None:
    envoy.write(b"a\n")
    tail.read()
    for line in (b"b\n", b"c\n", b"d\n"):
        envoy.put_aside()
        envoy.reopen()
        envoy.write(line)
    assert tail.read() == [b"c", b"d"]
    assert tail.gaps == 1


def test_no_more_is_read_than_was_asked_for(envoy: Envoy, tail: AccessLogTail) -> None:
    envoy.write(b"aaa\n" * 100)
    assert tail.read(limit=10) == [b"aaa"] * 2
    assert tail.read(limit=2) == [b"aaa"]
    assert len(tail.read()) == 97


@pytest.mark.parametrize("chunk", [100, 4096, 1 << 20])
def test_a_line_without_end_is_dropped_and_counted(
    envoy: Envoy, tail: AccessLogTail, chunk: int
) -> None:
    envoy.write(b"a\n")
    envoy.write(b"x" * (LONGEST_LINE + 1) + b"\nb\n")
    found: list[bytes] = []
    for _ in range(2 * LONGEST_LINE // chunk + 2):
        found += tail.read(limit=chunk)
    assert found == [b"a", b"b"]
    assert tail.dropped == 1


def test_half_a_line_at_a_logs_end_is_dropped_and_counted(
    envoy: Envoy, tail: AccessLogTail
) -> None:
    envoy.write(b"a\nhalf")
    envoy.put_aside()
    envoy.reopen()
    envoy.write(b"b\n")
    assert tail.read() == [b"a", b"b"]
    assert tail.dropped == 1


def test_a_link_in_the_logs_place_is_not_followed(tmp_path: Path, tail: AccessLogTail) -> None:
    (tmp_path / "other").write_text("secret\n")
    (tmp_path / ACCESS_LOG_FILE).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        tail.read()


STEPS = st.lists(
    st.one_of(
        st.binary(min_size=0, max_size=30).map(lambda data: ("write", data.replace(b"\n", b""))),
        st.integers(1, 64).map(lambda limit: ("read", limit)),
        st.just(("rotate", 0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_line_comes_once_and_in_order_if_each_log_is_looked_at(
    steps: list[tuple[str, bytes | int]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        envoy, tail = Envoy(Path(name)), AccessLogTail(Path(name))
        written: list[bytes] = []
        found: list[bytes] = []
        for _, value in steps:
            if isinstance(value, bytes):
                written.append(value)
                envoy.write(value + b"\n")
            elif value:
                found += tail.read(limit=value)
            else:
                while more := tail.read():
                    found += more
                envoy.put_aside()
                envoy.reopen()
        while more := tail.read():
            found += more
        assert found == written
        assert (tail.gaps, tail.dropped) == (0, 0)
        tail.close()
        os.close(envoy.descriptor)
