"""`iamrange agents ...`: the directory of agents from the command line.

- It works on the running range's directory, or with `--database` on any other.
- Answers go to standard output, progress and refusals to standard error. Refused: exit status 1.
"""

# The rooms are imported inside the commands: `--help` must not wait for the database driver.
# ruff: noqa: PLC0415

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from iamrange.cli_agent_files import (
    end_of_day,
    json_file,
    lines,
    names_in,
    new_certificate_key,
    new_key,
    public_half,
    spec_of,
    specs_in,
    thumbprint,
)
from iamrange.cli_agent_output import end, end_bulk, kept, shown, told
from iamrange.cli_console import TAKES_A_KEY_ID, Json, misuse, out, print_json, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iamrange.identity.directory.directory import Directory
    from iamrange.identity.directory.listing import AgentFilter
    from iamrange.identity.directory.model import Agent

app = typer.Typer(no_args_is_help=True, help="Register agents, and what becomes of them.")

HOUR = 3600.0

Database = Annotated[
    str | None,
    typer.Option("--database", help="The directory's database URL; default: the running range's."),
]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the directory's key; default: beside a SQLite file."),
]
Name = Annotated[str | None, typer.Argument(help="An agent's name or SPIFFE id.")]
OwnerFilter = Annotated[str | None, typer.Option("--owner", help="All of this owner's.")]
ProjectFilter = Annotated[str | None, typer.Option("--project", help="All of this project.")]
Everyone = Annotated[bool, typer.Option("--all", help="Every agent.")]
File = Annotated[
    Path | None, typer.Option("--file", help="JSON lines, one agent each; - reads them from stdin.")
]


