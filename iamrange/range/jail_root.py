"""What a jailed process sees of the file system: a list of what is let in, and nothing else.

- A socket file is a way out that no network namespace closes, so the root is built from nothing:
  the world's folder, /run, /var and everybody's /tmp are not in it.
- Everything is read-only but what the order names as writable, and a /tmp of the jail's own.
  With root's own user id that matters beyond tidiness: /proc/sys and /etc are root's to write.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.range import jail_kernel as kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
ETC = (
    "alternatives",
    "ca-certificates",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "pki",
    "protocols",
    "services",
    "ssl",
)
"""Without resolv.conf: whoever asks for a name is refused at once, on the jail's own loopback."""

DEVICES = ("null", "zero", "full", "random", "urandom")
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
_OLD = "/.old"
_BASE = "/tmp"  # noqa: S108 - only as a mount point, in a mount namespace of our own
_TMPFS = "mode=0755,size=64m"


@dataclass(frozen=True, slots=True)
class Bind:
    """One piece of the host's tree, at its own path."""

    path: str
    writable: bool


def interpreter_paths() -> tuple[str, ...]:
    """Return what this interpreter and our own packages are read from."""
    packages = Path(__file__).resolve().parents[2]
    ours = [str(packages / name) for name in ("iamrange", "scenarios")]
    # an editable install has an entry there that is no path: the name of its import hook
    folders = [path for path in sys.path if path.startswith("/") and Path(path) != packages]
    return (sys.prefix, sys.base_prefix, *folders, *ours)


def plan(readable: Iterable[str], writable: Iterable[str]) -> tuple[Bind, ...]:
    """Return what is bound, outer before inner; a path that does not exist is left out.

    Raises:
        ValueError: a path is relative or the root itself, which would let everything in.
    """
    wanted: dict[str, bool] = {}
    for paths, write in ((readable, False), (writable, True)):
        for path in paths:
            for one in {os.path.normpath(path), os.path.realpath(path)}:
                if not path.startswith("/") or one == "/":
                    msg = f"jail path expected below the root and absolute, got '{path}'"
                    raise ValueError(msg)
                wanted[one] = wanted.get(one, False) or write
    binds: list[Bind] = []
    for path, write in sorted(wanted.items(), key=lambda item: item[0].split("/")):
        outer = next(
            (bind for bind in reversed(binds) if Path(path).is_relative_to(bind.path)), None
        )
        if Path(path).exists() and (outer is None or outer.writable != write):
            binds.append(Bind(path, write))
    return tuple(binds)


def build(binds: Iterable[Bind]) -> None:
    """Make the new root in this mount namespace, and go there. Needs a PID namespace's first.

    Raises:
        OSError: the kernel refused something; nothing may be run then.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("jail", _BASE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _TMPFS)
    old = _BASE + _OLD
    Path(old).mkdir(mode=0o700)
    kernel.pivot_root(_BASE, old)
    os.chdir("/")
    for folder in SYSTEM:
        _system(folder)
    _etc()
    _devices()
    _private("/tmp", "mode=1777,size=256m")  # noqa: S108 - the jail's own
    for bind in binds:
        _bind(bind.path, writable=bind.writable)
    Path("/proc").mkdir()
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", flags)
    kernel.read_only("/proc", recursive=True)
    kernel.detach(_OLD)
    Path(_OLD).rmdir()
    kernel.read_only("/", recursive=False)


def _system(folder: str) -> None:
    there = Path(_OLD + folder)
    if there.is_symlink():
        Path(folder).symlink_to(there.readlink())
    elif there.exists():
        _bind(folder, writable=False)


def _etc() -> None:
    Path("/etc").mkdir()
    Path("/etc/hosts").write_text(_HOSTS)
    for name in ETC:
        if Path(f"{_OLD}/etc/{name}").exists():
            _bind(f"/etc/{name}", writable=False)


def _devices() -> None:
    Path("/dev").mkdir()
    for name in DEVICES:
        node = f"/dev/{name}"
        Path(node).touch()
        kernel.mount(_OLD + node, node, None, kernel.MS_BIND)
    _private("/dev/shm", "mode=1777,size=64m")  # noqa: S108 - the jail's own
    Path("/dev/fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path(f"/dev/{name}").symlink_to(f"/proc/self/fd/{number}")


def _private(folder: str, options: str) -> None:
    Path(folder).mkdir()
    kernel.mount("jail", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _bind(path: str, *, writable: bool) -> None:
    source, target = Path(_OLD + path), Path(path)
    if not target.exists():
        folder = target if source.is_dir() else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if folder is not target:
            target.touch()
    # Recursive, since the kernel lets nobody uncover what another user's mounts cover.
    kernel.mount(str(source), path, None, kernel.MS_BIND | kernel.MS_REC)
    if not writable:
        kernel.read_only(path, recursive=True)
