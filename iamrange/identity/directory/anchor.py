"""Where the newest head is remembered outside the database, so that an old copy of it is known.

- An anchor only rises. It is raised after the commit: a crash between leaves it behind, which
  is safe, and never ahead.
- Readers read it *before* they read the head: a head may then be newer, never older.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from iamrange.identity.directory.errors import STORE
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mark:
    """A head's version and the SHA-256 of its document, in hex."""

    version: int
    digest: str


class Anchor(Protocol):
    """Remembers the newest head, somewhere that the database's writer cannot reach.

    `durable` tells that it outlives the process: that it knows nothing of a directory which has
    changed is then no beginning, but a loss.
    """

    durable: bool

    def read(self) -> Mark | None:
        """Return the newest mark, or None before the first.

        Raises:
            StoreDownError: it cannot be known.
        """
        ...

    def raise_to(self, mark: Mark) -> None:
        """Remember this mark, unless a newer one is there.

        Raises:
            StoreDownError: it cannot be kept.
        """
        ...


class MemoryAnchor:
    """Remembers for this process only; a restart forgets."""

    durable = False

    def __init__(self) -> None:
        """Start with none."""
        self._mark: Mark | None = None

    def read(self) -> Mark | None:
        """Return the newest mark."""
        return self._mark

    def raise_to(self, mark: Mark) -> None:
        """Remember this mark, unless a newer one is there."""
        if self._mark is None or mark.version > self._mark.version:
            self._mark = mark


class FileAnchor:
    """Remembers in a file, shared by all processes on this machine."""

    durable = True

    def __init__(self, path: Path) -> None:
        """Take the file's path; its folder is made."""
        self._path = path
        self._seen: tuple[tuple[int, int, int], Mark] | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> Mark | None:
        """Return the newest mark.

        Raises:
            StoreDownError: the file cannot be read, or is gone though it was here.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 - on the path of every lookup
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._seen is not None and self._seen[0] == stamp:
                return self._seen[1]
            value = json.loads(self._path.read_bytes())
            mark = Mark(int(value["version"]), str(value["digest"]))
        except FileNotFoundError:
            if self._seen is not None:
                raise StoreDownError(STORE, "the anchor file is gone") from None
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreDownError(STORE, f"anchor file: {type(error).__name__}") from None
        self._seen = (stamp, mark)
        return mark

    def raise_to(self, mark: Mark) -> None:
        """Remember this mark, unless a newer one is there.

        Raises:
            StoreDownError: it cannot be written.
        """
        try:
            with self._locked():
                before = self.read()
                if before is None or before.version < mark.version:
                    self._write(mark)
        except OSError as error:
            raise StoreDownError(STORE, f"anchor file: {type(error).__name__}") from None

    def forget(self) -> None:
        """Remember nothing: the operator has restored a backup, and knows it."""
        self._seen = None
        self._path.unlink(missing_ok=True)

    def _write(self, mark: Mark) -> None:
        draft = self._path.with_name(f"{self._path.name}.draft")
        with draft.open("w") as file:
            json.dump({"version": mark.version, "digest": mark.digest}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
