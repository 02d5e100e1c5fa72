"""`iamrange rotate ...`: replace a value with overlap, see the old one dead, or bring it back.

- Exit status: 0 replaced, waiting for its overlap, or not due; 1 a consumer failed and has the old
  value back, or the old value is not dead; 2 misuse; 3 vault, cloud or journal cannot be used.
- A rotation that was interrupted is gone on with by the same command.
"""

# The rooms are imported inside the commands: `--help` must not wait for the SDKs.
# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from iamrange.cli_console import Exit, Json, broke, err, misuse, out, print_json, refuse
from iamrange.cli_range import opened_directory, own_accounts, own_regions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.credentials.inventory.aws import AwsAccess
    from iamrange.credentials.rotation.ports import Acceptor, Vault
    from iamrange.credentials.rotation.states import Rotation

app = typer.Typer(no_args_is_help=True, help="Replace credentials, on schedule or on incident.")

JOURNAL = "rotations"
_CONSUMER_SECONDS = 120

VaultOption = Annotated[
    str,
    typer.Option("--vault", metavar="aws:NAME|gcp:NAME|bao:PATH", help="The secret that holds it."),
]
Consumers = Annotated[
    list[str] | None,
    typer.Option(
        "--consumer", help="A command that works with the vault's value; exit 0: it does."
    ),
]
Every = Annotated[
    float | None, typer.Option(min=0, help="Days: do nothing where it was replaced since.")
]
Overlap = Annotated[
    float, typer.Option(min=0, help="Seconds for which old and new are good together.")
]
Incident = Annotated[
    bool, typer.Option("--incident", help="Now: whatever the schedule, without overlap.")
]
Account = Annotated[
    str | None, typer.Option(help="The AWS account of key or secret; default: the workloads'.")
]


@dataclass(frozen=True, slots=True)
class _Command:
    """A consumer that is a command of the operator's. What it prints stays unseen."""

    name: str

    def failure(self) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                shlex.split(self.name),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_CONSUMER_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return type(error).__name__
        return None if done.returncode == 0 else f"exit status {done.returncode}"


@app.command()
def key(  # noqa: PLR0913, PLR0917 - one argument an option
    user: Annotated[str, typer.Argument(help="The IAM user whose access key it is.")],
    vault: VaultOption,
    consumer: Consumers = None,
    every: Every = None,
    overlap: Overlap = 0.0,
    account: Account = None,
    *,
    incident: Incident = False,
    as_json: Json = False,
) -> None:
    """Replace an IAM access key that lies in a vault as JSON of AccessKeyId and SecretAccessKey.

    In a vault: bao:STORE/PATH, or bao:STORE/PATH#MEMBER where the member is not called `value`.

    Example: iamrange rotate key backup --vault aws:platform/backup-key --every 30
    """
    from iamrange.credentials.rotation.aws import AccessKeys

    state = _state()
    place = _aws(state, account)
    acceptor = AccessKeys(place, user)
    _rotate(
        state, _vault(state, vault, place), acceptor, consumer, every, overlap, incident, as_json
    )


@app.command("client-secret")
def client_secret(  # noqa: PLR0913 - one argument an option
    agent: Annotated[str, typer.Argument(help="The agent whose client secret it is.")],
    vault: VaultOption,
    consumer: Consumers = None,
    every: Every = None,
    account: Account = None,
    *,
    incident: Incident = False,
    as_json: Json = False,
) -> None:
    """Replace an agent's client secret. The directory keeps one: the old one ends at once.

    Example: iamrange rotate client-secret fleet-sensor --vault gcp:fleet-sensor-secret --incident
    """
    from iamrange.credentials.rotation.directory import ClientSecret

    state = _state()
    with contextlib.closing(opened_directory(state)) as directory:
        acceptor = ClientSecret(directory, agent)
        place = _vault(state, vault, _aws(state, account))
        _rotate(state, place, acceptor, consumer, every, 0.0, incident, as_json)


