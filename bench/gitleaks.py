"""gitleaks as the peer: built once from its Go module into the user's cache, run as it comes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

MODULE = "github.com/zricethezav/gitleaks/v8"
VERSION = "v8.30.1"
_LEAKS = 1


class GitleaksError(Exception):
    """The peer could not be built or run; the text says why, for the figure's place."""


def build() -> Path:
    """Return the binary, building it if the cache has none.

    Raises:
        GitleaksError: there is no Go, or the build failed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "iamrange" / "bench" / f"gitleaks-{VERSION}"
    binary = folder / "gitleaks"
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise GitleaksError("no Go on PATH to build it with")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text("module tools\n\ngo 1.24\n")
    print("building gitleaks, once: half a minute", flush=True)
    for arguments in (
        ["get", "-tool", f"{MODULE}@{VERSION}"],
        ["build", "-o", "gitleaks.new", MODULE],
    ):
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [go, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise GitleaksError(f"go {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    (folder / "gitleaks.new").rename(binary)
    return binary


def findings(binary: Path, what: str, folder: Path, report: Path) -> list[dict[str, Any]]:
    """Return what it finds in a tree (`dir`) or in a history (`git`).

    Raises:
        GitleaksError: it ended otherwise than with or without findings.
    """
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [
            *(str(binary), what, str(folder), "--no-banner", "--log-level", "error"),
            *("--report-format", "json", "--report-path", str(report)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, _LEAKS):
        raise GitleaksError(f"status {done.returncode}: {done.stderr.strip()[-300:]}")
    found: list[dict[str, Any]] = json.loads(report.read_text())
    return found
