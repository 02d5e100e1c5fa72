"""`iamrange scan privileges`: what agents are granted against what they use, and a smaller policy.

- Exit status: 0 nothing found; 1 findings, or a proposal that does not hold; 2 misuse; 3 the range
  broke.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import re
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from iamrange.cli_console import Exit, Json, broke, err, misuse, out, print_json

if TYPE_CHECKING:
    from iamrange.credentials.privileges.model import AgentAudit, Proposal
    from iamrange.range.privileges_proof import Proof
    from iamrange.range.privileges_scan import Scan


def privileges(
    agent: Annotated[str | None, typer.Option(help="Only this agent, by its name.")] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="A folder for the proposed documents.")
    ] = None,
    *,
    prove: Annotated[
        bool, typer.Option("--prove", help="Put the proposals in place in a fresh world, and see.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare what agents are granted with what they use; propose smaller policies.

    Reads the running range, or makes one and has the agents do their work.
    Exit 0: nothing found; 1: findings, or a proposal does not hold.
    Example: iamrange scan privileges --agent deploy-bot --prove --out proposals
    """
    from iamrange.range.privileges_scan import scan
    from iamrange.range.progress import ConsoleProgress
    from iamrange.range.runner import RunOptions

    if out_dir is not None and out_dir.exists() and not out_dir.is_dir():
        misuse(f"--out expected a folder, got a file: '{out_dir}'")
    found = scan(RunOptions(), ConsoleProgress(err), agent=agent, proving=prove)
    if out_dir is not None:
        _write(found, out_dir)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    if found.proof is not None and found.proof.broke:
        broke("; ".join(found.proof.broke))
    raise typer.Exit(Exit.FAILED if found.found else Exit.GOOD)


def _write(found: Scan, folder: Path) -> None:
    """Write each proposed document to a file of its own, and the whole scan beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for audit in found.audits:
        for proposal in audit.proposals:
            if proposal.document is None or proposal.faults:
                continue
            name = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{audit.agent}.{audit.cloud}.{proposal.policy}")
            text = json.dumps(proposal.document, indent=2) + "\n"
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
    whole = json.dumps(found.to_json(), indent=2) + "\n"
    (folder / "scan.json").write_text(whole, encoding="utf-8")


def _show(found: Scan) -> None:
    out.print(Text(str(found.window), "dim"))
    for audit in found.audits:
        _show_agent(audit)
    if found.proof is not None:
        _show_proof(found.proof)


def _show_agent(audit: AgentAudit) -> None:
    calls = sum(use.count for use in audit.uses)
    out.print(
        Text.assemble(
            (f"\n{audit.agent}", "bold"),
            f" on {audit.cloud}: {len(audit.findings)} findings; "
            f"{calls} calls needed {len(audit.uses)} grants",
        )
    )
    table = Table("finding", "where", "what", "why, and the way out", show_lines=True)
    for finding in audit.findings:
        name = finding.path or finding.kind.value
        where = f"{finding.policy}\n{finding.statement}"
        why = f"{finding.detail}\n-> {finding.way_out}"
        table.add_row(*map(Text, (name, where, _few(finding.what), why)))
    for peer in audit.peers:
        cells = (f"{peer.tool}\n{peer.kind}", peer.policy, _few(peer.what), "its own words")
        table.add_row(*(Text(cell, "dim") for cell in cells))
    if table.row_count:
        out.print(table)
    for one in audit.assumptions:
        seen = f"seen {one.used} times" if one.used else "not seen"
        out.print(Text(f"  may assume {one.role} ({one.proof}: {one.by}), {seen}"))
    for proposal in audit.proposals:
        _show_proposal(proposal)


def _show_proposal(proposal: Proposal) -> None:
    policy = proposal.policy
    if proposal.document is None:
        out.print(Text(f"  proposed for {policy}: take it away, nothing of it was needed"))
    else:
        out.print(Text(f"  proposed for {policy}:"))
        out.print(Text(json.dumps(proposal.document, indent=2)))
    for one in proposal.generalised:
        out.print(Text(f"  {one.written}: {one.reason}", "dim"))
    for fault in proposal.faults:
        out.print(Text(f"  NOT to be used: {fault}", "bold red"))


def _show_proof(proof: Proof) -> None:
    worked = sum(one.ok for one in proof.work)
    refused = sum(one.refused for one in proof.attacks)
    closed = sum(one.refused for one in proof.opened)
    holds = ("the proposals hold", "bold green") if proof.holds else ("they do NOT", "bold red")
    out.print(
        Text.assemble(
            "\nproved in a fresh world: ",
            holds,
            f": {worked} of {len(proof.work)} pieces of work done, "
            f"{refused} of {len(proof.attacks)} attacks refused; "
            f"{closed} of {len(proof.opened)} that work with a control off are refused now",
        )
    )
    for work in proof.work:
        if not work.ok:
            missing = "; ".join(work.missing) or work.detail
            out.print(Text(f"  {work.agent} {work.workload}: refused: {missing}", "red"))
    for one in (*proof.attacks, *proof.opened):
        if not one.refused:
            without = f" without {', '.join(one.off)}" if one.off else ""
            out.print(Text(f"  {one.scenario}{without}: {one.proposed} {one.detail}", "red"))
    for faulty in proof.faulty:
        out.print(Text(f"  not put in place: {faulty}", "red"))
    for skipped in proof.skipped:
        out.print(Text(f"  not run on this machine: {skipped}", "dim"))


def _few(values: tuple[str, ...], most: int = 4) -> str:
    more = f" (+{len(values) - most})" if len(values) > most else ""
    return "\n".join(values[:most]) + more
