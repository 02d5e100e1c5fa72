"""gitleaks as the peer: built once from its Go module into the user's cache, run as it comes."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from bench.go_program import GoBuildError, GoProgram

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = GoProgram(
    name="gitleaks",
    module="github.com/zricethezav/gitleaks/v8",
    version="v8.30.1",
    duration="half a minute",
)
_LEAKS = 1


class GitleaksError(GoBuildError):
    """The peer could not be run; the text says why, for the figure's place."""


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
