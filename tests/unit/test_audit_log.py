"""The audit log: what is acknowledged stays, and whatever somebody changes is named."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.clock import FixedClock, SystemClock
from iamrange.detect.audit_head import Anchor, Head, read_anchor, read_head, sign_head
from iamrange.detect.audit_log import HEADS_FILE, AuditLog, LogBusyError, LogDownError
from iamrange.detect.audit_seal import (
    EPOCH,
    FIRST,
    BodyError,
    key_of,
    line_of,
    read_line,
    seal_of,
)
from iamrange.detect.audit_segments import LOG_FILE
from iamrange.detect.audit_state import SEAL_FILE, LogTamperedError
from iamrange.detect.audit_tree import EMPTY, Tree
from iamrange.detect.audit_verify import Broken, Flaw, Verified, verify
from iamrange.jose import Refusal, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CLOCK = SystemClock()


def events(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"number": number, "who": "agent"} for number in range(first, first + count)]


def made(folder: Path, count: int = 20) -> Anchor:
    log, anchor = AuditLog.create(folder, CLOCK)
    with log:
        log.append(events(count // 2))
        log.head()
        log.append(events(count - count // 2, count // 2))
    return anchor


def lines(folder: Path) -> list[bytes]:
    return (folder / LOG_FILE).read_bytes().splitlines(keepends=True)


def heads(folder: Path) -> list[str]:
    return (folder / HEADS_FILE).read_text().splitlines()


def checked(folder: Path, anchor: Anchor, *kept: str, beside: bool = True) -> Verified | Broken:
    with (folder / LOG_FILE).open("rb") as log:
        return verify(log, anchor, heads(folder) if beside else (), kept=kept)


def test_what_was_appended_verifies_and_reads_as_json(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Verified)
    assert (found.size, found.heads) == (20, 2)
    read = [json.loads(line) for line in lines(tmp_path / "log")]
    assert [event["seq"] for event in read] == [event["number"] for event in read]
    assert len({event["seal"] for event in read}) == 20


def test_log_goes_on_after_it_was_closed_and_over_many_keys(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log", 2)
    first = json.loads((tmp_path / "log" / SEAL_FILE).read_bytes())["key"]
    with AuditLog(tmp_path / "log", CLOCK) as log:
        assert log.append(events(2 * EPOCH)) == 2 * EPOCH + 2
    kept = json.loads((tmp_path / "log" / SEAL_FILE).read_bytes())
    assert kept["key"] != first
    assert kept["key"] == key_of(anchor.first_key, 2).hex()
    with AuditLog(tmp_path / "log", CLOCK) as log:
        log.append(events(3))
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Verified)
    assert found.size == 2 * EPOCH + 5


def with_another_seal(line: bytes) -> bytes:
    """Return the line with one of its seal's last characters changed."""
    return line[:-4] + (b"1" if line[-4:-3] == b"0" else b"0") + line[-3:]


TAMPERINGS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, Flaw]] = {
    "a word in a record": (
        lambda all_: [*all_[:7], all_[7].replace(b"agent", b"ghost"), *all_[8:]],
        7,
        Flaw.CHANGED,
    ),
    "a seal": (
        lambda all_: [*all_[:7], with_another_seal(all_[7]), *all_[8:]],
        7,
        Flaw.CHANGED,
    ),
    "the first record": (
        lambda all_: [all_[0].replace(b"agent", b"ghost"), *all_[1:]],
        0,
        Flaw.CHANGED,
    ),
    "two records change places": (
        lambda all_: [*all_[:5], all_[6], all_[5], *all_[7:]],
        5,
        Flaw.OUT_OF_ORDER,
    ),
    "two records change places and numbers": (
        lambda all_: [
            *all_[:5],
            all_[6].replace(b'"seq":6', b'"seq":5'),
            all_[5].replace(b'"seq":5', b'"seq":6'),
            *all_[7:],
        ],
        5,
        Flaw.CHANGED,
    ),
    "a record is dropped": (lambda all_: [*all_[:5], *all_[6:]], 5, Flaw.OUT_OF_ORDER),
    "a record is there twice": (
        lambda all_: [*all_[:6], all_[5], *all_[6:]],
        6,
        Flaw.OUT_OF_ORDER,
    ),
    "the end is cut off": (lambda all_: all_[:-1], 19, Flaw.TRUNCATED),
    "all is cut off": (lambda _: [], 0, Flaw.TRUNCATED),
    "the last line is half there": (
        lambda all_: [*all_[:-1], all_[-1][:-9]],
        19,
        Flaw.HALF_WRITTEN,
    ),
    "a line that is none": (lambda all_: [*all_[:3], b"nothing\n", *all_[3:]], 3, Flaw.MALFORMED),
    "an empty line": (lambda all_: [*all_[:3], b"\n", *all_[3:]], 3, Flaw.MALFORMED),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_first_bad_record_is_named(tmp_path: Path, name: str) -> None:
    anchor = made(tmp_path / "log")
    change, record, flaw = TAMPERINGS[name]
    (tmp_path / "log" / LOG_FILE).write_bytes(b"".join(change(lines(tmp_path / "log"))))
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Broken)
    assert (found.record, found.flaw) == (record, flaw)


