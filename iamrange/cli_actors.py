"""`iamrange scan actors`: who acts and is not managed, who is managed and never seen.

- Exit status: 0 nobody; 1 somebody, or a cut failed; 2 misuse; 3 the log or the directory cannot
  be read, or holds nothing.
"""

# The rooms are imported inside the commands: `--help` must not wait for the SDKs.
# ruff: noqa: PLC0415

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from iamrange.cli_console import Exit, Json, broke, err, misuse, out, print_json
from iamrange.cli_range import events_of_the_range, opened_directory, own_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.detect.cut import Hand
    from iamrange.detect.unmanaged import Actors, Entry, Unmanaged
    from iamrange.detect.unmanaged_cut import Cut, Done, Means
    from iamrange.identity.directory.directory import Directory
    from iamrange.identity.directory.model import Agent

_ACTOR = "rule:unmanaged-actors"
_SHOWN = 5
_WHEN = "%Y-%m-%dT%H:%M:%SZ"


def actors(
    unseen_days: Annotated[
        float, typer.Option(min=0, help="Name active agents that nobody saw for so many days.")
    ] = 30,
    *,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Say how each would be cut off.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="With --quarantine: do it, and see that it is done.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List identities that act and that the directory does not know, or knows as over.

    Each with what it touched, when, from where, and who made it, as the verified audit log has it.

    Example: iamrange scan actors --quarantine
    """
    from iamrange.credentials.inventory.directory import every_entry
    from iamrange.detect.audit_events import LogUntrustedError
    from iamrange.detect.unmanaged_cut import carried_out, planned
    from iamrange.detect.unmanaged_log import actors_in
    from iamrange.range.principals import attributions
    from iamrange.range.running import running

    if apply and not quarantine:
        misuse("--apply: expected --quarantine with it")
    state = running().state
    with closing(opened_directory(state)) as directory:
        try:
            agents = tuple(every_entry(directory))
            found = actors_in(
                events_of_the_range(state),
                attributions(state, agents),
                _entries(directory, agents),
                now=time.time(),
                unseen_days=unseen_days,
            )
        except (LogUntrustedError, OSError, ValueError) as error:
            broke(str(error))
        if not found.events:
            broke("the audit log holds no event: who acts cannot be told")
        cuts = planned(found.unmanaged) if quarantine else ()
        done = carried_out(cuts, _hands(state, directory)) if apply else ()
    if as_json:
        print_json(_to_json(found, cuts, done))
    else:
        _show(found, cuts, done, dry=quarantine and not apply)
    # a claim that was refused opens nothing: it is told, and fails nothing
    acted = any(one.proven for one in found.unmanaged)
    good = not (acted or found.unseen or any(one.error for one in done))
    raise typer.Exit(Exit.GOOD if good else Exit.FAILED)


def _entries(directory: Directory, agents: Sequence[Agent]) -> Iterator[Entry]:
    """Yield the directory's entries, each with when it came into its state."""
    from iamrange.detect.unmanaged import Entry
    from iamrange.identity.directory.listing import MAX_PAGE
    from iamrange.identity.directory.model import Kind

    changed: dict[tuple[str, str], float] = {}
    makers: dict[str, str] = {}
    after = 0
    while events := directory.events(after=after, limit=MAX_PAGE):
        for event in events:
            changed[event.agent, event.action] = event.time
            if event.action == "register":
                makers[event.agent] = event.actor
        after = events[-1].version
    actions = {"retired": "retire", "quarantined": "quarantine"}
    for entry in agents:
        yield Entry(
            id=entry.id,
            state=entry.state.value,
            owner=entry.owner,
            since=changed.get((entry.id, actions.get(entry.state.value, "")), 0.0),
            created=entry.created,
            expires=entry.expires,
            agent=entry.kind is Kind.AGENT,
            registered_by=makers.get(entry.id, ""),
        )


def _hands(state: Mapping[str, Any], directory: Directory) -> dict[Means, Hand]:
    from iamrange.detect.cut_clouds import AwsHand, GoogleHand
    from iamrange.detect.cut_vault import VaultHand
    from iamrange.detect.unmanaged_cut import FromFunction, Means

    keys = {account: state["aws"]["accounts"][account] for account in own_accounts(state)}
    tokens = {name: facts["access_token"] for name, facts in state["gcp"]["projects"].items()}

    def quarantined(agent: str) -> str:
        from iamrange.detect.cut import CutError
        from iamrange.identity.directory.model import DirectoryRefusal

        outcome = directory.quarantine(agent, actor=_ACTOR)
        if isinstance(outcome, DirectoryRefusal):
            raise CutError(f"{outcome.code}: {outcome.detail}")
        return "quarantined"

    at_vault = VaultHand(endpoint=state["vault"]["endpoint"], token=state["vault"]["token"])
    return {
        Means.VAULT: at_vault,
        Means.AWS_ROLE: AwsHand(endpoint=state["aws"]["endpoint"], keys=keys, users=False),
        Means.AWS_USER: AwsHand(endpoint=state["aws"]["endpoint"], keys=keys, users=True),
        Means.GOOGLE_ACCOUNT: GoogleHand(endpoint=state["gcp"]["endpoint"], tokens=tokens),
        Means.DIRECTORY: FromFunction(quarantined),
    }


def _to_json(found: Actors, cuts: Sequence[Cut], done: Sequence[Done]) -> dict[str, Any]:
    value = asdict(found)
    value["quarantine"] = [
        {"principal": cut.principal, "means": cut.means.value, "target": cut.target, "why": cut.why}
        for cut in cuts
    ]
    value["done"] = [{"target": one.cut.target, "error": one.error or None} for one in done]
    return value


def _show(found: Actors, cuts: Sequence[Cut], done: Sequence[Done], *, dry: bool) -> None:
    for one in found.unmanaged:
        _show_one(one)
    for agent in found.unseen:
        last = "never since the log began" if agent.last is None else f"last {_when(agent.last)}"
        words = f" {agent.agent}: {last}, {agent.days:.1f} days; owner {agent.owner}"
        out.print(Text.assemble(("unseen", "bold yellow"), words))
    for identity in found.not_evaluated:
        out.print(Text(f"not evaluated: {identity}: not seen, in a log that is younger", "dim"))
    for cut in cuts:
        how = f"{cut.means}: {cut.target}" if not cut.why else f"{cut.means}: {cut.why}"
        out.print(Text(f"{'would be ' if dry else ''}cut off {cut.principal}: {how}"))
    if dry and cuts:
        out.print(Text("nothing was changed; --apply does it", "bold"))
    for did in done:
        if did.error:
            err.print(Text(f"NOT cut off {did.cut.target}: {did.error}", "bold red"))
        else:
            out.print(Text(f"cut off {did.cut.target}: {did.cut.means}", "bold green"))
    began = "-" if found.began is None else _when(found.began)
    words = f"{found.events} events since {began}: {len(found.unmanaged)} unmanaged"
    out.print(Text(f"{words}, {len(found.unseen)} unseen", "bold"))


def _show_one(one: Unmanaged) -> None:
    who = one.principal if one.proven else f"somebody who claimed to be {one.principal}"
    counts = f"{one.allowed} allowed, {one.refused} refused"
    out.print(Text.assemble((one.reason.value, "bold red"), f" {who}: {counts}"))
    if one.agent is not None:
        out.print(Text(f"  stands for {one.agent}"))
    out.print(
        Text(f"  from {', '.join(one.origins) or '-'}, {_when(one.first)} .. {_when(one.last)}")
    )
    resources = list(one.touched)
    more = len(resources) - _SHOWN + one.touched_more
    listed = ", ".join(resources[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    out.print(Text(f"  touched {listed}"))
    for made in one.made:
        out.print(Text(f"  {made.operation} by {made.by}, {_when(made.time)}"))
    if not one.made:
        out.print(Text("  the log does not say who made it", "dim"))


def _when(moment: float) -> str:
    return time.strftime(_WHEN, time.gmtime(moment))
