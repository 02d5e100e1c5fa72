"""`iamrange scan ...`: look for what should not be there. Here: hard-coded credentials.

- Answers go to standard output, complaints to standard error. No secret goes to either.
- Exit status: 0 nothing new; 1 findings; 2 misuse; 3 something that the scan needs broke.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.

# ruff: noqa: PLC0415

from __future__ import annotations

import functools
import json
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iamrange.cli_console import Exit, Json, broke, err, misuse, print_json
from iamrange.cli_range import opened_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.credentials.scan.baseline import Compared
    from iamrange.credentials.scan.finding import Hasher, Scan

app = typer.Typer(no_args_is_help=True, help="Look for credentials that should not be there.")

KEY_FILE = "scan-key"
_MEBIBYTE = 1 << 20


@app.callback()
def main() -> None:
    """Look for credentials that should not be there."""


@app.command()
def secrets(  # noqa: PLR0913, PLR0917 - one argument an option
    paths: Annotated[list[str] | None, typer.Argument(help="Files or folders; none: here.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="What is known already.")] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(help="Write what is found as known, and end well.")
    ] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write a SARIF 2.1.0 log.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Pass by names or paths like this (a glob).")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="The hashes' key; default: one in the state folder.")
    ] = None,
    max_size: Annotated[int, typer.Option(min=1, help="MiB of a file that are read.")] = 16,
    jobs: Annotated[int | None, typer.Option(min=1, help="Default: cores.")] = None,
    *,
    history: Annotated[bool, typer.Option("--history", help="Every commit too.")] = False,
    staged: Annotated[bool, typer.Option("--staged", help="What git would commit.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Try findings on the running range.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find hard-coded credentials in files, documents, git's index and git's history.

    Example: iamrange scan secrets . --history --baseline secrets.baseline.json --sarif out.sarif
    """
    from iamrange.cli_scan_output import show
    from iamrange.credentials.scan.finding import Hasher
    from iamrange.credentials.scan.git_command import GitError
    from iamrange.credentials.scan.run import (
        BrokenScanError,
        NothingToScanError,
        Options,
        cores,
        run,
    )

    if staged and history:
        misuse("--staged and --history: expected one of them")
    if baseline is not None and write_baseline is not None:
        misuse("--baseline and --write-baseline: expected one of them")
    key = _key(key_file)
    options = Options(
        paths=tuple(paths or (".",)),
        key=key,
        history=history,
        staged=staged,
        exclude=tuple(exclude or ()),
        most=max_size * _MEBIBYTE,
        jobs=1 if staged else jobs or cores(),
        keep=verify,
    )
    try:
        scan = run(options, lambda message: err.print(message, style="dim", markup=False))
    except (NothingToScanError, GitError) as error:
        misuse(str(error))
    except BrokenScanError as error:
        broke(str(error))
    hasher = Hasher(key)
    compared = _compared(scan, baseline, hasher)
    live = _live(scan) if verify else None
    if live is not None:
        _log(scan, live)
    if sarif is not None:
        from iamrange.credentials.scan.sarif import log

        _write(sarif, json.dumps(log(scan, compared.known, live), indent=1) + "\n")
    if write_baseline is not None:
        from iamrange.credentials.scan.baseline import written

        _write(write_baseline, written(scan.findings, hasher.key_id))
    if as_json:
        from iamrange.cli_scan_output import as_document

        print_json(as_document(scan, compared, live, hasher.key_id))
    else:
        show(scan, compared, live)
    failed = compared.new and write_baseline is None
    raise typer.Exit(Exit.FAILED if failed else Exit.GOOD)


def _key(path: Path | None) -> bytes:
    from iamrange.credentials.scan.key import KeyFileError, read_key

    try:
        if path is not None:
            return read_key(path, make=False)
        from iamrange.range.sweep import worlds_folder

        return read_key(worlds_folder().parent / KEY_FILE, make=True)
    except KeyFileError as error:
        misuse(f"key {error}")


def _compared(scan: Scan, baseline: Path | None, hasher: Hasher) -> Compared:
    from iamrange.credentials.scan.baseline import BaselineError, compare, read

    if baseline is None:
        return compare(scan.findings, frozenset())
    try:
        known = read(baseline.read_text(encoding="utf-8", errors="replace"), hasher.key_id)
    except OSError as error:
        misuse(f"--baseline '{baseline}': {error.strerror}")
    except BaselineError as error:
        misuse(f"--baseline '{baseline}': {error}")
    return compare(scan.findings, known)


def _live(scan: Scan) -> dict[str, dict[str, str]]:
    from iamrange.credentials.scan.verify import NotLocalError, Target, tried
    from iamrange.range.running import BrokenRangeError, NotRunningError, running

    try:
        state = running().state
        return tried(scan, Target.of(state, _key_owner(state)))
    except NotRunningError as error:
        misuse(f"--verify: {error}")
    except (BrokenRangeError, NotLocalError) as error:
        broke(f"--verify: {error}")


def _log(scan: Scan, live: Mapping[str, Mapping[str, str]]) -> None:
    """Have the running range log what was found there, and what came of trying it."""
    from iamrange.range.changes import MOST_FINDINGS
    from iamrange.range.running import orders_socket
    from iamrange.range.service_socket import OrderRefusedError, order

    found = [
        {
            "rule": finding.rule,
            "place": str(finding.place),
            "value": finding.value,
            "state": live[finding.value]["state"],
            "why": live[finding.value].get("reason", ""),
        }
        for finding in scan.findings
        if finding.value in live
    ]
    try:
        for start in range(0, len(found), MOST_FINDINGS):
            part = found[start : start + MOST_FINDINGS]
            order(orders_socket(), "note_findings", findings=part)
    except OrderRefusedError as error:
        broke(f"--verify: {error}")


def _key_owner(state: Mapping[str, Any]) -> Callable[[str], str | None]:
    """Return who has a key in the running range's directory, by its thumbprint, read once."""

    @functools.cache
    def owners() -> dict[str, str]:
        directory = opened_directory(state)
        found: dict[str, str] = {}
        after: int | None = 0
        try:
            while after is not None:
                page = directory.list(after=after, limit=1000)
                for agent in page.agents:
                    now = directory.clock.now()
                    found |= {key.kid: agent.id for key in agent.accepted_keys(now)}
                after = page.next
        finally:
            directory.close()
        return found

    return lambda thumbprint: owners().get(thumbprint)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        misuse(f"'{path}': {error.strerror}")
