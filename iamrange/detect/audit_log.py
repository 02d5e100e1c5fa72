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
import json
import os
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from iamrange.detect.audit_chain import Chain
from iamrange.detect.audit_head import Anchor, Head, sign_head
from iamrange.detect.audit_seal import EPOCH, KEY_BYTES, BodyError, check_body, read_line
from iamrange.detect.audit_tree import Tree
from iamrange.detect.private_file import PRIVATE, replace_private, write_all
from iamrange.jose import SigningKey
from iamrange.jose.redact import without_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from iamrange.core.clock import Clock

LOG_FILE: Final = "audit.jsonl"
HEADS_FILE: Final = "heads.jws"
SEAL_FILE: Final = "seal.json"
LOCK_FILE: Final = "lock"
HEAD_SECONDS: Final = 1.0
"""How often a head is signed while events come; one more when the log is closed."""

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_AS_THEY_ARE: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_OURS: Final = frozenset({"seq", "seal"})


class LogDownError(Exception):
    """The log cannot take events now: none that was given is in it."""


class LogTamperedError(Exception):
    """The log's end does not hold: somebody else has written it."""


class LogBusyError(Exception):
    """Another process writes this log."""


@dataclass(frozen=True, slots=True)
class _State:
    """Where the log is after a record, and how many bytes of the file that is."""

    chain: Chain = field(repr=False)
    offset: int

    @property
    def size(self) -> int:
        """How many records that is."""
        return self.chain.tree.size


class AuditLog:
    """An open log. Threads may share it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Open a log that `create` made.

        Raises:
            LogBusyError: another process writes it.
            LogTamperedError: its end does not hold.
            OSError, ValueError: it cannot be read, or is no log.
        """
        self._folder = folder
        self._clock = clock
        self._descriptor = -1
        self._lock_descriptor = _locked(folder / LOCK_FILE)
        try:
            kept = json.loads((folder / SEAL_FILE).read_bytes())
            self.log: str = kept["log"]
            self._signer = SigningKey.from_jwk(kept["signer"])
            self._durable = self._recovered(_state_of(kept))
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
    def create(cls, folder: Path, clock: Clock) -> tuple[Self, Anchor]:
        """Make a log in a folder, and return it with its anchor, which belongs elsewhere.

        Raises:
            FileExistsError: there is a log already.
            OSError: it cannot be made.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / SEAL_FILE).exists():
            raise FileExistsError(f"audit log: there is one in {folder} already")
        signer, first = SigningKey.generate("ES256"), secrets.token_bytes(KEY_BYTES)
        name = secrets.token_hex(8)
        start = _State(Chain(first), 0)
        replace_private(folder / LOG_FILE, b"")
        replace_private(folder / HEADS_FILE, b"")
        replace_private(folder / SEAL_FILE, _kept(name, signer, start))
        anchor = Anchor(log=name, public_jwk=signer.public_jwk(), first_key=first)
        return cls(folder, clock), anchor

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
        self._sealed = _State(chain, offset)

    def _flush(self) -> None:
        """Write and sync all that waits, for everybody who waits."""
        with self._sealing:
            lines, self._waiting = self._waiting, []
            target = self._sealed
        try:
            write_all(self._descriptor, b"".join(lines))
            os.fdatasync(self._descriptor)
        except OSError as error:
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
        if self._clock.now() - self._headed[1] >= HEAD_SECONDS:
            with contextlib.suppress(OSError):  # the next one says it too
                self._sign_head()

    def _restore(self) -> None:
        """Cut off what a failed write left.

        Raises:
            LogDownError: the disk is still down.
        """
        try:
            os.ftruncate(self._descriptor, self._durable.offset)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise LogDownError(f"audit log: {error.strerror}") from error
        self._down = False

    def _sign_head(self) -> str:
        state = self._durable
        now = self._clock.now()
        head = Head(log=self.log, size=state.size, root=state.chain.tree.root(), time=int(now))
        text = sign_head(self._signer, head)
        if state.size != self._headed[0]:
            with (self._folder / HEADS_FILE).open("ab") as file:
                file.write(f"{text}\n".encode())
        self._headed = (state.size, now)
        return text

    def _keep_key(self) -> None:
        """Put the key of now in the place of the one before."""
        path = self._folder / SEAL_FILE
        replace_private(path, _kept(self.log, self._signer, self._durable))

    def _recovered(self, start: _State) -> _State:
        """Read on from the last kept state to the end of what holds; open the file there."""
        path = self._folder / LOG_FILE
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            with open(descriptor, "rb", closefd=False) as file:
                file.seek(start.offset)
                state = _read_on(start, file)
            # without its end the last line was never acknowledged
            os.ftruncate(descriptor, state.offset)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return state


def _read_on(state: _State, lines: Iterable[bytes]) -> _State:
    chain, offset = state.chain.copy(), state.offset
    for line in lines:
        if not line.endswith(b"\n"):
            break
        size, read = chain.tree.size, read_line(line)
        if read is None or read.sequence != size:
            raise LogTamperedError(f"audit log: record {size}: it is not there")
        if not chain.takes(line, read):
            raise LogTamperedError(f"audit log: record {size}: its seal does not hold")
        offset += len(line)
    return _State(chain, offset)


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


def _kept(name: str, signer: SigningKey, state: _State) -> bytes:
    return json.dumps(
        {
            "log": name,
            "signer": signer.private_jwk(),
            "key": state.chain.key.hex(),
            "before": state.chain.before.hex(),
            "size": state.size,
            "offset": state.offset,
            "tree": [digest.hex() for digest in state.chain.tree.edge],
        }
    ).encode()


def _state_of(kept: Mapping[str, Any]) -> _State:
    tree = Tree(int(kept["size"]), [bytes.fromhex(digest) for digest in kept["tree"]])
    key, before = bytes.fromhex(kept["key"]), bytes.fromhex(kept["before"])
    return _State(Chain(key, before, tree), int(kept["offset"]))


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LogBusyError(f"audit log: another process writes {path.parent}") from error
    return descriptor
