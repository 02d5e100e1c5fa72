"""Prepare everything that a range needs beyond Python packages: the Pulumi engine, found or made.

- `python -m iamrange.engine.prepare` shows its steps; a second run finds everything and does
  nothing. A failure names the step, the command and the way out, and exits with 3.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.engine.errors import PrepareError
from iamrange.engine.progress import LineReporter
from iamrange.engine.pulumi_cli import PulumiCli, ensure

if TYPE_CHECKING:
    from iamrange.engine.progress import Reporter

_PROJECT = Path(__file__).resolve().parents[2]
GO_LOCK = _PROJECT / "requirements" / "go.txt"


def prepare(report: Reporter | None = None) -> PulumiCli:
    """Return a Pulumi CLI that runs, after getting one if need be.

    Raises:
        PrepareError: a step failed.
    """
    return ensure(go_lock=GO_LOCK, report=report if report is not None else LineReporter())


def main() -> int:
    """Prepare, and say what was found."""
    # As Ctrl-C: what is half made is removed, and no compiler goes on alone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cli = prepare()
    except PrepareError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what was finished is kept, run the same again\n")
        return 130
    sys.stdout.write(f"Pulumi engine {cli.version} ({cli.source}): {cli.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
