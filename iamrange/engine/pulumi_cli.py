"""Get the Pulumi CLI: the one on PATH, the vendor's own installer, or a build from source.

- Whatever is made is kept outside the checkout, put in place whole, and made once: two
  preparations at a time wait for each other.
- A CLI without a language host for Python is copied into the cache next to ours, since the engine
  looks for the host beside its real binary.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.engine.errors import PrepareError
from iamrange.engine.go_build import build
from iamrange.engine.launcher import LANGUAGE_HOST, write_language_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iamrange.engine.progress import Reporter

VERSION = "3.274.1"
# Older engines of the same major version lack event streams and switches that we rely on.
MINIMUM = (3, 270, 0)
MAJOR = 3
_INSTALL_SECONDS = 600
# The SDK's installer waits for ever on a host that drops packets; this limit ends each wait.
_INSTALLER = """
import socket, sys
socket.setdefaulttimeout(10)
from pulumi.automation import PulumiCommand
from semver import VersionInfo
PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class PulumiCli:
    """A CLI that runs, and where it came from."""

    path: Path
    version: str
    source: str


def cache_folder() -> Path:
    """Return where this version of the engine is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "iamrange" / "pulumi" / VERSION


def find() -> PulumiCli | None:
    """Return a CLI that is there already: on PATH, or in the cache."""
    return on_path() or cached()


def on_path() -> PulumiCli | None:
    """Return the CLI on PATH if it is of a suitable version and can run Python programs."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    # A version manager's shim is run by the name that it has on PATH, so links are not followed.
    cli = Path(found)
    version = version_of(cli)
    if not suitable(version):
        return None
    beside = cli.resolve().with_name(LANGUAGE_HOST)
    if beside.exists() or shutil.which(LANGUAGE_HOST) is not None:
        return PulumiCli(cli, version, "PATH")
    return None


def cached() -> PulumiCli | None:
    """Return the CLI in the cache, with its language host renewed."""
    folder = cache_folder()
    own = folder / "pulumi"
    if own.is_file():
        write_language_host(folder)
        return PulumiCli(own, VERSION, "cache")
    installed = folder / "vendor" / "bin" / "pulumi"
    return PulumiCli(installed, VERSION, "cache") if installed.is_file() else None


def ensure(*, go_lock: Path, report: Reporter) -> PulumiCli:
    """Return a CLI, after getting one if there is none.

    Raises:
        PrepareError: none of the ways worked; the last one's failure is told.
    """
    there = find()
    if there is not None:
        return there
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrepareError(
            "keep the Pulumi engine",
            str(error),
            "set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    with _one_at_a_time(folder, report):
        there = find()
        if there is not None:
            return there
        _sweep(folder)
        for way in (_adopt, _install, _build):
            if way(folder, go_lock, report):
                break
        made = cached()
    if made is None:
        raise PrepareError("get the Pulumi engine", "it is not where it was put", "run it again")
    return made


def suitable(version: str) -> bool:
    """Say whether our providers, flags and event reader fit this version."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return match is not None and MINIMUM <= tuple(map(int, match.groups())) < (MAJOR + 1,)


def version_of(cli: Path) -> str:
    """Return what a CLI says its version is; empty if it does not run."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(  # noqa: S603 - the CLI we are about to use
            [str(cli), "version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip().removeprefix("v")


@contextmanager
def _one_at_a_time(folder: Path, report: Reporter) -> Iterator[None]:
    """Hold the cache's lock; the kernel drops it with the process, so none is ever left over."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.step("another run is getting the Pulumi engine; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
            report.done("done")
        yield


def _sweep(folder: Path) -> None:
    """Remove what a run that was killed left; the lock says that none is at work."""
    for left in (*folder.glob("iamrange-*-*"), *folder.glob(".pulumi.*")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _adopt(folder: Path, _go_lock: Path, report: Reporter) -> bool:
    """Copy a suitable CLI on PATH that has no language host for Python."""
    found = shutil.which("pulumi")
    # Only the very version that the cache's folder is named after may be kept in it.
    if found is None or version_of(Path(found).resolve()) != VERSION:
        return False
    report.step("copy the Pulumi engine from PATH, to put a language host beside it")
    _put(folder, lambda target: shutil.copy2(Path(found).resolve(), target))
    report.done("done")
    return True


def _install(folder: Path, _go_lock: Path, report: Reporter) -> bool:
    """Let the SDK's own installer try; without a network to its host it fails fast."""
    report.step("install the Pulumi engine with the vendor's installer")
    with tempfile.TemporaryDirectory(prefix="iamrange-install-", dir=folder) as name:
        root = Path(name) / "vendor"
        try:
            subprocess.run(  # noqa: S603 - our own interpreter
                [sys.executable, "-c", _INSTALLER, str(root), VERSION],
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_INSTALL_SECONDS,
            )
        except (OSError, subprocess.SubprocessError):
            report.done("not reachable from here; it will be built instead")
            return False
        root.replace(folder / "vendor")
    report.done("done")
    return True


def _build(folder: Path, go_lock: Path, report: Reporter) -> bool:
    _put(folder, lambda target: build(target, VERSION, go_lock=go_lock, report=report))
    return True


def _put(folder: Path, make: Callable[[Path], object]) -> None:
    """Make a binary under another name, see that it runs, and rename it into place."""
    target = folder / f".pulumi.{os.getpid()}"
    try:
        make(target)
        version = version_of(target)
        if version != VERSION:
            raise PrepareError(
                "check the Pulumi engine",
                f"version expected {VERSION!r}, got {version!r}",
                "remove the folder that holds it and run the same again",
                f"{target} version",
            )
        write_language_host(folder)
        target.replace(folder / "pulumi")
    finally:
        target.unlink(missing_ok=True)
