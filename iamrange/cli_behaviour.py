"""`iamrange behaviour ...`: what is ordinary for an agent, and what agents are accused of.

- It reads what the watch over the running range has saved: accusations at once, all else within
  five seconds.
- Exit status: 0 it is there; 1 there is no such agent; 3 it cannot be read.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from iamrange.cli_console import Json, broke, out, print_json, refuse

if TYPE_CHECKING:
    from iamrange.detect.baseline import Baseline
    from iamrange.detect.behaviour_state import Saved

app = typer.Typer(no_args_is_help=True, help="What agents usually do, and what they did instead.")

State = Annotated[
    Path | None, typer.Option("--state", help="The watch's file; default: the running range's.")
]


@app.command()
def baseline(
    agent: Annotated[
        str | None, typer.Argument(help="An agent's name or SPIFFE id; none: all.")
    ] = None,
    state: State = None,
    *,
    as_json: Json = False,
) -> None:
    """Show what is ordinary for an agent: places, services, operations, calls a minute.

    Example: iamrange behaviour baseline data-analyst
    """
    watcher = _saved(state).watcher
    known = {name: watcher.baseline(name) for name in watcher.agents}
    if agent is not None:
        known = {name: one for name, one in known.items() if agent in (name, _short(name))}
        if not known:
            refuse(f"agent {agent!r}: the watch has seen no call of it that counts")
    shown = [_shown(name, one, accused=name in watcher.accused) for name, one in known.items()]
    if as_json:
        print_json(shown)
        return
    for one in shown:
        out.print(_plain(_short(one.pop("agent")), "bold"))
        for member, value in one.items():
            text = ", ".join(value) if isinstance(value, list) else str(value)
            out.print(_plain(f"{member:>24}  {text}"))


@app.command()
def incidents(
    agent: Annotated[
        str | None, typer.Argument(help="An agent's name or SPIFFE id; none: all.")
    ] = None,
    state: State = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the last accusations, why each was made, and how far the agent is cut off.

    `iamrange agents release NAME` lets an agent work again.

    Example: iamrange behaviour incidents --json
    """
    saved = _saved(state)
    steps = [step for several in saved.containments.values() for step in several]
    found = [
        {
            **one,
            "accused": one["agent"] in saved.watcher.accused,
            "steps": [step for step in steps if step["agent"] == one["agent"]],
        }
        for one in saved.incidents
        if agent is None or agent in (one["agent"], _short(one["agent"]))
    ]
    if as_json:
        print_json(found)
        return
    table = Table("when", "agent", "rule", "saw", "expected", "cut off")
    for one in found:
        when = datetime.fromtimestamp(one["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        for said in one["accusations"]:
            cells = (_short(one["agent"]), said["rule"], said["seen"], said["expected"], _far(one))
            table.add_row(when, *map(_plain, cells))
    out.print(table)


@app.command()
def accept(
    agent: Annotated[str, typer.Argument(help="An agent's name or SPIFFE id.")],
    *,
    as_json: Json = False,
) -> None:
    """Release an agent, and take what it stands accused of for ordinary from now on.

    `iamrange agents release` lets it work again and takes nothing for ordinary.

    Example: iamrange behaviour accept payments-agent
    """
    from iamrange.identity.directory.model import identifier_of
    from iamrange.range.running import orders_socket, running
    from iamrange.range.service_socket import OrderRefusedError, order

    running()
    try:
        told = order(orders_socket(), "accept_behaviour", agent=identifier_of(agent))
    except OrderRefusedError as error:
        refuse(str(error))
    if as_json:
        print_json(told)
        return
    for kind, rules in told.items():
        if rules:
            out.print(_plain(f"{kind}: {', '.join(rules)}"))


def _far(incident: dict[str, Any]) -> str:
    if not incident["contained"]:
        return "only noted"
    if not incident["accused"]:
        return "released since"
    said = [
        f"{step['means']}: {'done' if step['done'] else step['detail'] or 'not yet'}"
        for step in incident["steps"]
    ]
    return "; ".join(said) or "nobody does it"


def _shown(name: str, one: Baseline, *, accused: bool) -> dict[str, Any]:
    minute, hour = one.minute.overall, one.hour.overall
    slots = sorted(slot for slot in one.hour.slots)
    return {
        "agent": name,
        "accused": accused,
        "history": f"{one.calls} calls on {one.days} days",
        "learned rules apply": one.mature,
        "usual calls a minute": round(minute.mean, 1),
        "usual calls an hour": round(hour.mean, 1),
        "services": sorted(one.services),
        "operations": sorted(one.operations),
        "places": sorted(one.places),
        "hours": [f"{slot % 24:02d}:00{' at weekends' if slot >= 24 else ''}" for slot in slots],  # noqa: PLR2004 - hours of a day
    }


def _plain(text: str, style: str = "") -> Text:
    """Return what agents chose (a path, an operation) without markup or a terminal's commands."""
    return Text("".join(one if one.isprintable() else "?" for one in text), style)


def _short(agent: str) -> str:
    return agent.rpartition("/")[2]


def _saved(state: Path | None) -> Saved:
    from iamrange.detect.behaviour_state import read_saved

    if state is None:
        from iamrange.range.running import running

        state = Path(running().state["behaviour"]["state"])
    try:
        return read_saved(state.read_bytes())
    except OSError as error:
        broke(f"file '{state}': {error.strerror}")
    except ValueError as error:
        broke(f"file '{state}': expected the watch's state: {error}")
