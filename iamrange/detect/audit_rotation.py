"""Putting files of the log aside, and deleting old ones on purpose: by their size, age and number.

- A crash at any moment leaves a log that opens: the next file is made, and the boundary signed,
  before the old file is renamed; a retirement is stated before anything is deleted.
- What a disk does not take here, the log does not take: nothing is decided unlogged.
- Of the heads beside the log those of a file that was put aside go but for its last, which covers
  the others.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.detect.audit_boundary import (
    BOUNDARY,
    RETIRED,
    Boundary,
    read_boundary,
    sign_boundary,
)
from iamrange.detect.audit_seal import MAX_LINE, read_line
from iamrange.detect.audit_segments import LOG_FILE, segment_name, segments
from iamrange.detect.private_file import (
    PRIVATE,
    NoFileError,
    read_regular,
    replace_private,
    write_all,
)
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.detect.audit_state import State
    from iamrange.jose import SigningKey

NEXT_FILE: Final = "audit.next"
BOUNDARIES_FILE: Final = "boundaries.jws"
RETIRED_FILE: Final = "retired.jws"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a file is put aside: at so many bytes, or after so many seconds of one writer.

    `keep` is how many files that were put aside stay; None: all do.
    """

    size: int = 64 << 20
    seconds: float = 86_400.0
    keep: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would put empty files aside.

        Raises:
            ValueError: a bound is none.
        """
        if self.size <= 0 or self.seconds <= 0 or (self.keep is not None and self.keep < 0):
            raise ValueError(f"rotation: expected positive bounds, got {self}")


class Files:
    """The files of a log that is written: which one is written to, and since when."""

    def __init__(self, folder: Path, log: str, signer: SigningKey) -> None:
        """Describe them; `opened` has to be told where the log is."""
        self._folder, self._log, self._signer = folder, log, signer
        self.first = self.begins = 0
        self._since = 0.0

    def kept_from(self) -> tuple[int, int]:
        """Return the number of the first record that is kept, and its offset.

        Raises:
            OSError: the statement of a retirement cannot be read.
        """
        text = retirement(self._folder)
        if text is None:
            return 0, 0
        found = read_boundary(text, self._log, self._signer.public_jwk(), RETIRED)
        return (0, 0) if isinstance(found, Refusal) else (found.size, found.offset)

    def repair(self) -> None:
        """Make the file that is written to, where a crash came between two renames.

        Raises:
            OSError: it cannot be made.
        """
        if not (self._folder / LOG_FILE).exists() and segments(self._folder):
            os.close(self._made(LOG_FILE))
        with contextlib.suppress(FileNotFoundError):
            (self._folder / NEXT_FILE).unlink()

    def opened(self, begins: int, state: State, now: float) -> None:
        """Hear at which offset the file that is written to begins, and where the log is."""
        with (self._folder / LOG_FILE).open("rb") as file:
            read = read_line(file.readline(MAX_LINE + 1))
        self.first = state.size if read is None else read.sequence
        self.begins, self._since = begins, now

    def due(self, state: State, rotation: Rotation, now: float) -> bool:
        """Tell whether the file is to be put aside; an empty one never is.

        Where the clock was stepped back the file's age counts from there.
        """
        written = state.offset - self.begins
        self._since = min(self._since, now)
        old = now - self._since >= rotation.seconds
        return written > 0 and (written >= rotation.size or old)

    def put_aside(self, state: State, now: float, written: int) -> int:
        """Put the file aside at a record that is durable; return the next one's descriptor.

        `written` is the descriptor of the file, which a try before may have renamed already.

        Raises:
            OSError: the disk does not take it; the next try goes on from wherever this one came.
        """
        descriptor = self._made(NEXT_FILE)
        log, aside = self._folder / LOG_FILE, self._folder / segment_name(self.first)
        try:
            self._sign(state, now)
            if not _is(aside, written):
                log.rename(aside)
            try:
                (self._folder / NEXT_FILE).rename(log)
                self._settle()
            except OSError:
                with contextlib.suppress(OSError):
                    aside.rename(log)
                raise
        except BaseException:
            os.close(descriptor)
            raise
        self.first, self.begins, self._since = state.size, state.offset, now
        return descriptor

    def retire(self, keep: int, now: float) -> Boundary | None:
        """Delete all but the newest `keep` files that were put aside; say from where on it is kept.

        Raises:
            OSError: a file cannot be written or deleted; who tries again goes on from there.
        """
        ended = segments(self._folder)
        if len(ended) <= keep:
            return None
        first = ended[len(ended) - keep].first if keep else self.first
        found = self._boundary_at(first)
        if found is None:
            raise OSError(
                errno.ENODATA,
                f"nothing that is signed says what was before record {first}: nothing was deleted",
                str(self._folder / BOUNDARIES_FILE),
            )
        said = Boundary(
            log=found.log,
            size=found.size,
            offset=found.offset,
            before=found.before,
            edge=found.edge,
            time=int(now),
        )
        text = sign_boundary(self._signer, said, RETIRED)
        replace_private(self._folder / RETIRED_FILE, f"{text}\n".encode())
        self._settle()
        for one in ended:
            if one.first < first:
                one.path.unlink()
        kept = [text for text, at in self._boundaries() if at.size >= first]
        replace_private(
            self._folder / BOUNDARIES_FILE, "".join(f"{one}\n" for one in kept).encode()
        )
        return said

    def _made(self, name: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._folder / name, flags, PRIVATE)
        os.fsync(descriptor)
        return descriptor

    def _sign(self, state: State, now: float) -> None:
        boundary = Boundary(
            log=self._log,
            size=state.size,
            offset=state.offset,
            before=state.chain.before,
            edge=state.chain.tree.edge,
            time=int(now),
        )
        text = sign_boundary(self._signer, boundary, BOUNDARY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._folder / BOUNDARIES_FILE, flags, PRIVATE)
        try:
            # a crash may have left half a line: this one begins its own
            write_all(descriptor, f"\n{text}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _boundaries(self) -> list[tuple[str, Boundary]]:
        try:
            lines = (self._folder / BOUNDARIES_FILE).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        public = self._signer.public_jwk()
        read = ((line, read_boundary(line, self._log, public, BOUNDARY)) for line in lines)
        return [(line, one) for line, one in read if not isinstance(one, Refusal)]

    def _boundary_at(self, size: int) -> Boundary | None:
        return next((one for _, one in self._boundaries() if one.size == size), None)

    def _settle(self) -> None:
        """Have the folder's own entries on the disk."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    """Tell whether a path leads to the file that a descriptor is of; False: to nothing.

    Raises:
        FileExistsError: it leads to another, which somebody has put in: it is not written over.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not os.path.samestat(found, os.fstat(descriptor)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return True


def retirement(folder: Path) -> str | None:
    """Return the statement of what was retired of a log, if anything was. Nothing was checked.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return read_regular(folder / RETIRED_FILE).decode(errors="replace")
    except NoFileError:
        return ""  # whatever it is: it states nothing
    except FileNotFoundError:
        return None
