"""How `iamrange agents` ends: what it prints of agents, bulk results and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from iamrange.cli_console import Exit, err, out, print_json, refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iamrange.identity.directory.bulk import BulkResult
    from iamrange.identity.directory.model import Agent, DirectoryRefusal


def kept(outcome: Agent | DirectoryRefusal, made: tuple[Path, dict[str, Any]] | None) -> Agent:
    """Return the agent; a refusal takes the key that was made for it along."""
    from iamrange.identity.directory.model import DirectoryRefusal  # noqa: PLC0415 - --help must not wait for it

    if not isinstance(outcome, DirectoryRefusal):
        return outcome
    if made is not None:
        made[0].unlink(missing_ok=True)
    return refuse(f"{outcome.code}: {outcome.detail}")


def end(agent: Agent, *, as_json: bool) -> None:
    """Print what became of an agent."""
    if as_json:
        print_json(shown(agent))
    else:
        out.print(Text(f"{agent.id} is {agent.state.value} (epoch {agent.epoch})", "bold"))


def end_bulk(result: BulkResult, *, as_json: bool) -> None:
    """Print what became of many; refusals make the exit status 1."""
    summary = {
        "changed": result.changed,
        "unchanged": result.unchanged,
        "refused": result.refused,
        "refusals": [
            {"agent": name, "code": refusal.code, "detail": refusal.detail}
            for name, refusal in result.refusals
        ],
    }
    if as_json:
        print_json(summary)
    else:
        out.print(
            Text(
                f"{result.changed} changed, {result.unchanged} unchanged, {result.refused} refused",
                "bold",
            )
        )
        for name, refusal in result.refusals[:10]:
            err.print(Text(f"  {name}: {refusal.code}: {refusal.detail}", "red"))
    if result.refused:
        raise typer.Exit(Exit.FAILED)


def told(what: str) -> Callable[[BulkResult], None]:
    """Return what tells how far a bulk command is."""

    def tell(result: BulkResult) -> None:
        err.print(Text(f"  {what} {result.changed}, at {result.position}", "dim"))

    return tell


def shown(agent: Agent) -> dict[str, Any]:
    """Return what anybody who may list agents may see: public keys, and no hash of a secret."""
    return {
        "id": agent.id,
        "client_id": agent.id,
        "name": agent.name,
        "tenant": agent.tenant,
        "kind": agent.kind.value,
        "number": agent.number,
        "state": agent.state.value,
        "owner": agent.owner,
        "purpose": agent.purpose,
        "project": agent.project,
        "classification": agent.classification.value,
        "roles": sorted(agent.roles),
        "scopes": sorted(agent.scopes),
        "resources": None if agent.resources is None else sorted(agent.resources),
        "may_act": sorted(agent.may_act),
        "expires": agent.expires,
        "epoch": agent.epoch,
        "version": agent.version,
        "keys": [{"kid": key.kid, "not_after": key.not_after} for key in agent.keys],
        "certificates": list(agent.certificates),
    }
