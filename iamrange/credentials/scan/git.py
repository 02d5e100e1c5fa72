"""Read a git repository that may be hostile: commits, tags, blobs, the index. Never its files.

- Only plumbing that prints objects is run, in the way of `git_command`; nothing of the repository's
  own runs. `tests/conformance/test_scan_git.py` holds it to that.
- Grafts and replacements are not followed: what is read is what the objects say.
- What git cannot read is said, and the rest is read.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from iamrange.credentials.scan.document import Origin
from iamrange.credentials.scan.finding import NotRead, Unread
from iamrange.credentials.scan.git_command import GitError, command, environment, short, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MESSAGE: Final = "(commit message)"
TAG: Final = "(tag message)"
_LINK, _SUBMODULE, _NONE = "120000", "160000", "000000"
_CHUNK: Final = 1 << 20
_BATCH: Final = 400


@dataclass(frozen=True, slots=True)
class Blob:
    """A version of a file, and what first brought it."""

    oid: str
    origin: Origin


@dataclass(slots=True)
class History:
    """What a repository's commits hold: each blob once, and the commits' messages."""

    blobs: dict[str, Origin]
    messages: list[tuple[str, Origin]]
    not_read: list[NotRead]
    commits: int = 0
    links: int = 0
    modules: set[str] = field(default_factory=set)


def top(repository: str) -> str:
    """Return the path from which a repository's file names count, in the words it was named by.

    Raises:
        GitError: it is no repository, or not one that git lets this user read.
    """
    prefix = told(repository, "rev-parse", "--show-prefix").strip("\n")
    up = os.path.join(repository, *[os.pardir] * prefix.count("/"))  # noqa: PTH118 - bytes kept
    return os.path.normpath(up)


def is_bare(repository: str) -> bool:
    """Tell whether a path is a repository's own folder, whatever its settings say of itself."""
    try:
        return told(repository, "rev-parse", "--git-dir").strip() == "."
    except GitError:
        return False