def rewritten(folder: Path, key: bytes, changed: int) -> None:
    """Change a record, and seal it and all that follow anew."""
    *good, last = lines(folder)[:changed]
    data, read = b"".join([*good, last]), read_line(last)
    assert read is not None
    before = read.seal
    for number, line in enumerate(lines(folder)[changed:], changed):
        read = read_line(line)
        assert read is not None
        body = read.body.replace(b"agent", b"ghost") if number == changed else read.body
        before = seal_of(key, before, number, body)
        data += line_of(body, number, before)
    (folder / LOG_FILE).write_bytes(data)


def test_chain_that_was_recomputed_without_the_key_is_found_at_its_first_record(
    tmp_path: Path,
) -> None:
    anchor = made(tmp_path / "log")
    rewritten(tmp_path / "log", bytes(32), 12)
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Broken)
    assert (found.record, found.flaw) == (12, Flaw.CHANGED)


def test_chain_that_was_recomputed_with_the_key_is_found_by_the_head_kept_elsewhere(
    tmp_path: Path,
) -> None:
    """Even the anchor's own key, in the wrong hands, does not make yesterday another."""
    anchor = made(tmp_path / "log")
    kept = heads(tmp_path / "log")[-1]
    rewritten(tmp_path / "log", anchor.first_key, 12)
    (tmp_path / "log" / HEADS_FILE).write_text("")
    assert isinstance(checked(tmp_path / "log", anchor), Verified)
    found = checked(tmp_path / "log", anchor, kept)
    assert isinstance(found, Broken)
    assert (found.record, found.last, found.flaw) == (0, 19, Flaw.REWRITTEN)


def test_heads_beside_the_log_narrow_down_what_was_rewritten(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    rewritten(tmp_path / "log", anchor.first_key, 12)
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Broken)
    assert (found.record, found.last, found.flaw) == (10, 19, Flaw.REWRITTEN)
    assert str(found) == "records 10 to 19: rewritten"


def heads_anew(folder: Path, log: str, sizes: Iterable[int]) -> list[str]:
    """Sign heads over what is there now, with the key that lies beside it."""
    key = SigningKey.from_jwk(json.loads((folder / SEAL_FILE).read_bytes())["signer"])
    tree, signed = Tree(), []
    for line in lines(folder):
        tree.add(line)
        if tree.size in sizes:
            head = Head(log=log, size=tree.size, root=tree.root(), time=1_800_000_000)
            signed.append(sign_head(key, head))
    return signed


@pytest.mark.parametrize("sizes", [(), (10, 20), (20,), range(1, 21)], ids=str)
@pytest.mark.parametrize("left", [True, False], ids=["old heads left", "old heads gone"])
@pytest.mark.parametrize("changed", [1, 4, 9, 10, 12, 19])
def test_heads_that_were_signed_anew_do_not_mislead_who_kept_one_elsewhere(
    tmp_path: Path, *, changed: int, left: bool, sizes: Iterable[int]
) -> None:
    """Who has stolen the keys signs heads over the rewritten log, and those hold."""
    anchor = made(tmp_path / "log")
    first, last = heads(tmp_path / "log")
    rewritten(tmp_path / "log", anchor.first_key, changed)
    beside = heads_anew(tmp_path / "log", anchor.log, sizes)
    beside += [first, last] if left else []
    (tmp_path / "log" / HEADS_FILE).write_text("\n".join(beside))
    for kept in ((last,), (first, last)):
        found = checked(tmp_path / "log", anchor, *kept)
        assert isinstance(found, Broken)
        assert found.flaw is Flaw.REWRITTEN
        assert found.last is not None
        assert found.record <= changed <= found.last