@app.command()
def register(  # noqa: PLR0913 - one argument an option
    name: Name = None,
    *,
    owner: Annotated[str | None, typer.Option(help="Who answers for the agent.")] = None,
    purpose: Annotated[str, typer.Option(help="What it is for.")] = "",
    project: Annotated[str, typer.Option(help="The project that it works on.")] = "",
    classification: Annotated[
        str, typer.Option(help="The most sensitive data that it may touch.")
    ] = "internal",
    role: Annotated[list[str] | None, typer.Option(help="A role that policies go by.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope that it may have.")] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="A resource that it may have tokens for; none: all.")
    ] = None,
    may_act: Annotated[
        list[str] | None, typer.Option(help="The id of an agent that may act for it.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Its last day, like 2027-06-30.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Its public P-256 key, a JWK file.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="A PEM file: the certificate by which it may prove itself.")
    ] = None,
    key_out: Annotated[
        Path | None, typer.Option(help="Where a key that is made here goes; default: NAME.jwk.")
    ] = None,
    file: File = None,
    database: Database = None,
    home: Home = None,
    tls_client_auth: Annotated[
        bool, typer.Option("--tls-client-auth", help="It may prove itself with its SVID over TLS.")
    ] = False,
    person: Annotated[
        bool, typer.Option("--person", help="Somebody who signs approvals, and gets no token.")
    ] = False,
    inactive: Annotated[
        bool, typer.Option("--inactive", help="Register only; `activate` approves it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register an agent, or with --file many. Without --public-key a key is made for it.

    Example: iamrange agents register night-shift --owner ana@example.com --scope read:logs
    """
    if file is not None:
        with _opened(database, home) as directory:
            result = directory.register_many(
                specs_in(file), actor=_me(), activate=not inactive, progress=told("registered")
            )
        end_bulk(result, as_json=as_json)
        return
    if name is None or owner is None:
        misuse("register: expected NAME and --owner, or --file")
    made = None
    if public_key is not None:
        jwk = public_half(json_file(public_key))
    elif certificate is not None or tls_client_auth:
        jwk = None
    else:
        made = new_key(key_out or Path(f"{name}.jwk"))
        jwk = made[1]
    values = {
        "name": name,
        "owner": owner,
        "purpose": purpose,
        "project": project,
        "classification": classification,
        "kind": "person" if person else "agent",
        "roles": role or [],
        "scopes": scope or [],
        "resources": resource or None,
        "may_act": may_act or [],
        "expires": expires,
        "tls_subject": tls_client_auth,
        "keys": [] if jwk is None else [jwk],
        "certificates": [] if certificate is None else [thumbprint(certificate)],
    }
    spec = spec_of(values)
    with _opened(database, home) as directory:
        agent = kept(directory.register(spec, actor=_me(), activate=not inactive), made)
    answer = {**shown(agent), "private_key_file": None if made is None else str(made[0])}
    if as_json:
        print_json(answer)
        return
    out.print(Text(f"{agent.id} is {agent.state.value}", "bold"))
    if made is not None:
        out.print(Text(f"  its private key: {made[0]}"))


@app.command("list")
def list_agents(  # noqa: PLR0913 - one argument an option
    *,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    owner: OwnerFilter = None,
    project: ProjectFilter = None,
    scope: Annotated[str | None, typer.Option(help="Only with this scope.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    after: Annotated[int, typer.Option(help="Go on after this number.")] = 0,
    database: Database = None,
    home: Home = None,
    expired: Annotated[bool, typer.Option("--expired", help="Only those past expiry.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """List agents in the order of registration.

    Example: iamrange agents list --state quarantined
    """
    where = _filter(state=state, owner=owner, project=project, scope=scope, expired=expired or None)
    table = Table("number", "agent", "state", "owner", "project", "scopes")
    with _opened(database, home) as directory:
        for agent in _paged(directory, where, after, limit):
            if as_json:
                sys.stdout.write(json.dumps(shown(agent)) + "\n")
            else:
                scopes = " ".join(sorted(agent.scopes))
                table.add_row(
                    str(agent.number), agent.name, agent.state, agent.owner, agent.project, scopes
                )
    if not as_json:
        out.print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="An agent's name or SPIFFE id.")],
    database: Database = None,
    home: Home = None,
    *,
    as_json: Json = False,
) -> None:
    """Show one agent.

    Example: iamrange agents show data-analyst
    """
    with _opened(database, home) as directory:
        agent = directory.get(name)
    if agent is None:
        refuse(f"agent {name!r}: there is none; `iamrange agents list` shows who is there")
    answer = shown(agent)
    if as_json:
        print_json(answer)
        return
    for member, value in answer.items():
        out.print(Text(f"{member:>16}  {json.dumps(value) if value is not None else '-'}"))


@app.command()
def rotate(  # noqa: PLR0913 - one argument an option
    name: Name = None,
    *,
    public_key: Annotated[Path | None, typer.Option(help="The new key, a JWK file.")] = None,
    overlap: Annotated[
        float, typer.Option(help="Seconds for which the old key is accepted too.")
    ] = HOUR,
    expected_version: Annotated[
        int | None, typer.Option(help="Refuse if the agent has changed since this version.")
    ] = None,
    key_out: Annotated[
        Path | None, typer.Option(help="Where a key that is made here goes; default: NAME.jwk.")
    ] = None,
    file: File = None,
    database: Database = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give an agent a new key, or with --file many: lines of {"name", "key"}.

    Example: iamrange agents rotate data-analyst --overlap 600
    """
    if file is not None:
        pairs = ((str(line.get("name", "")), line.get("key") or {}) for line in lines(file))
        with _opened(database, home) as directory:
            result = directory.rotate_many(
                pairs, overlap=overlap, actor=_me(), progress=told("rotated")
            )
        end_bulk(result, as_json=as_json)
        return
    if name is None:
        misuse("rotate: expected NAME, or --file")
    made = None
    if public_key is not None:
        jwk = public_half(json_file(public_key))
    else:
        made = new_key(key_out or Path(f"{name.rpartition('/')[2]}.jwk"))
        jwk = made[1]
    from iamrange.identity.directory.lifecycle import ROTATION_SETTLES

    with _opened(database, home) as directory:
        outcome = directory.rotate(
            name,
            jwk,
            overlap=overlap,
            actor=_me(),
            expected_version=expected_version,
            settling=ROTATION_SETTLES,
        )
        agent = kept(outcome, made)
    if as_json:
        print_json({**shown(agent), "private_key_file": None if made is None else str(made[0])})
        return
    out.print(Text(f"{agent.id}: its key is {agent.keys[0].kid}", "bold"))
    if made is not None:
        out.print(Text(f"  the private key: {made[0]}"))


@app.command(context_settings=TAKES_A_KEY_ID)
def withdraw(
    name: Annotated[str, typer.Argument(help="An agent's name or SPIFFE id.")],
    kid: Annotated[str, typer.Argument(help="The key's id.")],
    database: Database = None,
    home: Home = None,
    *,
    as_json: Json = False,
) -> None:
    """Stop accepting one of an agent's keys at once.

    Example: iamrange agents withdraw data-analyst 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
    """
    with _opened(database, home) as directory:
        agent = kept(directory.withdraw(name, kid, actor=_me()), None)
    end(agent, as_json=as_json)


@app.command()
def recertify(
    name: Annotated[str, typer.Argument(help="An agent's name or SPIFFE id.")],
    expires: Annotated[str, typer.Option(help="Its new last day, like 2027-06-30.")],
    database: Database = None,
    home: Home = None,
    *,
    as_json: Json = False,
) -> None:
    """Have its owner stand by an agent until another day.

    Example: iamrange agents recertify data-analyst --expires 2027-12-31
    """
    with _opened(database, home) as directory:
        outcome = directory.recertify(name, expires=end_of_day(expires), actor=_me())
        agent = kept(outcome, None)
    end(agent, as_json=as_json)


@app.command()
def svid(
    name: Annotated[str, typer.Argument(help="An agent's name, or a service's SPIFFE id.")],
    *,
    jwt: Annotated[bool, typer.Option("--jwt", help="A JWT-SVID, to standard output.")] = False,
    key_out: Annotated[
        Path | None, typer.Option(help="Where key and chain go; default: NAME-svid.pem.")
    ] = None,
) -> None:
    """Have the running range certify an agent: an X.509-SVID with a key of its own, or a JWT-SVID.

    Services have X.509-SVIDs too, by spiffe://iamrange.example/service/NAME.

    Example: iamrange agents svid data-analyst && curl --cert data-analyst-svid.pem https://...
    """
    from iamrange.identity.directory.model import identifier_of
    from iamrange.range.running import orders_socket, running
    from iamrange.range.service_socket import order

    running()
    agent_id = identifier_of(name)
    if jwt:
        sys.stdout.write(f"{order(orders_socket(), 'issue_jwt_svid', agent_id=agent_id)}\n")
        return
    path = key_out or Path(f"{agent_id.rpartition('/')[2]}-svid.pem")
    private, public = new_certificate_key(path)
    try:
        chain = order(orders_socket(), "issue_svid", agent_id=agent_id, public_key_pem=public)
    except BaseException:
        path.unlink()
        raise
    path.write_text(f"{chain}{private}")
    out.print(Text(f"certificate chain and private key: {path}", "bold"))


@app.command()
def bundle(
    *,
    crl: Annotated[
        bool, typer.Option("--crl", help="What they have withdrawn: their revocation lists.")
    ] = False,
) -> None:
    """Print the certificates that SVIDs are verified by: the running range's trust bundle, PEM.

    Example: iamrange agents bundle > bundle.pem && iamrange agents bundle --crl > crl.pem
    """
    from iamrange.range.running import orders_socket, running
    from iamrange.range.service_socket import order

    running()
    sys.stdout.write(str(order(orders_socket(), "revocation_lists" if crl else "trust_bundle")))


@app.command()
def withdraw_certificates(
    name: Annotated[str, typer.Argument(help="An agent's name, or a service's SPIFFE id.")],
    *,
    as_json: Json = False,
) -> None:
    """Have the running range withdraw all certificates that an agent has; it may have others.

    Quarantine, revoke and retire do this too.

    Example: iamrange agents withdraw-certificates data-analyst
    """
    from iamrange.identity.directory.model import identifier_of
    from iamrange.range.running import orders_socket, running
    from iamrange.range.service_socket import order

    running()
    agent_id = identifier_of(name)
    count = int(order(orders_socket(), "withdraw_certificates", agent_id=agent_id))
    if as_json:
        sys.stdout.write(f"{json.dumps({'agent_id': agent_id, 'withdrawn': count})}\n")
        return
    out.print(Text(f"{agent_id}: {count} certificates withdrawn", "bold"))


def _transition(action: str, summary: str, example: str) -> None:
    """Add a command that carries an agent, or many, over to another state."""

    def command(  # noqa: PLR0913 - one argument an option
        name: Name = None,
        *,
        owner: OwnerFilter = None,
        project: ProjectFilter = None,
        file: Annotated[
            Path | None, typer.Option("--file", help="Names or ids, a line each; - is stdin.")
        ] = None,
        database: Database = None,
        home: Home = None,
        everyone: Everyone = False,
        as_json: Json = False,
    ) -> None:
        with _opened(database, home) as directory:
            if name is not None:
                agent = kept(getattr(directory, action)(name, actor=_me()), None)
                end(agent, as_json=as_json)
                return
            selection: AgentFilter | Iterable[str]
            if file is not None:
                selection = names_in(file)
            elif owner or project or everyone:
                selection = _filter(owner=owner, project=project)
            else:
                misuse(f"{action}: expected NAME, --owner, --project, --file or --all")
            result = directory.change_many(
                action, selection, actor=_me(), progress=told(f"{action}:")
            )
        end_bulk(result, as_json=as_json)

    command.__doc__ = f"{summary}\n\n    Example: {example}"
    app.command(action)(command)


_transition("activate", "Approve a registered agent.", "iamrange agents activate night-shift")
_transition(
    "quarantine",
    "Suspend an agent: it gets nothing, and its tokens are dead.",
    "iamrange agents quarantine data-analyst",
)
_transition("release", "End an agent's quarantine.", "iamrange agents release data-analyst")
_transition(
    "revoke",
    "Kill every token that an agent holds here, and all that descend from them.",
    "iamrange agents revoke --owner ana@example.com",
)
_transition("retire", "End an agent for good.", "iamrange agents retire data-analyst")


@app.command()
def verify(
    database: Database = None,
    home: Home = None,
    *,
    restored: Annotated[
        bool,
        typer.Option("--restored", help="A backup was restored, on purpose: take it as it is."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the whole directory: every row, its signature, and the signed head over all of them.

    Example: iamrange agents verify
    """
    with _opened(database, home, restored=restored) as directory:
        head = directory.verify()
    if as_json:
        print_json({"agents": head.count, "version": head.version, "intact": True})
        return
    out.print(Text(f"intact: {head.count} agents at version {head.version}", "bold green"))


@app.command()
def events(
    after: Annotated[int, typer.Option(help="Only later versions than this.")] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    database: Database = None,
    home: Home = None,
) -> None:
    """Print what was changed, by whom and when, as JSON lines.

    Example: iamrange agents events --limit 20
    """
    with _opened(database, home) as directory:
        for event in directory.events(after=after, limit=limit):
            sys.stdout.write(json.dumps(event.as_json()) + "\n")


class _Open:
    """An open directory that is closed in the end."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def __enter__(self) -> Directory:
        return self._directory

    def __exit__(self, *_: object) -> None:
        self._directory.close()


def _opened(database: str | None, home: Path | None, *, restored: bool = False) -> _Open:
    from iamrange.identity.directory.directory import Directory

    if database is None:
        from iamrange.range.running import running

        state = running().state["directory"]
        home = Path(state["home"])
        return _Open(Directory.open(state["database"], home, restored=restored))
    if home is None:
        _, found, path = database.partition("sqlite:///")
        if not found or not path:
            misuse(
                f"--home: expected the folder of the key for a database like {_scheme(database)}"
            )
        home = Path(path).parent
    try:
        return _Open(Directory.open(database, home, restored=restored))
    except ValueError as error:
        misuse(f"--database: {error}")


def _scheme(url: str) -> str:
    return url.partition(":")[0][:20]


def _filter(
    *,
    state: str | None = None,
    owner: str | None = None,
    project: str | None = None,
    scope: str | None = None,
    expired: bool | None = None,
) -> AgentFilter:
    from iamrange.identity.directory.listing import AgentFilter
    from iamrange.identity.directory.model import AgentState

    if state is not None and state not in tuple(AgentState):
        misuse(f"--state expected one of {', '.join(AgentState)}, got {state!r}")
    return AgentFilter(
        owner=owner,
        project=project,
        state=None if state is None else AgentState(state),
        scope=scope,
        expired=expired,
    )


def _paged(directory: Directory, where: AgentFilter, after: int, limit: int) -> Iterator[Agent]:
    from iamrange.identity.directory.listing import MAX_PAGE

    left, position = limit, after
    while left > 0:
        page = directory.list(where, after=position, limit=min(left, MAX_PAGE))
        yield from page.agents
        left -= len(page.agents)
        if page.next is None:
            return
        position = page.next


def _me() -> str:
    """Name the operator, for the events."""
    return f"operator:{getpass.getuser()}"
