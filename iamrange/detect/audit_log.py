"""The audit log's writer: append only, one writer, nothing acknowledged before it is on the disk.

- `append` returns when its events are durable. Who appends at the same time shares one fsync.
- A crash loses what nobody was told of, and nothing else; a line that was half written goes. A
  whole line that does not hold is no crash: the log does not open, and says which record it is.
- A disk that is full or gone is a `LogDownError` to everybody who was not acknowledged; the next
  append tries again.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from iamrange.detect.audit_chain import Chain
from iamrange.detect.audit_head import Anchor, Head, read_head, sign_head
from iamrange.detect.audit_rotation import Files, Rotation
from iamrange.detect.audit_seal import EPOCH, KEY_BYTES, BodyError, check_body
from iamrange.detect.audit_segments import LOG_FILE, SegmentedLog, segments
from iamrange.detect.audit_state import (
    SEAL_FILE,
    LogTamperedError,
    State,
    kept_of,
    read_kept,
    read_on,
)
from iamrange.detect.private_file import PRIVATE, read_regular, replace_private, write_all
from iamrange.jose import SigningKey
from iamrange.jose.redact import without_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from iamrange.core.clock import Clock

HEADS_FILE: Final = "heads.jws"
LOCK_FILE: Final = "lock"
HEAD_SECONDS: Final = 1.0
"""How often a head is signed while events come; one more when the log is closed."""

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_AS_THEY_ARE: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_OURS: Final = frozenset({"seq", "seal"})


class LogDownError(Exception):
    """The log cannot take events now: none that was given is in it."""


class LogBusyError(Exception):
    """Another process writes this log."""


class AuditLog:
    """An open log. Threads may share it."""

    def __init__(self, folder: Path, clock: Clock, rotation: Rotation = Rotation()) -> None:  # noqa: B008 - it is frozen
        """Open a log that `create` made.

        Raises:
            LogBusyError: another process writes it.
            LogTamperedError: its end does not hold.
            OSError, ValueError: it cannot be read, or is no log.
        """
        self._folder = folder
        self._clock = clock
        self._rotation = rotation
        self._descriptor = -1
        self._lock_descriptor = _locked(folder / LOCK_FILE)
        try:
            self.log, self._signer, start = read_kept((folder / SEAL_FILE).read_bytes())
            self._files = Files(folder, self.log, self._signer)
            self._files.repair()
            self._durable = self._recovered(start)
            self._keep_key()
        except BaseException:
            self._close()
            raise
        self._sealed = self._durable
        self._waiting: list[bytes] = []
        self._generation = 0
        self._down = False
        self._epoch = self._durable.size // EPOCH
        self._headed = (0, 0.0)
        self._sealing = threading.Lock()
        self._flushing = threading.Lock()

    @classmethod
    def create(
        cls,
        folder: Path,
        clock: Clock,
        rotation: Rotation = Rotation(),  # noqa: B008 - it is frozen
    ) -> tuple[Self, Anchor]:
        """Make a log in a folder, and return it with its anchor, which belongs elsewhere.

        Raises:
            FileExistsError: there is a log already.
            LogBusyError: another process makes or writes one there.
            OSError: it cannot be made.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_another(folder)
        lock = _locked(folder / LOCK_FILE)
        try:
            anchor = _created(folder)
        finally:
            os.close(lock)
        return cls(folder, clock, rotation), anchor

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def size(self) -> int:
        """How many records are durable."""
        return self._durable.size

    def append(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Append events, in their order; return the log's size once they are durable.

        Raises:
            BodyError: an event is none; none of them is in the log.
            LogDownError: the disk does not take them.
        """
        bodies = [_body(event) for event in events]
        with self._sealing:
            if self._down:
                self._restore()
            generation = self._generation
            self._seal(bodies)
            mine = self._sealed.size
        with self._flushing:
            if self._generation != generation:
                raise LogDownError("audit log: the disk did not take the events")
            if self._durable.size < mine:
                self._flush()
        return mine

    def head(self) -> str:
        """Sign the head of what is durable, keep it beside the log, and return it."""
        with self._flushing:
            return self._sign_head()

    def close(self) -> None:
        """Sign a last head, and close. May be called again."""
        with self._flushing:
            if self._descriptor < 0:
                return
            with contextlib.suppress(OSError):
                self._sign_head()
            self._close()

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._lock_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock_descriptor = -1

    def _seal(self, bodies: list[bytes]) -> None:
        chain, offset = self._sealed.chain.copy(), self._sealed.offset
        for body in bodies:
            line = chain.sealed(body)
            self._waiting.append(line)
            offset += len(line)
        self._sealed = State(chain, offset)

    def _flush(self) -> None:
        """Write and sync all that waits, for everybody who waits."""
        with self._sealing:
            lines, self._waiting = self._waiting, []
            target = self._sealed
        try:
            if self._files.due(self._durable, self._rotation, self._clock.now()):
                self._put_aside()
            write_all(self._descriptor, b"".join(lines))
            os.fdatasync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next append does it
                self._cut_off()
            with self._sealing:
                # whoever has sealed meanwhile was built upon what is not there
                self._generation += 1
                self._waiting.clear()
                self._sealed = self._durable
                self._down = True
            raise LogDownError(f"audit log: {error.strerror}") from error
        self._durable = target
        if target.size // EPOCH != self._epoch:
            with contextlib.suppress(OSError):  # the key before stays, until the next time
                self._keep_key()
                self._epoch = target.size // EPOCH
        # a clock that was stepped back is no reason to wait
        if not 0 <= self._clock.now() - self._headed[1] < HEAD_SECONDS:
            with contextlib.suppress(OSError):  # the next one says it too
                self._sign_head()

    def _restore(self) -> None:
        """Cut off what a failed write left.

        Raises:
            LogDownError: the disk is still down.
        """
        try:
            self._cut_off()
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise LogDownError(f"audit log: {error.strerror}") from error
        self._down = False

    def _cut_off(self) -> None:
        os.ftruncate(self._descriptor, self._durable.offset - self._files.begins)

    def _sign_head(self) -> str:
        state = self._durable
        now = self._clock.now()
        head = Head(log=self.log, size=state.size, root=state.chain.tree.root(), time=int(now))
        text = sign_head(self._signer, head)
        if state.size != self._headed[0]:
            with (self._folder / HEADS_FILE).open("a+b") as file:
                # a full disk may have left half of one: this one begins its own line
                whole = (
                    file.seek(0, os.SEEK_END) == 0
                    or os.pread(file.fileno(), 1, file.tell() - 1) == b"\n"
                )
                file.write(f"{'' if whole else chr(10)}{text}\n".encode())
        self._headed = (state.size, now)
        return text

    def retire(self, keep: int) -> int:
        """Delete all but the newest `keep` files that were put aside; return the first record kept.

        What is left says, signed, that this was done on purpose, and what was there.

        Raises:
            OSError: the disk does not take it; nothing was deleted that is not stated.
        """
        with self._flushing:
            self._keep_key()  # who opens the log reads on from what is kept
            done = self._files.retire(keep, self._clock.now())
            if done is not None:
                self._drop_heads(done.size)
            found = segments(self._folder)
            return found[0].first if found else self._files.first

    def _put_aside(self) -> None:
        """Go on in a file of its own; what is durable lies in the one that is put aside."""
        with contextlib.suppress(OSError):
            self._sign_head()
        began = self._files.first
        written = self._descriptor
        self._descriptor = self._files.put_aside(self._durable, self._clock.now(), written)
        with contextlib.suppress(OSError):  # the next time will do
            os.close(written)
            self._keep_key()
            self._drop_heads(began, self._files.first)
            if self._rotation.keep is not None:
                done = self._files.retire(self._rotation.keep, self._clock.now())
                if done is not None:
                    self._drop_heads(done.size)

    def _drop_heads(self, first: int, last: int | None = None) -> None:
        """Leave out heads before `first`; or, with `last`, those between the two."""
        path = self._folder / HEADS_FILE
        anchor = self._public()
        kept = []
        for text in path.read_text(errors="replace").splitlines():
            head = read_head(text, anchor)
            if not isinstance(head, Head):
                continue
            gone = head.size < first if last is None else first < head.size < last
            if not gone:
                kept.append(f"{text}\n")
        replace_private(path, "".join(kept).encode())

    def _keep_key(self) -> None:
        """Put the key of now in the place of the one before."""
        path = self._folder / SEAL_FILE
        replace_private(path, kept_of(self.log, self._signer, self._durable))

    def _last_head(self) -> Head | None:
        """Return the last head beside the log that can be read."""
        lines = reversed(heads_beside(self._folder))
        found = (read_head(text, self._public()) for text in lines if text.strip())
        return next((head for head in found if isinstance(head, Head)), None)

    def _public(self) -> Anchor:
        """Return what heads are read by; it has no sealing key."""
        return Anchor(log=self.log, public_jwk=self._signer.public_jwk(), first_key=b"")

    def _recovered(self, start: State) -> State:
        """Read on from the last kept state to the end of what holds; open the file there."""
        raw = SegmentedLog(self._folder, *self._files.kept_from())
        with io.BufferedReader(raw) as log:
            if log.seek(0, os.SEEK_END) < start.offset:
                raise LogTamperedError(f"audit log: record {start.size - 1}: it is not there")
            log.seek(start.offset)
            state, begins = read_on(start, log, self._last_head()), raw.active_start
        if state.offset < begins:
            raise LogTamperedError(f"audit log: record {state.size}: it has no end")
        self._descriptor = os.open(self._folder / LOG_FILE, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        # without its end the last line was never acknowledged
        os.ftruncate(self._descriptor, state.offset - begins)
        self._files.opened(begins, state, self._clock.now())
        return state


def heads_beside(folder: Path) -> list[str]:
    """Return the signed heads that lie beside a log, none if they cannot be read. Unchecked."""
    try:
        return read_regular(folder / HEADS_FILE).decode(errors="replace").splitlines()
    except OSError:
        return []


def _refuse_another(folder: Path) -> None:
    if (folder / SEAL_FILE).exists():
        raise FileExistsError(f"audit log: there is one in {folder} already")


def _created(folder: Path) -> Anchor:
    """Write the files of a log that has no record yet.

    Raises:
        FileExistsError: there is a log already.
        OSError: it cannot be made.
    """
    _refuse_another(folder)
    signer, first = SigningKey.generate("ES256"), secrets.token_bytes(KEY_BYTES)
    name = secrets.token_hex(8)
    replace_private(folder / LOG_FILE, b"")
    replace_private(folder / HEADS_FILE, b"")
    replace_private(folder / SEAL_FILE, kept_of(name, signer, State(Chain(first), 0)))
    return Anchor(log=name, public_jwk=signer.public_jwk(), first_key=first)


def _body(event: Mapping[str, Any]) -> bytes:
    if _OURS & event.keys():
        raise BodyError("audit event: seq and seal are the log's own members")
    try:
        body = without_tokens(_encoded(event))
    except (TypeError, ValueError, RecursionError) as error:
        raise BodyError(f"audit event: expected plain values ({type(error).__name__})") from None
    check_body(body)
    return body


def _encoded(event: Mapping[str, Any]) -> bytes:
    """Encode an event as ASCII, so that no reader sees a line's end or a terminal's command in it.

    orjson is ten times as fast; what it would write as it is, or as null, the encoder beside it
    escapes or refuses.
    """
    with contextlib.suppress(orjson.JSONEncodeError):
        fast = orjson.dumps(event, option=_AS_THEY_ARE)
        if fast.isascii() and b"null" not in fast:
            return fast
    return _ENCODER.encode(event).encode()


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LogBusyError(f"audit log: another process writes {path.parent}") from error
    return descriptor
