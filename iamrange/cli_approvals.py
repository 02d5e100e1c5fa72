"""`iamrange approvals ...`: what waits for a human, and the human's signature on it.

- It works on the running range's approvals service, or on another with --url; with --database it
  works on the tables themselves.
- The key is read here, signs here, and goes nowhere. What is signed is what was printed: the
  digest is computed of it, and not taken from the service.
- Answers go to standard output, refusals to standard error. Refused: exit status 1.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from iamrange.cli_console import WIDTH, Json, err, misuse, print_json, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.access.approvals.model import ApprovalRefusal, ApprovalRequest
    from iamrange.cli_approval_desks import Desk
    from iamrange.jose.sign import SigningKey

app = typer.Typer(no_args_is_help=True, help="Approve or deny what agents may not do alone.")
out = Console(highlight=False, soft_wrap=True, width=WIDTH)
Kept = TypeVar("Kept")

Id = Annotated[str, typer.Argument(help="The approval's id.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", envvar="IAMRANGE_APPROVER_KEY", help="Your private key, a JWK file."),
]
As = Annotated[
    str | None,
    typer.Option("--as", envvar="IAMRANGE_APPROVER", help="Your name in the directory."),
]
Url = Annotated[
    str | None, typer.Option("--url", help="The service; default: the running range's.")
]
Database = Annotated[
    str | None, typer.Option("--database", help="The approvals' database, instead of a service.")
]
People = Annotated[
    str | None,
    typer.Option("--directory", help="With --database: the directory's, where it is another."),
]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the directory's key; default: beside a SQLite file."),
]


@app.command("list")
def list_requests(  # noqa: PLR0913 - one argument an option
    *,
    key: Key = None,
    approver: As = None,
    url: Url = None,
    database: Database = None,
    directory: People = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List what waits, the agents in turn; with --as, what that person may approve.

    A service shows the list to people who sign for it: give --key and --as.

    Example: iamrange approvals list --key maria.jwk --as maria
    """
    with _desk(url, database, directory, home, key=key, approver=approver, lists=True) as desk:
        waiting = _kept(desk.pending(None if approver is None else _person(approver)))
    if as_json:
        print_json({"requests": [each.as_json() for each in waiting]})
        return
    table = Table("id", "agent", "what", "ends in")
    for each in waiting:
        left = f"{each.expires - desk.now()} s"
        table.add_row(each.id, each.agent.rpartition("/")[2], Text(each.summary.title), left)
    out.print(table if waiting else Text("nothing waits"))


@app.command()
def show(  # noqa: PLR0913 - one argument an option
    approval_id: Id,
    url: Url = None,
    database: Database = None,
    directory: People = None,
    home: Home = None,
    *,
    as_json: Json = False,
) -> None:
    """Show one request as its approver reads it.

    Example: iamrange approvals show 41d5f7...
    """
    with _desk(url, database, directory, home) as desk:
        request = _kept(desk.get(approval_id))
    if as_json:
        print_json(request.as_json())
        return
    _print(request, out)


def _deciding(verdict: str) -> Callable[..., None]:
    """Return the command by which a person signs this verdict."""

    def decide(  # noqa: PLR0913, PLR0917 - one argument an option
        approval_id: Id,
        key: Key = None,
        approver: As = None,
        url: Url = None,
        database: Database = None,
        directory: People = None,
        home: Home = None,
        *,
        as_json: Json = False,
    ) -> None:
        with _desk(url, database, directory, home) as desk:
            _decide(desk, approval_id, verdict, key, approver, as_json=as_json)

    return decide


_APPROVE = """Sign that one request may be carried out, once.

Example: iamrange approvals approve 41d5f7... --key maria.jwk --as maria
"""
_DENY = """Sign that one request may not be carried out; an approval not yet used is withdrawn.

Example: iamrange approvals deny 41d5f7... --key maria.jwk --as maria
"""
app.command("approve", help=_APPROVE)(_deciding("approve"))
app.command("deny", help=_DENY)(_deciding("deny"))