def _rotate(  # noqa: PLR0913, PLR0917 - what both commands were given
    state: Mapping[str, Any],
    vault: Vault,
    acceptor: Acceptor,
    consumers: Sequence[str] | None,
    every: float | None,
    overlap: float,
    incident: bool,  # noqa: FBT001 - same
    as_json: bool,  # noqa: FBT001 - same
) -> None:
    from iamrange.core.clock import SystemClock
    from iamrange.credentials.rotation.journal import BusyError, Journal, JournalError
    from iamrange.credentials.rotation.ports import GoneError, PortDownError
    from iamrange.credentials.rotation.run import Parts, StillAcceptedError, rotate
    from iamrange.credentials.rotation.states import State, due

    if incident and (every is not None or overlap):
        misuse("--incident: expected without --every and --overlap")
    journal, clock = Journal(_journal_folder(state)), SystemClock()
    try:
        begun = journal.last(vault.name)
        under_way = begun is not None and not begun.over
        if every is not None and not under_way and not due(vault.replaced_at(), every, clock.now()):
            _say({"state": "not-due", "secret": vault.name}, "not due", as_json=as_json)
            return
        rotation = rotate(
            Parts(vault=vault, acceptor=acceptor, consumers=[_Command(c) for c in consumers or ()]),
            journal,
            clock,
            reason="incident" if incident else "schedule",
            overlap=overlap,
            hear=_tell,
        )
    except (BusyError, StillAcceptedError) as error:
        refuse(str(error))
    except (PortDownError, GoneError, JournalError) as error:
        broke(str(error))
    words = f"{vault.name}: {rotation.state}, version {rotation.new}"
    if rotation.state is State.UNDONE:
        words = f"{vault.name}: undone, the old value is back: {rotation.why_undone}"
    _say(rotation.to_json(), words, as_json=as_json)
    if rotation.state is State.UNDONE:
        raise typer.Exit(Exit.FAILED)


def _tell(rotation: Rotation) -> None:
    err.print(Text(f"  {rotation.state}", "dim"))


def _say(told: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        out.print(Text(words, "bold"))


def _state() -> Mapping[str, Any]:
    from iamrange.range.running import running

    return running().state


def _journal_folder(state: Mapping[str, Any]) -> Path:
    return Path(state["folder"]) / JOURNAL


def _aws(state: Mapping[str, Any], account: str | None) -> AwsAccess:
    from iamrange.credentials.inventory.aws import AwsAccess

    account = account or next(iter(state["facts"].values()))["aws_account"]
    if account not in own_accounts(state):
        misuse(f"--account expected one of {', '.join(own_accounts(state))}, got '{account}'")
    return AwsAccess(
        account=account,
        region=own_regions(state)[0],
        endpoint=state["aws"]["endpoint"],
        key=state["aws"]["accounts"][account],
    )


def _vault(state: Mapping[str, Any], text: str, place: AwsAccess) -> Vault:
    from iamrange.credentials.inventory.google import GoogleAccess
    from iamrange.credentials.rotation.aws import SecretsManagerVault
    from iamrange.credentials.rotation.google import SecretManagerVault

    kind, _, name = text.partition(":")
    if not name or kind not in {"aws", "gcp", "bao"}:
        misuse(f"--vault expected aws:NAME, gcp:NAME or bao:PATH, got '{text}'")
    if kind == "bao":
        return _key_value(state, name)
    if kind == "aws":
        return SecretsManagerVault(place, name)
    project, facts = next(iter(state["gcp"]["projects"].items()))
    access = GoogleAccess(
        project=project, token=facts["access_token"], endpoint=state["gcp"]["endpoint"]
    )
    return SecretManagerVault(access, name)


def _key_value(state: Mapping[str, Any], name: str) -> Vault:
    from iamrange.cli_range import vault_access
    from iamrange.credentials.rotation.ports import PortDownError
    from iamrange.credentials.rotation.vault import vault_at

    access = vault_access(state)
    if access is None:
        misuse(f"--vault bao:{name}: expected a stack with a vault; this one has none")
    try:
        return vault_at(access, name)
    except PortDownError as error:
        broke(str(error))
