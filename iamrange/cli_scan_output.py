"""How `iamrange scan secrets` says what it found: a table, or JSON. Neither has a secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from iamrange.cli_console import err, out
from iamrange.credentials.scan.finding import Skipped, Suppressed, document, shown
from iamrange.credentials.scan.rules import RULE_OF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.scan.baseline import Compared
    from iamrange.credentials.scan.finding import Finding, Scan

_LISTED = 50
Live = dict[str, dict[str, str]]


def show(scan: Scan, compared: Compared, live: Live | None) -> None:
    """Print the new findings, and below them all that was not looked at."""
    if compared.new:
        table = Table("rule", "place", "value", "more", *(("live?",) if live is not None else ()))
        for finding in compared.new:
            table.add_row(*(Text(cell) for cell in _cells(finding, live)))
        out.print(table)
    for path, value in compared.stale:
        out.print(Text(f"stale in the baseline: {path} {value[:12]}", "yellow"))
    for number, one in enumerate(sorted(scan.not_read)):
        if number == _LISTED:
            rest = len(scan.not_read) - _LISTED
            err.print(Text(f"not read: {rest} more; --json lists all", "yellow"))
            break
        words = f"not read: {shown(one.path)}: {one.reason.value} {shown(one.detail)}"
        err.print(Text(words.rstrip(), "yellow"))
    out.print(Text(_summary(scan, compared), "bold"))


def _cells(finding: Finding, live: Mapping[str, Mapping[str, str]] | None) -> list[str]:
    hint = f" {finding.hint}…" if finding.hint else ""
    cells = [finding.rule, str(finding.place), f"{finding.value[:12]}{hint}", str(finding.more)]
    if live is not None:
        answer = live.get(finding.value, {})
        cells.append(f"{answer.get('state', '-')}: {answer.get('reason', '')}")
    return cells


def _summary(scan: Scan, compared: Compared) -> str:
    skipped = ", ".join(f"{scan.skipped[s]} {s.value}" for s in Skipped if scan.skipped[s])
    left = ", ".join(f"{scan.suppressed[s]} {s.value}" for s in Suppressed if scan.suppressed[s])
    parts = [
        f"{len(compared.new)} new, {len(compared.known)} known, {len(compared.stale)} stale",
        f"{scan.files} files, {scan.blobs} blobs of {scan.commits} commits",
        f"{scan.size / (1 << 20):.1f} MiB read",
        f"suppressed: {left}" if left else "",
        f"passed by: {skipped}" if skipped else "",
        f"not read: {len(scan.not_read)}" if scan.not_read else "",
    ]
    return "; ".join(part for part in parts if part)


def as_document(scan: Scan, compared: Compared, live: Live | None, key_id: str) -> dict[str, Any]:
    """Return all of it as JSON's values."""
    known = set(compared.known)
    return {
        "version": 1,
        "key_id": key_id,
        "findings": [_member(f, live, known=f in known) for f in scan.findings],
        "new": len(compared.new),
        "stale": [{"path": path, "value": value} for path, value in compared.stale],
        **document(scan),
    }


def _member(finding: Finding, live: Live | None, *, known: bool) -> dict[str, Any]:
    place = finding.place
    told: dict[str, Any] = {
        "rule": finding.rule,
        "level": RULE_OF[finding.rule].level.value,
        "path": shown(place.path),
        "line": place.line,
        "member": shown(place.member),
        "commit": place.commit,
        "date": place.date,
        "value": finding.value,
        "hint": finding.hint,
        "encoded": finding.encoded,
        "more": finding.more,
        "known": known,
    }
    return told if live is None else told | {"live": live.get(finding.value)}
