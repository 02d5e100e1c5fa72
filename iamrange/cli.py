"""The command line: thin. It parses, calls the rooms, prints, and chooses the exit status.

Exit status: 0 good, 1 a claim failed, 2 misuse, 3 the range broke.
"""

from __future__ import annotations

import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from iamrange.core.result import RunResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A range for AI-agent identity: attacks prove which control stopped them.",
)
out = Console(soft_wrap=False)
err = Console(stderr=True)

DEFAULT_OUT = Path("reports/latest")


class Exit(IntEnum):
    """What a command's exit status says."""

    GOOD = 0
    FAILED = 1
    MISUSE = 2
    BROKE = 3


@app.command()
def run(  # noqa: PLR0913 - one argument an option
    scenarios: Annotated[list[str] | None, typer.Argument(help="Scenario ids; none: all.")] = None,
    target: Annotated[str, typer.Option(help="Where to run: embedded.")] = "embedded",
    jobs: Annotated[int | None, typer.Option(help="Worlds at once; default: cores.")] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where reports go.")] = DEFAULT_OUT,
    *,
    matrix: Annotated[bool, typer.Option(help="Attack with each single control off.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
) -> None:
    """Attack, take controls away, attack again, and say what is proved.

    Example: iamrange run token-theft/gcp-token-at-aws --matrix
    """
    from iamrange.range.progress import ConsoleProgress  # noqa: PLC0415 - keeps --help fast
    from iamrange.range.runner import TARGETS, RunOptions  # noqa: PLC0415 - same
    from iamrange.range.runner import run as run_range  # noqa: PLC0415 - same

    if target not in TARGETS:
        _misuse(f"--target expected one of {', '.join(TARGETS)}, got '{target}'")
    if jobs is not None and jobs < 1:
        _misuse(f"--jobs expected 1 or more, got {jobs}")
    options = RunOptions(
        scenarios=tuple(scenarios or ()),
        target=target,
        matrix=matrix,
        jobs=jobs or os.cpu_count() or 1,
    )
    result = run_range(options, ConsoleProgress(err))
    _write_reports(result, out_dir)
    if as_json:
        sys.stdout.write((out_dir / "report.json").read_text())
    else:
        from iamrange.report.terminal import show  # noqa: PLC0415 - keeps --help fast

        show(result, out)
        out.print(f"reports: {out_dir / 'report.json'}, {out_dir / 'junit.xml'}", style="dim")
    if result.range_broke:
        raise typer.Exit(Exit.BROKE)
    raise typer.Exit(Exit.GOOD if result.proved else Exit.FAILED)


def _write_reports(result: RunResult, folder: Path) -> None:
    from iamrange.report import as_json, junit  # noqa: PLC0415 - keeps --help fast

    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(as_json.report(result), indent=2)
    (folder / "report.json").write_text(document + "\n", encoding="utf-8")
    junit.write(result, folder / "junit.xml")


def _misuse(message: str) -> None:
    err.print(f"error: {message}", style="red", highlight=False)
    raise typer.Exit(Exit.MISUSE)


def main() -> None:
    """Run the command line; every known error ends as one clear line and its exit status."""
    app()


if __name__ == "__main__":
    main()
