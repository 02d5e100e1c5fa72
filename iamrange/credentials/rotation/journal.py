"""Where a rotation is, in a file that a crash leaves whole; and that there is one at a time.

- No value is in it: names and versions only.
- The lock is the kernel's, and goes with the process. It holds for one machine and journal folder:
  two machines that rotate one secret share a folder, or have one schedule.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iamrange.credentials.rotation.states import Rotation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIVATE = 0o600


class BusyError(Exception):
    """Another rotation of the same secret is under way."""


class JournalError(Exception):
    """The journal cannot be read or written; the message says which file."""


@dataclass(frozen=True, slots=True)
class Journal:
    """A folder of rotations, one file a secret."""

    folder: Path

    @contextlib.contextmanager
    def alone(self, secret: str) -> Iterator[None]:
        """Hold this secret while the block runs.

        Raises:
            BusyError: somebody else does.
            JournalError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(secret).with_suffix(".lock")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        except OSError as error:
            raise JournalError(f"journal '{self.folder}': {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BusyError(f"'{secret}' is being rotated by another process") from None
        try:
            yield
        finally:
            os.close(descriptor)

    def last(self, secret: str) -> Rotation | None:
        """Return the secret's last rotation, over or not.

        Raises:
            JournalError: its file is no rotation: nobody knows what is to be done.
        """
        path = self._path(secret)
        try:
            return Rotation.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise JournalError(f"journal '{path}': expected a rotation: {error}") from error

    def write(self, rotation: Rotation) -> None:
        """Keep where the rotation is; it is on the disk when this returns.

        Raises:
            JournalError: it could not be.
        """
        path = self._path(rotation.secret)
        new = path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
            with os.fdopen(descriptor, "w") as file:
                json.dump(rotation.to_json(), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise JournalError(f"journal '{path}': {error.strerror}") from error

    def _path(self, secret: str) -> Path:
        return self.folder / f"{sha256(secret.encode()).hexdigest()[:32]}.json"
