"""Run a scan over all cores: trees, histories, indexes, in batches that workers read and judge.

- A worker opens what it reads itself, and answers with findings: no secret comes back, except to a
  live check, which needs it.
- A worker that dies breaks the scan: what it had would be missing in silence.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.credentials.scan import git as scan_git
from iamrange.credentials.scan.document import Origin, merged, scan_bytes
from iamrange.credentials.scan.files import exists, scan_file, walk
from iamrange.credentials.scan.finding import Hasher, NotRead, Scan, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_SIZE: Final = 16 << 20
"""Bytes of one file that are read by default."""

_BATCH_BYTES: Final = 2 << 20
_BATCH_FILES: Final = 400
_BATCH_BLOBS: Final = 400
_WAITING: Final = 4


class NothingToScanError(Exception):
    """A path does not exist, or is a link; the text names it."""


class BrokenScanError(Exception):
    """A worker died, with what it had read; the text says the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to scan and how. `key` is that of the hashes; `keep` keeps secrets for a live check."""

    paths: tuple[str, ...]
    key: bytes = field(repr=False)
    history: bool = False
    staged: bool = False
    exclude: tuple[str, ...] = ()
    most: int = MAX_SIZE
    jobs: int = 1
    keep: bool = False


@dataclass(frozen=True, slots=True)
class _Files:
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Blobs:
    repository: str
    blobs: tuple[scan_git.Blob, ...]
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Texts:
    texts: tuple[tuple[str, Origin], ...]


_Batch = _Files | _Blobs | _Texts


def run(options: Options, hear: Callable[[str], None] = lambda _: None) -> Scan:
    """Scan; `hear` is told how far it is.

    Raises:
        NothingToScanError: a path is none.
        BrokenScanError: a worker died.
        GitError: history or index were asked for, and git or the repository is not there.
    """
    for path in options.paths:
        if not exists(path):
            raise NothingToScanError(f"'{path}': expected a file or a folder, no symbolic link")
    scan = Scan()
    batches = _batches(options, scan, hear)
    if options.jobs == 1:
        for batch in batches:
            scan.take(_work(batch, options))
    else:
        try:
            _side_by_side(batches, options, scan, hear)
        except BrokenProcessPool:
            raise BrokenScanError(
                "a worker of the scan was ended from outside, as when memory runs out: nothing is "
                "said of what it read; way out: --jobs 1, or a smaller --max-size"
            ) from None
    scan.findings = merged(scan.findings)
    return scan


def _side_by_side(
    batches: Iterator[_Batch], options: Options, scan: Scan, hear: Callable[[str], None]
) -> None:
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting: set[Future[Scan]] = set()
        told = 0
        for batch in batches:
            waiting.add(pool.submit(_work, batch, options))
            if len(waiting) >= options.jobs * _WAITING:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    scan.take(future.result())
            if scan.size - told > _TELL_EVERY:
                told = scan.size
                hear(f"{scan.files} files, {scan.blobs} blobs, {scan.size >> 20} MiB read")
        for future in waiting:
            scan.take(future.result())


_TELL_EVERY: Final = 64 << 20


def _batches(options: Options, scan: Scan, hear: Callable[[str], None]) -> Iterator[_Batch]:
    for path in options.paths:
        if options.staged:
            yield from _of_git(path, scan_git.staged(path), scan, keep=_INDEX)
            continue
        bare = options.history and scan_git.is_bare(path)
        if not bare:
            yield from _of_tree(path, options, scan)
        if options.history:
            hear(f"{path}: reading the history")
            read = scan_git.history(path)
            hear(f"{path}: {read.commits} commits, {len(read.blobs)} blobs")
            scan.commits += read.commits
            yield from _of_git(path, read, scan)
            for at in range(0, len(read.messages), _BATCH_FILES):
                yield _Texts(tuple(read.messages[at : at + _BATCH_FILES]))


_INDEX: Final = ("GIT_INDEX_FILE", "GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY")


def _of_tree(path: str, options: Options, scan: Scan) -> Iterator[_Files]:
    batch: list[str] = []
    size = 0
    for file, length in walk(path, options.exclude, scan):
        batch.append(file)
        size += length
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield _Files(tuple(batch))
            batch, size = [], 0
    if batch:
        yield _Files(tuple(batch))


def _of_git(
    path: str, read: scan_git.History, scan: Scan, keep: tuple[str, ...] = ()
) -> Iterator[_Blobs]:
    scan.not_read += read.not_read
    scan.skipped.update(Counter({Skipped.SYMLINK: read.links}))
    blobs = [scan_git.Blob(oid, origin) for oid, origin in read.blobs.items()]
    for at in range(0, len(blobs), _BATCH_BLOBS):
        yield _Blobs(path, tuple(blobs[at : at + _BATCH_BLOBS]), keep)


def _work(batch: _Batch, options: Options) -> Scan:
    """Read and judge one batch: in a worker's process."""
    scan = Scan()
    hasher = Hasher(options.key)
    match batch:
        case _Files(paths):
            for path in paths:
                scan.take(scan_file(path, options.most, hasher, keep=options.keep))
        case _Texts(texts):
            for text, origin in texts:
                content = text.encode("utf-8", "surrogateescape")
                scan.take(scan_bytes(content, origin, hasher, keep=options.keep))
        case _Blobs(repository, blobs, keep):
            read = scan_git.contents(repository, blobs, options.most, keep)
            for blob, answer in read:
                if isinstance(answer, NotRead):
                    scan.not_read.append(answer)
                else:
                    scan.take(scan_bytes(answer, blob.origin, hasher, keep=options.keep))
                    scan.blobs += 1
    return scan


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