def history(repository: str) -> History:
    """Return each blob that a ref reaches, with the oldest commit that brought it.

    Raises:
        GitError: it is no repository.
    """
    root = top(repository)
    read = History(blobs={}, messages=[], not_read=[])
    arguments = command(
        repository, "log", "--all", "--raw", "-z", "--no-abbrev", "--no-renames", "--root", "-m",
        "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-color", "--no-decorate",
        "--full-history", "--ignore-submodules=none",
        "--format=tformat:commit%x00%H%x00%aI%x00%B%x00",
    )  # fmt: skip
    with tempfile.TemporaryFile() as complaints:  # a pipe that nobody reads would hold git up
        with subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            arguments, stdout=subprocess.PIPE, stderr=complaints, env=environment()
        ) as process:
            assert process.stdout is not None  # noqa: S101 - piped
            _read_log(_tokens(process.stdout), root, read)
        complaints.seek(0)
        complaint = complaints.read(_CHUNK).decode("utf-8", "replace")
    if process.returncode != 0:
        detail = f"git log ended early: {short(complaint)}"
        read.not_read.append(NotRead(path=root, reason=Unread.CORRUPT, detail=detail))
        _every_object(repository, root, read)
    _read_tags(repository, root, read)
    if told(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        detail = "a shallow clone: older commits are not there; git fetch --unshallow"
        read.not_read.append(NotRead(path=root, reason=Unread.HISTORY, detail=detail))
    return read


def staged(repository: str) -> History:
    """Return what the index holds that HEAD does not: what a commit would bring.

    Raises:
        GitError: it is no repository, or git could not compare.
    """
    root = top(repository)
    keep = ("GIT_INDEX_FILE", "GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
    try:
        head = told(repository, "rev-parse", "--verify", "--quiet", "HEAD^{tree}", keep=keep)
    except GitError:  # no commit yet: compare with the empty tree, whatever the hash's kind
        head = told(repository, "hash-object", "-t", "tree", os.devnull, keep=keep)
    text = told(
        repository, "diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames",
        "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", head.strip(), keep=keep,
    )  # fmt: skip
    read = History(blobs={}, messages=[], not_read=[])
    tokens = iter(text.split("\0"))
    for token in tokens:
        if token.startswith(":"):
            _entry(token, next(tokens, ""), root, Origin(path=""), read)
    return read


def contents(
    repository: str, blobs: Sequence[Blob], most: int, keep: Sequence[str] = ()
) -> Iterator[tuple[Blob, bytes | NotRead]]:
    """Yield the bytes of each blob, or why there are none.

    Raises:
        GitError: there is no git.
    """
    waiting = list(blobs)
    while waiting:
        answered = 0
        with subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            command(repository, "cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(keep),
        ) as process:
            assert process.stdin is not None  # noqa: S101 - piped
            assert process.stdout is not None  # noqa: S101 - piped
            process.stdin.write("".join(f"{blob.oid}\n" for blob in waiting).encode())
            process.stdin.close()
            for blob in waiting:
                content = _content(process.stdout, blob, most)
                if content is None:
                    break
                answered += 1
                yield blob, content
        if answered < len(waiting):
            broken = waiting[answered]
            yield broken, _corrupt(broken, "git cannot read this object")
            answered += 1
        waiting = waiting[answered:]


def _content(stream: IO[bytes], blob: Blob, most: int) -> bytes | NotRead | None:
    head = stream.readline().split()
    if head[1:] == [b"missing"]:
        return _corrupt(blob, "object is missing")
    if len(head) != 3:  # noqa: PLR2004 - oid, type, size
        return None
    size = int(head[2])
    if size > most:
        left = size + 1
        while left:
            got = len(stream.read(min(left, _CHUNK)))
            if not got:
                return None
            left -= got
        detail = f"{size} bytes; --max-size raises the limit"
        return NotRead(path=_named(blob), reason=Unread.TOO_LARGE, detail=detail)
    content = stream.read(size)
    return content if stream.read(1) == b"\n" and len(content) == size else None


def _corrupt(blob: Blob, detail: str) -> NotRead:
    return NotRead(path=_named(blob), reason=Unread.CORRUPT, detail=f"{blob.oid}: {detail}")


def _named(blob: Blob) -> str:
    origin = blob.origin
    return f"{origin.path} @{origin.commit[:12]}" if origin.commit else origin.path


def _read_log(tokens: Iterator[str], root: str, read: History) -> None:
    origin = Origin(path="")
    for token in tokens:
        word = token.lstrip("\n")
        if word == "commit":
            commit, date, message = next(tokens, ""), next(tokens, ""), next(tokens, "")
            if commit == origin.commit:
                continue  # a merge comes once for each parent
            origin = Origin(path=MESSAGE, commit=commit, date=date)
            read.commits += 1
            if message.strip():
                read.messages.append((message, origin))
        elif word.startswith(":"):
            _entry(word, next(tokens, ""), root, origin, read)


def _entry(raw: str, name: str, root: str, origin: Origin, read: History) -> None:
    """Note one changed path: `:MODE MODE OID OID STATUS`. The log goes back: the oldest stays."""
    parts = raw[1:].split(" ")
    if len(parts) != 5:  # noqa: PLR2004 - as git-diff(1) says
        return
    _, mode, _, oid, _ = parts
    path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118 - bytes kept
    if mode == _SUBMODULE:
        if path not in read.modules:
            read.modules.add(path)
            read.not_read.append(
                NotRead(path=path, reason=Unread.SUBMODULE, detail="not looked into")
            )
    elif mode == _LINK:
        read.links += 1
    elif mode != _NONE:
        read.blobs[oid] = Origin(path=path, commit=origin.commit, date=origin.date)


def _read_tags(repository: str, root: str, read: History) -> None:
    """Add what tags say, and what refs name that is no commit: the log tells of commits only."""
    try:
        listed = told(repository, "for-each-ref", "--format=%(objecttype) %(objectname) %(refname)")
    except GitError as error:
        read.not_read.append(NotRead(path=root, reason=Unread.CORRUPT, detail=str(error)))
        return
    named = [line.split(" ", 2) for line in listed.splitlines()]
    waiting = [(kind, oid, ref) for kind, oid, ref in named if kind != "commit"]
    seen = {oid for _, oid, _ in waiting}
    while waiting:
        now, waiting = waiting[:_BATCH], waiting[_BATCH:]
        tags = {oid: ref for kind, oid, ref in now if kind == "tag"}
        for kind, oid, ref in now:
            path = os.path.join(root, f"({kind} of {ref})")  # noqa: PTH118 - bytes kept
            if kind == "blob":
                read.blobs.setdefault(oid, Origin(path=path))
            elif kind == "tree":
                _read_tree(repository, oid, root, read)
        wanted = [Blob(oid, Origin(path=TAG, commit=oid)) for oid in tags]
        for blob, answer in contents(repository, wanted, _CHUNK):
            if isinstance(answer, NotRead):
                read.not_read.append(answer)
                continue
            head, _, message = answer.decode("utf-8", "surrogateescape").partition("\n\n")
            read.messages.append((message, blob.origin))
            about = dict(line.partition(" ")[::2] for line in head.split("\n"))
            oid, kind = about.get("object", ""), about.get("type", "commit")
            if kind != "commit" and oid not in seen:
                seen.add(oid)
                waiting.append((kind, oid, tags[blob.oid]))


def _read_tree(repository: str, tree: str, root: str, read: History) -> None:
    """Add the blobs of a tree that a ref names without a commit."""
    try:
        listed = told(repository, "ls-tree", "-r", "-z", "--full-tree", tree)
    except GitError as error:
        read.not_read.append(NotRead(path=root, reason=Unread.CORRUPT, detail=str(error)))
        return
    for line in listed.split("\0"):
        about, _, name = line.partition("\t")
        mode, _, oid = about.partition(" ")
        if oid and mode not in (_LINK, _SUBMODULE):
            path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118 - bytes kept
            read.blobs.setdefault(oid.split(" ")[-1], Origin(path=path))


def _every_object(repository: str, root: str, read: History) -> None:
    """Add the blobs that no log told of, since the log could not be read to its end."""
    try:
        listed = told(
            repository, "cat-file", "--batch-all-objects", "--unordered",
            "--batch-check=%(objecttype) %(objectname)",
        )  # fmt: skip
    except GitError as error:
        read.not_read.append(NotRead(path=root, reason=Unread.CORRUPT, detail=str(error)))
        return
    for line in listed.splitlines():
        kind, _, oid = line.partition(" ")
        if kind == "blob":
            read.blobs.setdefault(oid, Origin(path=os.path.join(root, f"(object {oid})")))  # noqa: PTH118 - bytes kept


def _tokens(stream: IO[bytes]) -> Iterator[str]:
    rest = b""
    while chunk := stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        for token in whole:
            yield token.decode("utf-8", "surrogateescape")
    if rest.strip():
        yield rest.decode("utf-8", "surrogateescape")