@app.command()
def ask(  # noqa: PLR0913 - one argument an option
    method: Annotated[str, typer.Argument(help="The call's method.")],
    target: Annotated[str, typer.Argument(help="The call's whole URL.")],
    *,
    body: Annotated[str, typer.Option(help="The body, as text.")] = "",
    body_file: Annotated[
        Path | None, typer.Option(help="The body, as a file holds it; - is stdin.")
    ] = None,
    content_type: Annotated[str, typer.Option(help="What the body is.")] = "application/json",
    agent: Annotated[
        str | None, typer.Option(help="With --database: the agent's name or SPIFFE id.")
    ] = None,
    agent_home: Annotated[
        Path | None,
        typer.Option(envvar="IAMRANGE_AGENT_HOME", help="The agent's home, with its key."),
    ] = None,
    url: Url = None,
    database: Database = None,
    directory: People = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask for an approval as an agent would, to try the whole way.

    Example: iamrange approvals ask DELETE https://hr.iamrange.example/records/7
    """
    from iamrange.access.approvals.asking import AskedCall

    content = body.encode() if body_file is None else _bytes(body_file)
    call = AskedCall(
        method=method, url=target, body=content, content_type=content_type if content else ""
    )
    with _desk(url, database, directory, home) as desk:
        asked = _kept(desk.ask(call, agent=agent, agent_home=agent_home))
    if as_json:
        print_json(dict(asked))
        return
    out.print(Text(f"{asked['approval_id']} {asked['state']}", "bold"))
    out.print(Text(f"  present it as `approval-id` within {asked['expires_in']} s"))


def _decide(  # noqa: PLR0913 - who, on what, how
    desk: Desk,
    approval_id: str,
    verdict: str,
    key_file: Path | None,
    name: str | None,
    *,
    as_json: bool,
) -> None:
    from iamrange.access.approvals.model import Verdict
    from iamrange.access.approvals.signing import sign_decision

    if key_file is None or name is None:
        misuse(f"{verdict}: expected --key and --as: who signs")
    key = _private(key_file)
    request = _kept(desk.get(approval_id))
    if request.id != approval_id:
        refuse("another request came back than was asked for")
    _print(request, err)
    signed = sign_decision(
        key, request, verdict=Verdict(verdict), approver=_person(name), now=desk.now()
    )
    decided = _kept(desk.decide(approval_id, signed))
    if as_json:
        print_json(decided.as_json())
        return
    out.print(Text(f"{decided.id} is {decided.state.value}", "bold"))


def _desk(  # noqa: PLR0913 - one argument an option
    url: str | None,
    database: str | None,
    directory: str | None,
    home: Path | None,
    *,
    key: Path | None = None,
    approver: str | None = None,
    lists: bool = False,
) -> Desk:
    from iamrange import cli_approval_desks as desks

    if url is not None and database is not None:
        misuse("expected --url or --database, not both")
    if (key is None) != (approver is None) and database is None:
        misuse("expected --key and --as together")
    signer = None if key is None or approver is None else (_private(key), _person(approver))
    try:
        if database is not None:
            return desks.local(database, directory, home)
        if url is not None:
            return desks.remote(url, signer)
        return desks.of_running_range(signer, lists=lists)
    except ValueError as error:
        misuse(str(error))


def _private(path: Path) -> SigningKey:
    from iamrange.jose.sign import SigningKey

    try:
        key = SigningKey.from_jwk(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        misuse(f"--key {path}: expected a private P-256 JWK: {type(error).__name__}")
    if key.alg != "ES256":
        misuse(f"--key {path}: expected a P-256 key")
    return key


def _person(name: str) -> str:
    from iamrange.identity.directory.model import Kind, agent_id

    return name if name.startswith("spiffe://") else agent_id(name, kind=Kind.PERSON)


def _bytes(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        misuse(f"--body-file {path}: {error.strerror}")


def _print(request: ApprovalRequest, console: Console) -> None:
    console.print(Text(request.summary.title, "bold"))
    for row in request.summary.rows:
        console.print(Text(f"  {row.name}: {row.value}", "yellow" if row.doubtful else ""))
    for warning in request.summary.warnings:
        console.print(Text(f"  warning: {warning}", "bold red"))
    console.print(Text(f"  request digest: {request.digest()}; {request.state.value}", "dim"))


def _kept(outcome: Kept | ApprovalRefusal) -> Kept:
    from iamrange.access.approvals.model import ApprovalRefusal

    if isinstance(outcome, ApprovalRefusal):
        wait = "" if outcome.retry_after is None else f"; again in {outcome.retry_after} s"
        refuse(f"{outcome.reason}{f': {outcome.detail}' if outcome.detail else ''}{wait}")
    return outcome
