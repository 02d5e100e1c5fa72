"""`iamrange scan sprawl`: every credential that lies somewhere, and the rules that it breaks.

- Exit status: 0 all was read and nothing found; 1 something was found, or a rule could not be
  evaluated for something; 2 misuse; 3 a source could not be read.
"""

# The rooms are imported inside the commands: `--help` must not wait for the SDKs.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from iamrange.cli_console import Exit, Json, err, misuse, out, print_json
from iamrange.cli_range import (
    events_of_the_range,
    opened_directory,
    own_accounts,
    own_regions,
    vault_access,
)
from iamrange.cli_sprawl_places import cloud_readers, vault_in, vault_readers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.credentials.inventory.gather import Inventory, Reader
    from iamrange.credentials.inventory.owners import Owners
    from iamrange.credentials.inventory.sprawl import Report, Waiver
    from iamrange.credentials.inventory.uses import Uses

_DATE = "%Y-%m-%d"
_RANGES_OWN = "the range's own administrator: random, and gone with the range"


def sprawl(  # noqa: PLR0913, PLR0917 - one argument an option
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="A threshold, e.g. max_age_days=30."),
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="E-mail addresses of who works here, one a line.")
    ] = None,
    waivers: Annotated[
        Path | None,
        typer.Option(help='Accepted findings, JSON: [{"rule", "place", "reason"}]; * in a place.'),
    ] = None,
    clouds: Annotated[
        Path | None,
        typer.Option(
            help="Other clouds than the running range's: what `iamrange clouds` prints; "
            "beside them may be a vault: {address, token}."
        ),
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="An AWS region; default: the range's.")
    ] = None,
    certificates: Annotated[
        list[Path] | None, typer.Option(help="A folder with workloads' certificates.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """List every credential with its owner, age, last use and copies, and the rules that it breaks.

    Values are compared by a keyed hash and leave their reader in no other form.

    Example: iamrange scan sprawl --set max_age_days=30 --roster people.txt
    """
    from iamrange.credentials.inventory.certificates import CertificateReader
    from iamrange.credentials.inventory.gather import gather
    from iamrange.credentials.inventory.sprawl import judge
    from iamrange.credentials.inventory.sprawl_rules import SettingError, Settings

    try:
        limits = Settings.of(dict(_pair(text) for text in settings or ()))
    except SettingError as error:
        misuse(f"--set {error}")
    accepted = _waivers(waivers)
    people = None if roster is None else _lines(roster)
    folders = [CertificateReader(folder=folder) for folder in certificates or ()]
    with ExitStack() as closing:
        if clouds is None:
            readers, owners, own = _of_the_range(region, people, closing)
            accepted += own
            inventory = gather([*readers, *folders])
        else:
            told = _clouds_in(clouds)
            readers = cloud_readers(told, region or ["us-east-1"], None, {})
            readers += vault_readers(vault_in(told, clouds), {}, None)
            inventory = _without_owners(gather([*readers, *folders]))
            owners = _nobody(people)
    report = judge(inventory, owners, limits, time.time(), accepted)
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)
    if report.unread:
        raise typer.Exit(Exit.BROKE)
    raise typer.Exit(Exit.GOOD if report.clean else Exit.FAILED)


def _of_the_range(
    regions: Sequence[str] | None, people: Sequence[str] | None, closing: ExitStack
) -> tuple[list[Reader], Owners, list[Waiver]]:
    """Return the readers of the running range, its owners, and what is accepted of its own."""
    from iamrange.credentials.inventory.certificates import CertificateReader
    from iamrange.credentials.inventory.directory import DirectoryReader, every_entry, registered
    from iamrange.credentials.inventory.owners import Owners
    from iamrange.credentials.inventory.sprawl import Waiver
    from iamrange.credentials.vault.openbao import ADMINISTRATOR
    from iamrange.range.running import running

    state = running().state
    directory = opened_directory(state)
    closing.callback(directory.close)
    uses = _uses(state)
    agents = {fact["gcp_service_account"]: fact["name"] for fact in state["facts"].values()}
    subjects = {fact["spiffe_id"]: fact["name"] for fact in state["facts"].values()}
    ours = own_accounts(state)
    aws = {
        **state["aws"],
        "accounts": {a: k for a, k in state["aws"]["accounts"].items() if a in ours},
    }
    places = {"aws": aws, "gcp": state["gcp"]}
    readers: list[Reader] = [
        *cloud_readers(places, regions or own_regions(state), uses, agents),
        *vault_readers(vault_access(state), subjects, uses),
        DirectoryReader(directory=directory, now=time.time(), uses=uses),
        CertificateReader(folder=Path(state["folder"]) / "agents"),
    ]
    own = [
        Waiver(rule, f"aws iam {account}: user/admin/*", _RANGES_OWN)
        for account in ours
        for rule in ("long-lived-key", "no-owner")
    ]
    own += [
        Waiver(rule, f"bao tokens *: token-{ADMINISTRATOR} *", _RANGES_OWN)
        for rule in ("no-expiry", "no-owner")
    ]
    return readers, Owners.of(registered(every_entry(directory)), people), own


def _uses(state: Mapping[str, Any]) -> Uses | None:
    """Return what the audit log says of uses; nothing where it cannot be trusted, and say so."""
    from iamrange.credentials.inventory.uses import Uses, uses_in
    from iamrange.credentials.vault.openbao import ADMINISTRATOR
    from iamrange.detect.audit_events import LogUntrustedError

    own = [f"arn:aws:iam::{account}:user/admin" for account in state["aws"]["accounts"]]
    own += [f"user:administrator@{p}.iamrange.example" for p in state["gcp"]["projects"]]
    own.append(f"token-{ADMINISTRATOR}")
    try:
        return uses_in(events_of_the_range(state), own)
    except (LogUntrustedError, OSError, ValueError) as error:
        err.print(Text(f"last uses are not known: {error}", "red"))
        return Uses()


def _without_owners(inventory: Inventory) -> Inventory:
    """Say of every credential that nobody could tell where its owner stands."""
    from iamrange.credentials.inventory.gather import Fact

    told = {Fact.OWNER: "there is no directory to ask"}
    found = (replace(one, unread={**one.unread, **told}) for one in inventory.credentials)
    return replace(inventory, credentials=tuple(found))


def _nobody(people: Sequence[str] | None) -> Owners:
    from iamrange.credentials.inventory.owners import Owners

    return Owners.of((), people)


def _clouds_in(path: Path) -> Mapping[str, Any]:
    value = _json(path)
    known = ("aws", "gcp", "vault")
    if not isinstance(value, dict) or not any(value.get(name) for name in known):
        misuse(f"--clouds '{path}': expected the JSON object that `iamrange clouds` prints")
    return value


def _waivers(path: Path | None) -> list[Waiver]:
    from iamrange.credentials.inventory.sprawl import Waiver
    from iamrange.credentials.inventory.sprawl_rules import RULES

    if path is None:
        return []
    value = _json(path)
    if not isinstance(value, list):
        misuse(f"--waivers '{path}': expected a JSON list")
    known = [rule.id for rule in RULES]
    found = []
    for one in value:
        texts = [one.get(k) if isinstance(one, dict) else None for k in ("rule", "place", "reason")]
        if not all(isinstance(text, str) and text for text in texts):
            misuse(f"--waivers '{path}': expected rule, place and reason in each, got {one!r}")
        if texts[0] not in known:
            misuse(f"--waivers '{path}': rule expected one of {', '.join(known)}, got '{texts[0]}'")
        found.append(Waiver(*map(str, texts)))
    return found


def _json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else "no JSON"
        misuse(f"'{path}': {words}")


def _lines(path: Path) -> list[str]:
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        misuse(f"'{path}': {error}")
    if not any(found):
        misuse(f"--roster '{path}': expected one address a line, got none")
    return [line for line in found if line]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        misuse(f"--set '{text}': expected NAME=NUMBER, for example max_age_days=30")
    return name, value


def _show(report: Report) -> None:
    table = Table("where", "credential", "kind", "owner", "age", "last used", "expires", "copies")
    for case in report.cases:
        one = case.credential
        table.add_row(
            Text(one.source),
            Text(one.name),
            Text(one.kind.value),
            Text(f"{case.owner.name or '-'} ({case.owner.standing})"),
            "-" if case.age is None else f"{case.age:.0f} d",
            _day(one.last_used),
            _day(one.expires),
            str(len(case.copies)),
        )
    out.print(table)
    for finding in report.findings:
        if finding.waived is None:
            out.print(
                Text.assemble((finding.rule.id, "bold red"), f" {finding.place}: {finding.reason}")
            )
            out.print(Text(f"  way out: {finding.rule.way_out}", "dim"))
    for waived in (one for one in report.findings if one.waived is not None):
        out.print(Text(f"accepted {waived.rule.id} {waived.place}: {waived.waived}", "dim"))
    for left in report.unevaluated:
        out.print(Text(f"not evaluated {left.rule.id} {left.place}: {left.why}", "yellow"))
    for source in report.unread:
        err.print(Text(f"NOT READ {source.source}: {source.why}", "bold red"))
    words = f"{len(report.cases)} credentials, {len(report.broken)} findings"
    not_known = f"{len(report.unevaluated)} not evaluated, {len(report.unread)} sources not read"
    out.print(Text(f"{words}, {not_known}", "bold"))


def _day(moment: float | None) -> str:
    return "-" if moment is None else time.strftime(_DATE, time.gmtime(moment))