def test_a_head_kept_elsewhere_goes_before_one_that_was_put_beside_the_log(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    kept = heads(tmp_path / "log")[-1]
    key = SigningKey.from_jwk(json.loads((tmp_path / "log" / SEAL_FILE).read_bytes())["signer"])
    lie = sign_head(key, Head(log=anchor.log, size=20, root=bytes(32), time=1_800_000_000))
    (tmp_path / "log" / HEADS_FILE).write_text(lie)
    assert isinstance(checked(tmp_path / "log", anchor), Broken)
    assert isinstance(checked(tmp_path / "log", anchor, kept), Verified)


def test_log_that_was_replaced_as_a_whole_is_found_by_the_head_kept_elsewhere(
    tmp_path: Path,
) -> None:
    anchor = made(tmp_path / "log")
    kept = heads(tmp_path / "log")[-1]
    made(tmp_path / "other")
    for name in (LOG_FILE, HEADS_FILE, SEAL_FILE):
        (tmp_path / "log" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    assert isinstance(checked(tmp_path / "log", anchor, kept), Broken)


@pytest.mark.parametrize("beside", ["", "not a head", "a.b.c"])
def test_head_that_is_relied_on_must_be_one(tmp_path: Path, beside: str) -> None:
    anchor = made(tmp_path / "log")
    other = made(tmp_path / "other")
    assert isinstance(checked(tmp_path / "log", anchor, beside), Broken)
    foreign = checked(tmp_path / "log", anchor, heads(tmp_path / "other")[-1])
    assert isinstance(foreign, Broken)
    assert foreign.flaw is Flaw.BAD_HEAD
    assert isinstance(checked(tmp_path / "log", other), Broken)


def test_heads_that_cannot_be_read_beside_the_log_do_not_break_it(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    (tmp_path / "log" / HEADS_FILE).write_text("rubbish\n\nmore.of.it\n")
    assert isinstance(checked(tmp_path / "log", anchor), Verified)


def test_head_of_another_log_or_kind_is_refused() -> None:
    key = SigningKey.generate("ES256")
    anchor = Anchor(log="a", public_jwk=key.public_jwk(), first_key=bytes(32))
    head = Head(log="a", size=3, root=bytes(32), time=1_800_000_000)
    assert read_head(sign_head(key, head), anchor) == head
    elsewhere = sign_head(key, Head(log="b", size=3, root=bytes(32), time=1))
    assert read_head(elsewhere, anchor) == Refusal("another-log", "the head is of another log")
    token = key.sign({"log": "a", "size": 3, "root": "AA", "iat": 1}, typ="at+jwt")
    assert isinstance(read_head(token, anchor), Refusal)
    for size in (-1, True, "3", 1.5, None):
        claims = {"log": "a", "size": size, "root": "AA", "iat": 1}
        assert isinstance(read_head(key.sign(claims, typ="audit-head+jwt"), anchor), Refusal)


def test_anchor_survives_its_file_and_shows_no_key() -> None:
    key = SigningKey.generate("ES256")
    anchor = Anchor(log="a", public_jwk=key.public_jwk(), first_key=bytes(range(32)))
    assert read_anchor(json.dumps(anchor.to_json())) == anchor
    assert "first_key" not in repr(anchor)
    for broken in ("[]", "{}", '{"log": "a", "public_jwk": {}, "first_key": "AA"}', "no"):
        with pytest.raises(ValueError):  # noqa: PT011 - whichever member it is
            read_anchor(broken)


# Crashes and full disks


def test_half_written_line_goes_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    with (tmp_path / "log" / LOG_FILE).open("ab") as file:
        file.write(b'{"number":20,"who"')
    with AuditLog(tmp_path / "log", CLOCK) as log:
        assert log.size == 20
        assert log.append(events(1)) == 21
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Verified)
    assert found.size == 21


def test_log_whose_end_was_changed_does_not_open(tmp_path: Path) -> None:
    made(tmp_path / "log")
    changed = [*lines(tmp_path / "log")[:-1], b'{"number":19,"seq":19,"seal":"%s"}\n' % (b"0" * 32)]
    (tmp_path / "log" / LOG_FILE).write_bytes(b"".join(changed))
    with pytest.raises(LogTamperedError, match="record 19: its seal does not hold"):
        AuditLog(tmp_path / "log", CLOCK)


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_log_whose_end_was_cut_off_does_not_open(tmp_path: Path, cut: int) -> None:
    made(tmp_path / "log")
    (tmp_path / "log" / LOG_FILE).write_bytes(b"".join(lines(tmp_path / "log")[:-cut]))
    with pytest.raises(LogTamperedError, match=f"record {20 - cut}: .* a head says 20 records"):
        AuditLog(tmp_path / "log", CLOCK)


def test_log_that_was_rewritten_with_its_own_key_does_not_open(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    rewritten(tmp_path / "log", anchor.first_key, 12)
    with pytest.raises(LogTamperedError, match="record 20: a head says something else"):
        AuditLog(tmp_path / "log", CLOCK)


def test_each_byte_of_what_the_writer_keeps_beside_the_log_counts(tmp_path: Path) -> None:
    """Damage would have the next records blamed, or be signed for another log."""
    made(tmp_path / "log")
    kept = (tmp_path / "log" / SEAL_FILE).read_bytes()
    name = kept.index(b'"digest"')
    for place in range(0, len(kept), 3):
        if name <= place < name + len(b'"digest"'):
            continue  # without one it is a file of an older release
        damaged = kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :]
        (tmp_path / "log" / SEAL_FILE).write_bytes(damaged)
        with pytest.raises(ValueError, match="or a damaged file"):
            AuditLog(tmp_path / "log", CLOCK)


@pytest.mark.parametrize("kept", [b"", b"[]", b"null", b"5", b"{}", b"[" * 100_000, b"\xff\x00"])
def test_what_the_writer_keeps_must_be_that(tmp_path: Path, kept: bytes) -> None:
    made(tmp_path / "log")
    (tmp_path / "log" / SEAL_FILE).write_bytes(kept)
    with pytest.raises(ValueError, match=r"seal\.json: expected what the log's writer keeps"):
        AuditLog(tmp_path / "log", CLOCK)


def test_what_an_older_release_has_kept_still_opens(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    kept = json.loads((tmp_path / "log" / SEAL_FILE).read_bytes())
    del kept["digest"]
    (tmp_path / "log" / SEAL_FILE).write_text(json.dumps(kept))
    with AuditLog(tmp_path / "log", CLOCK) as log:
        assert log.append(events(1)) == 21
    assert isinstance(checked(tmp_path / "log", anchor), Verified)


def test_a_head_begins_its_own_line_where_half_of_one_was_left(tmp_path: Path) -> None:
    anchor = made(tmp_path / "log")
    with (tmp_path / "log" / HEADS_FILE).open("ab") as file:
        file.write(b"eyJhbGciOi")
    with AuditLog(tmp_path / "log", CLOCK) as log:
        log.append(events(1))
        kept = log.head()
    *_, last = heads(tmp_path / "log")
    assert isinstance(read_head(last, anchor), Head)
    found = checked(tmp_path / "log", anchor, kept)
    assert isinstance(found, Verified)


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    log, _ = AuditLog.create(tmp_path / "log", CLOCK)
    with log, pytest.raises(LogBusyError):
        AuditLog(tmp_path / "log", CLOCK)
    with pytest.raises(FileExistsError):
        AuditLog.create(tmp_path / "log", CLOCK)
    AuditLog(tmp_path / "log", CLOCK).close()


def test_log_that_could_not_be_opened_is_not_kept_from_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "log")

    def full(descriptor: int) -> None:
        del descriptor
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            AuditLog(tmp_path / "log", CLOCK)
    AuditLog(tmp_path / "log", CLOCK).close()


@pytest.mark.parametrize("fails", ["write", "fdatasync"])
def test_full_disk_refuses_and_the_log_goes_on_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    log, anchor = AuditLog.create(tmp_path / "log", CLOCK)
    with log:
        log.append(events(5))
        real = os.write

        def full(descriptor: int, data: Any = b"") -> int:  # noqa: ANN401 - as the real ones
            if fails == "write" and len(data) > 40:
                return real(descriptor, bytes(data)[:40])  # half of it, then no more
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, fails, full)
            for _ in range(2):
                with pytest.raises(LogDownError, match="No space left on device"):
                    log.append(events(3, 5))
                # half a line would pass for a tampering, if this were the end
                assert isinstance(checked(tmp_path / "log", anchor), Verified)
        assert log.append(events(2, 5)) == 7
    found = checked(tmp_path / "log", anchor)
    assert isinstance(found, Verified)
    assert [json.loads(line)["number"] for line in lines(tmp_path / "log")] == list(range(7))


@pytest.mark.parametrize("step", [1.0, 3600.0, -0.1, -3600.0])
def test_a_head_is_signed_however_the_clock_was_stepped(tmp_path: Path, step: float) -> None:
    clock = FixedClock(1_800_000_000.0)
    log, _ = AuditLog.create(tmp_path / "log", clock)
    with log:
        log.append(events(1))
        log.append(events(1, 1))
        assert len(heads(tmp_path / "log")) == 1
        clock.moment += step
        log.append(events(1, 2))
        assert len(heads(tmp_path / "log")) == 2


def test_many_at_once_are_all_there_once_and_each_in_its_own_order(tmp_path: Path) -> None:
    log, anchor = AuditLog.create(tmp_path / "log", CLOCK)
    acknowledged: list[int] = []

    def appends(thread: int) -> None:
        done = [log.append([{"thread": thread, "number": number}]) for number in range(8)]
        acknowledged.extend(done)

    threads = [threading.Thread(target=appends, args=(thread,)) for thread in range(64)]
    with log:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(acknowledged) == 64 * 8
    assert isinstance(checked(tmp_path / "log", anchor), Verified)
    read = [json.loads(line) for line in lines(tmp_path / "log")]
    assert len(read) == 64 * 8
    for name in range(64):
        assert [e["number"] for e in read if e["thread"] == name] == list(range(8))


# What goes in


@pytest.mark.parametrize(
    "event",
    [{}, {"seq": 1}, {"seal": "x"}, {"a": float("nan")}, {"a": object()}, {"a": "x" * (1 << 20)}],
    ids=["empty", "seq", "seal", "nan", "object", "long"],
)
def test_event_that_is_none_is_refused_with_all_that_came_with_it(
    tmp_path: Path, event: dict[str, Any]
) -> None:
    log, _ = AuditLog.create(tmp_path / "log", CLOCK)
    with log:
        with pytest.raises(BodyError):
            log.append([{"good": 1}, event])
        assert log.size == 0
        assert log.append([{"good": 1}]) == 1


def test_no_token_and_no_line_break_gets_in(tmp_path: Path) -> None:
    token = SigningKey.generate("ES256").sign({"sub": "x"}, typ="JWT")
    log, anchor = AuditLog.create(tmp_path / "log", CLOCK)
    forged = 'x"}\n{"seq":1,"seal":"00","outcome":"allow"}'
    with log:
        log.append([{"agent": token, "said": forged}])
    (line,) = lines(tmp_path / "log")
    assert token.encode() not in line
    assert b"[token]" in line
    assert json.loads(line)["said"] == forged
    assert isinstance(checked(tmp_path / "log", anchor), Verified)


JWT = SigningKey.generate("ES256").sign({"sub": "x"}, typ="JWT")
SECRETS = {
    "a JWT": JWT,
    # in parts, so that no scanner finds a secret in this file
    "a service token of OpenBao": "s." + "Vx7Nq2Lw9RkTz4PbHm6YcJd8",
    "a token of Vault": "hvs." + "CAESIJlU9JMYEhOPYv4igdhm9PnZDrabYTobQ4Ymnlq1qY-",
    "a token of Google": "ya29." + "c.b0Aaekm1KvX9Nq2Lw9RkTz4PbHm6YcJd8",
    "a private key": "-----BEGIN EC PRIVATE " + "KEY-----\nMHcCAQEEIB\nAoGCCqG\n-----END",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("before", ["", " ", "\n", "\x1b", '"', "\\", "Bearer ", "é", "/", "="])
def test_a_secret_is_kept_out_whatever_stands_before_it(
    tmp_path: Path, secret: str, before: str
) -> None:
    log, anchor = AuditLog.create(tmp_path / "log", CLOCK)
    with log:
        log.append([{"agent": f"{before}{secret}", "said": "after", f"{before}{secret}": 1}])
    (line,) = lines(tmp_path / "log")
    assert secret.split("\n")[-2 if "\n" in secret else 0].encode() not in line
    assert line.count(b"[token]") == 2
    assert json.loads(line)["said"] == "after"
    assert isinstance(checked(tmp_path / "log", anchor), Verified)


@pytest.mark.parametrize(
    "word",
    [
        "iam.serviceAccounts.generateAccessTokenForSomebodyElse",
        "services.AVeryLongNameOfAServiceOfOurs",
        "s.short",
        "hvs.short",
        "PRIVATE KEY-----",
        "eyJ",
    ],
)
def test_a_word_that_is_no_secret_stays(tmp_path: Path, word: str) -> None:
    log, _ = AuditLog.create(tmp_path / "log", CLOCK)
    with log:
        log.append([{"said": word}])
    (line,) = lines(tmp_path / "log")
    assert json.loads(line)["said"] == word


ODD: tuple[Any, ...] = (
    "a\u2028b\x85c",
    "\u009b2J\u202e",
    "\ud800",
    "\x1b[2J\x00",
    1 << 70,
    None,
    "null",
    1e300,
    [1.5, {"b": None}],
)


def test_odd_values_come_back_as_they_were_and_no_line_holds_more_than_ascii(
    tmp_path: Path,
) -> None:
    log, _ = AuditLog.create(tmp_path / "log", CLOCK)
    with log:
        log.append({"odd": odd, "key\u2028": 1} for odd in ODD)
    kept = (tmp_path / "log" / LOG_FILE).read_bytes()
    assert kept.isascii()
    assert not set(kept) & {*range(0x0A), *range(0x0B, 0x20)}
    assert [json.loads(line)["odd"] for line in kept.splitlines()] == list(ODD)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=8), plain, min_size=1).filter(
        lambda event: not {"seq", "seal"} & event.keys()
    ),
    st.integers(0, 2**62),
)
def test_body_comes_back_out_of_its_line(event: dict[str, Any], sequence: int) -> None:
    body = json.dumps(event, separators=(",", ":")).encode()
    seal = seal_of(bytes(32), FIRST, sequence, body)
    line = line_of(body, sequence, seal)
    read = read_line(line)
    assert read is not None
    assert (read.body, read.sequence, read.seal) == (body, sequence, seal)
    assert json.loads(line) == {**event, "seq": sequence, "seal": seal.hex()}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_log_that_verifies_or_names_a_record(data: bytes) -> None:
    anchor = Anchor(
        log="a", public_jwk=SigningKey.generate("ES256").public_jwk(), first_key=bytes(32)
    )
    found = verify(io.BytesIO(data), anchor)
    assert isinstance(found, Broken) or not data


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_tree_is_that_of_the_rfc(leaves: list[bytes]) -> None:
    """RFC 9162 section 2.1.1, by its definition."""
    from hashlib import sha256  # noqa: PLC0415

    def hashed(some: list[bytes]) -> bytes:
        if not some:
            return sha256(b"").digest()
        if len(some) == 1:
            return sha256(b"\0" + some[0]).digest()
        split = 1 << ((len(some) - 1).bit_length() - 1)
        return sha256(b"\1" + hashed(some[:split]) + hashed(some[split:])).digest()

    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    assert tree.root() == hashed(leaves)
    assert Tree(tree.size, tree.edge).root() == tree.root()
    assert bool(leaves) or tree.root() == EMPTY


def test_tree_of_another_edge_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 digests, got 1"):
        Tree(3, [bytes(32)])
