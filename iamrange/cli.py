"""The command line: thin. It parses, calls the rooms, prints, and chooses the exit status.

Exit status: 0 good, 1 a claim failed, 2 misuse, 3 the range broke.
"""

# The rooms are imported inside the commands: `--help` and `env` must not wait for the SDKs.
# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from iamrange import (
    cli_actors,
    cli_agents,
    cli_approvals,
    cli_audit,
    cli_behaviour,
    cli_gateway,
    cli_policy,
    cli_privileges,
    cli_rotate,
    cli_scan,
    cli_sprawl,
    cli_tokens,
)
from iamrange.cli_console import Exit, Json, err, misuse, out, print_json, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.result import RunResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A range for AI-agent identity: attacks prove which control stopped them.",
)
controls_app = typer.Typer(invoke_without_command=True, help="List, show and switch controls.")
app.add_typer(controls_app, name="controls")
app.add_typer(cli_agents.app, name="agents")
app.add_typer(cli_tokens.app, name="tokens")
app.add_typer(cli_approvals.app, name="approvals")
app.add_typer(cli_policy.app, name="policy")
app.add_typer(cli_audit.app, name="audit")
app.add_typer(cli_gateway.app, name="gateway")
app.add_typer(cli_behaviour.app, name="behaviour")
cli_scan.app.command()(cli_sprawl.sprawl)
cli_scan.app.command()(cli_actors.actors)
cli_scan.app.command()(cli_privileges.privileges)
app.add_typer(cli_scan.app, name="scan")
app.add_typer(cli_rotate.app, name="rotate")

DEFAULT_OUT = Path("reports/latest")
PATIENCE = 3
"""How many signals it takes to leave without taking down in order."""


@app.command()
def run(  # noqa: PLR0913 - one argument an option
    scenarios: Annotated[list[str] | None, typer.Argument(help="Ids; none: all.")] = None,
    target: Annotated[str, typer.Option(help="Where to run: embedded, localstack.")] = "embedded",
    jobs: Annotated[int | None, typer.Option(help="Worlds at once; default: cores.")] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where reports go.")] = DEFAULT_OUT,
    *,
    matrix: Annotated[bool, typer.Option("--matrix", help="Each single control off.")] = False,
    as_json: Json = False,
) -> None:
    """Attack, take controls away, attack again, and say what is proved.

    Example: iamrange run token-theft/gcp-token-at-aws --matrix
    """
    from iamrange.range.progress import ConsoleProgress
    from iamrange.range.runner import TARGETS, RunOptions
    from iamrange.range.runner import run as run_range

    if target not in TARGETS:
        misuse(f"--target expected one of {', '.join(TARGETS)}, got '{target}'")
    if jobs is not None and jobs < 1:
        misuse(f"--jobs expected 1 or more, got {jobs}")
    options = RunOptions(
        scenarios=tuple(scenarios or ()),
        target=target,
        matrix=matrix,
        jobs=jobs or os.cpu_count() or 1,
    )
    result = run_range(options, ConsoleProgress(err))
    _write_reports(result, out_dir)
    if as_json:
        sys.stdout.write((out_dir / "report.json").read_text(encoding="utf-8"))
    else:
        from iamrange.report.terminal import show

        show(result, out)
        out.print(Text(f"reports: {out_dir / 'report.json'}, {out_dir / 'junit.xml'}", "dim"))
    if result.range_broke:
        raise typer.Exit(Exit.BROKE)
    raise typer.Exit(Exit.GOOD if result.proved else Exit.FAILED)


def _write_reports(result: RunResult, folder: Path) -> None:
    from iamrange.report import as_json, junit

    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(as_json.report(result), indent=2)
    (folder / "report.json").write_text(document + "\n", encoding="utf-8")
    junit.write(result, folder / "junit.xml")


@app.command()
def attack(
    scenario: Annotated[str, typer.Argument(help="The scenario's id.")],
    without: Annotated[
        list[str] | None, typer.Option(help="A control or invariant to take away.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Attack once, on a fresh copy of the range, with chosen controls taken away.

    Exit 0: refused; 1: the attack worked; 3: neither could be seen.
    Example: iamrange attack token-theft/oidc-token-for-another-role --without
    aws.trust-pins-subject
    """
    from iamrange.core.verdict import Verdict
    from iamrange.range.progress import ConsoleProgress
    from iamrange.range.runner import RunOptions, attack_once
    from iamrange.report.as_json import trial_report

    trial = attack_once(scenario, tuple(without or ()), RunOptions(), ConsoleProgress(err))
    judgement = trial.judgement
    if as_json:
        print_json(trial_report(trial))
    else:
        out.print(Text(f"{judgement.verdict}: {scenario}", "bold"))
        for refused in judgement.refusals:
            out.print(
                Text(
                    f"  {refused.point} {refused.layer}: {refused.reason} {refused.statement} "
                    f"{' '.join(refused.condition_keys)} -> {', '.join(refused.guards) or '-'}"
                )
            )
        if judgement.detail:
            out.print(Text(f"  {judgement.detail}"))
    if judgement.verdict in (Verdict.ERROR, Verdict.NOT_EVALUATED):
        raise typer.Exit(Exit.BROKE)
    raise typer.Exit(Exit.FAILED if judgement.verdict is Verdict.SUCCEEDED else Exit.GOOD)


@app.command()
def hijack(
    documents: Annotated[
        list[Path], typer.Argument(help="Text files.", exists=True, dir_okay=False)
    ],
    without: Annotated[list[str] | None, typer.Option(help="A control to take away.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Have the support agent, which obeys what it reads, read documents on a fresh range.

    Shows each call that it makes, who refused it and why, and what reached the attacker's host
    https://drop.attacker.example. Exit 0: nothing did; 1: something did.
    Example: iamrange hijack ticket.txt --without access.gateway-only-egress
    """
    from iamrange.range.progress import ConsoleProgress
    from iamrange.range.runner import RunOptions, hijack_once

    texts = [path.read_text(encoding="utf-8", errors="replace") for path in documents]
    done = hijack_once(texts, tuple(without or ()), RunOptions(), ConsoleProgress(err))
    if as_json:
        print_json(
            {
                "steps": list(done.steps),
                "turned_away": [away.target for away, _ in done.turned_away],
                "outside": list(done.outside),
                "jailed": done.jailed,
            }
        )
    else:
        for step in done.steps:
            out.print(Text(_step_line(step)), soft_wrap=True)
        place = "with one way out" if done.jailed else "on the host's network: it has no jail"
        out.print(Text(f"the agent ran {place}; texts that arrived outside: {len(done.outside)}"))
    raise typer.Exit(Exit.FAILED if done.outside else Exit.GOOD)


def _step_line(step: Mapping[str, Any]) -> str:
    call, answer = step["call"], step["answer"]
    what = {
        "aws": f"{call['service']} {call['operation']}",
        "read": f"read {call['path']}",
        "send": f"POST {call['url']}",
    }.get(call["tool"], f"{call['method']} {call['url']}")
    no_token = f" (no token: {answer['token_refused']})" if answer["token_refused"] else ""
    return f"{what} -> {answer['refused'] or answer['status'] or 'done'}{no_token}"


@app.command()
def scenarios(
    name: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the scenarios, or show one.

    Example: iamrange scenarios key-leakage/access-key-minted
    """
    from iamrange.range.catalogue import chosen
    from iamrange.report.docs import scenario_page

    entries = chosen([name] if name else [])
    if as_json:
        print_json(
            [{"id": e.id, "claim": e.scenario.claim, "blocked_by": list(e.guards)} for e in entries]
        )
    elif name:
        out.print(Text(scenario_page(entries[0].id, entries[0].scenario)))
    else:
        for entry in entries:
            out.print(Text.assemble((entry.id, "bold"), f"\n  {entry.scenario.claim}"))


@controls_app.callback()
def controls(context: typer.Context, *, as_json: Json = False) -> None:
    """List the controls; `off ID` and `on ID` switch one on the running range.

    Example: iamrange controls off aws.least-privilege
    """
    from iamrange.core.controls import CONTROLS, INVARIANTS

    if context.invoked_subcommand is not None:
        return
    if as_json:
        print_json(
            [
                {"id": c.id, "summary": c.summary, "without_it": c.without_it}
                for c in CONTROLS.values()
            ]
        )
        return
    for control in CONTROLS.values():
        out.print(Text.assemble((control.id, "bold"), f"\n  {control.summary}"))
    out.print(Text("\ninvariants (nobody can switch them off)", "dim"))
    for invariant in INVARIANTS.values():
        out.print(Text.assemble((invariant.id, "bold"), f"\n  {invariant.summary}"))


@controls_app.command("show")
def controls_show(name: str) -> None:
    """Show one control: what it does, the lapse without it, what it touches.

    Example: iamrange controls show gcp.attribute-condition
    """
    from iamrange.core.controls import control_named

    control = control_named(name)
    out.print(Text(control.id, "bold"))
    out.print(Text(f"  {control.summary}\n  without it: {control.without_it}"))
    touches = ", ".join(sorted(control.touches)) or "settings of the range's own services"
    out.print(Text(f"  touches: {touches}"))


@controls_app.command("off")
def controls_off(name: str) -> None:
    """Switch a control off on the running range; what is provisioned, by a real `pulumi up`.

    Example: iamrange controls off aws.network-perimeter
    """
    _switch(name, on=False)


@controls_app.command("on")
def controls_on(name: str) -> None:
    """Switch a control on again on the running range.

    Example: iamrange controls on aws.network-perimeter
    """
    _switch(name, on=True)


def _switch(name: str, *, on: bool) -> None:
    from iamrange.range.running import switch

    result = switch(name, on=on)
    for step in result.changed:
        out.print(Text(f"  {step.operation} {step.type} {step.name}"))
    out.print(Text(f"{name} is {'on' if on else 'off'} ({result.seconds:.1f} s)", "bold"))


@app.command()
def up(
    target: Annotated[str, typer.Option(help="Where to run: embedded, localstack.")] = "embedded",
    policy: Annotated[
        Path | None, typer.Option(help="The gateway's Rego files; default: the range's own.")
    ] = None,
) -> None:
    """Leave a hardened range running. It follows its policy's folder: `iamrange policy status`.

    Example: iamrange up && eval "$(iamrange env)" && pulumi preview
    """
    from iamrange.access.policy_bundle import PolicyFolder
    from iamrange.access.policy_engine import PolicyError
    from iamrange.range.runner import TARGETS, RunOptions
    from iamrange.range.service import start

    if target not in TARGETS:
        misuse(f"--target expected one of {', '.join(TARGETS)}, got '{target}'")
    if policy is not None:
        try:
            PolicyFolder(policy)
        except PolicyError as error:
            misuse(f"--policy: {error}")
    found = start(
        RunOptions(target=target, policy=policy), lambda line: err.print(Text(line, "dim"))
    )
    out.print(Text(f"the range is up: {found.state['world']}", "bold green"))
    out.print(Text('next: eval "$(iamrange env)", then pulumi, aws, boto3, google clients'))


@app.command()
def down() -> None:
    """Take the running range down; nothing stays.

    Example: iamrange down
    """
    from iamrange.range.service import stop

    out.print(Text(f"the range is down: {stop()}"))


@app.command()
def status(*, as_json: Json = False) -> None:
    """Say what is running.

    Example: iamrange status --json
    """
    from iamrange.range.running import running

    found = running()
    state = found.state
    if as_json:
        print_json(
            {
                "world": state["world"],
                "ca_file": state["ca_file"],
                "env": found.environment(),
                "issuer": state["issuer"],
                "token_endpoint": state["token_endpoint"],
                "directory": state["directory"]["url"],
                "gateway": state["gateway"],
                "aws": state["aws"],
                "gcp": state["gcp"],
                "vault": state["vault"],
                "audit": state["audit"],
            }
        )
        return
    people = ", ".join(person.rpartition("/")[2] for person in state["gateway"]["people"])
    out.print(Text(f"world {state['world']}, stack {state['stack']}", "bold"))
    out.print(Text(f"  issuer {state['issuer']}"))
    out.print(Text(f"  tokens {state['token_endpoint']}"))
    out.print(Text(f"  directory {state['directory']['url']}"))
    out.print(Text(f"  gateway, for {', '.join(state['gateway']['services'].values())}"))
    out.print(Text(f"  approvals {state['gateway']['approvals']}; people: {people}"))
    out.print(Text(f"  AWS {state['aws']['endpoint']}: {', '.join(state['aws']['accounts'])}"))
    out.print(Text(f"  GCP {state['gcp']['endpoint']}: {', '.join(state['gcp']['projects'])}"))
    out.print(Text(f"  vault {state['vault']['address']}"))
    out.print(Text(f"  agents: {', '.join(state['names'].values())}"))


@app.command()
def env(
    agent: Annotated[str | None, typer.Option(help="Work as this agent.")] = None,
    network: Annotated[str | None, typer.Option(help="Stand in this network.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Print the variables that make a shell work on the running range.

    Example: eval "$(iamrange env --agent hr-assistant)"
    """
    from iamrange.range.running import running

    variables = running().environment(agent, network)
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command("exec", context_settings={"ignore_unknown_options": True})
def exec_(
    agent: Annotated[str, typer.Argument(help="The agent to work as, by its name.")],
    command: Annotated[list[str], typer.Argument(help="What to run, after `--`.")],
    network: Annotated[str | None, typer.Option(help="Stand in this network.")] = None,
) -> None:
    """Run a command as an agent of the running range, which stops it if it accuses the agent.

    The exit status is the command's own; 128 and a signal's number if that ended it. What the
    command leaves running ends with it.

    Example: iamrange exec data-analyst -- python nightly.py
    """
    from iamrange.cli_range import opened_directory
    from iamrange.range.agent_processes import NotStartedError, Started, work_as
    from iamrange.range.running import running

    found = running()
    environment = {**os.environ, **found.environment(agent, network)}
    name, identifier = found.identity(agent)

    def may_not() -> str | None:
        with contextlib.closing(opened_directory(found.state)) as directory:
            entry = directory.get(identifier)
        state = "not registered" if entry is None else entry.state.value
        return None if state == "active" else f"agent '{name}': {state}: it may not work"

    try:
        status, stopped = work_as(
            Started(Path(found.state["folder"])), name, command, environment, may_not
        )
    except NotStartedError as error:
        refuse(str(error))
    if stopped:
        err.print(Text(f"stopped: {name} stands accused; iamrange behaviour incidents", "red"))
    raise typer.Exit(status)


@app.command()
def clouds(  # noqa: PLR0913 - one argument an option
    *,
    aws_upstream: Annotated[str | None, typer.Option(help="An emulator's URL.")] = None,
    account: Annotated[list[str] | None, typer.Option(help="An AWS account id.")] = None,
    organization: Annotated[str | None, typer.Option(help="The management account.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="A project: ID=NUMBER.")] = None,
    resolve: Annotated[list[str] | None, typer.Option(help="An issuer: HOST=URL.")] = None,
    trust_ca: Annotated[
        list[str] | None, typer.Option(help="A PEM file of authorities that issuers may use.")
    ] = None,
    unmapped: Annotated[
        str, typer.Option(help="AWS operations that nothing maps to permissions: deny or allow.")
    ] = "deny",
    explain: Annotated[
        bool, typer.Option("--explain", help="AWS's denials name policy, statement, condition.")
    ] = False,
    as_json: Json = True,
) -> None:
    """Serve only the enforcing clouds, in the foreground; the first line says where they are.

    Example: iamrange clouds --account 111122223333 --resolve idp.example.com=http://127.0.0.1:8000
    """
    from iamrange.range.clouds import CloudsOptions, serve_clouds

    del as_json  # its first line is JSON always
    raise typer.Exit(
        serve_clouds(
            CloudsOptions(
                accounts=tuple(account or ()),
                organization=organization,
                projects=tuple(project or ()),
                resolve=tuple(resolve or ()),
                trust_ca=tuple(trust_ca or ()),
                aws_upstream=aws_upstream,
                unmapped=unmapped,
                explain=explain,
            )
        )
    )


@app.command(hidden=True)
def docs(
    folder: Annotated[Path, typer.Option(help="Where the documents are.")] = Path("docs"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Only compare.")] = False,
) -> None:
    """Generate the documents that come from the declarations, or check that they are current.

    Example: iamrange docs --check
    """
    from iamrange.range.catalogue import catalogue
    from iamrange.report.docs import stale, write

    entries = {entry.id: entry.scenario for entry in catalogue().values()}
    if not check:
        write(entries, folder)
        return
    outdated = stale(entries, folder)
    if outdated:
        err.print(Text(f"stale: {', '.join(outdated)}; way out: make docs", "red"))
        raise typer.Exit(Exit.FAILED)


class _Interrupted(BaseException):
    """A signal asked for the end.

    No KeyboardInterrupt: typer would take it, and exit with 130 without a word.
    """


class _Ending:
    """Ends the command at the first signal; later ones do not disturb the taking down."""

    def __init__(self) -> None:
        self._signals = 0

    def __call__(self, _number: int, _frame: object) -> None:
        self._signals += 1
        if self._signals == 1:
            raise _Interrupted
        err.print(Text("taking the range down; a moment", "dim"))
        if self._signals > PATIENCE:
            # What is left dies with this process, and its folder is swept at the next start.
            os._exit(Exit.BROKE)


def main() -> None:
    """Run the command line; a known error ends as one clear message and its exit status."""
    from iamrange.engine.errors import OperationInterruptedError

    ending = _Ending()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ending)
    try:
        app(standalone_mode=True)
    except (_Interrupted, OperationInterruptedError):
        err.print(Text("interrupted; nothing is left running", "red"))
        sys.exit(Exit.BROKE)
    except Exception as error:
        status_code = _status_of(error)
        if status_code is None:
            raise
        err.print(Text(f"error: {error}", "red"))
        sys.exit(status_code)


def _status_of(error: Exception) -> Exit | None:
    """Return the exit status for an error that the range knows, None for any other."""
    from iamrange.core.controls import UnknownNameError
    from iamrange.engine.errors import EngineError
    from iamrange.identity.directory.errors import DirectoryKeyError, SchemaError, TamperedError
    from iamrange.identity.stores.errors import StoreDownError
    from iamrange.range.catalogue import CatalogueError
    from iamrange.range.deployment import DeploymentError
    from iamrange.range.emulator import EmulatorDownError, EmulatorUrlError
    from iamrange.range.landing import LandingError
    from iamrange.range.processes import ProcessError
    from iamrange.range.running import AlreadyRunningError, NotRunningError
    from iamrange.range.service_socket import OrderRefusedError
    from iamrange.range.stage import StageError

    misuse = (UnknownNameError, LandingError, AlreadyRunningError, NotRunningError)
    if isinstance(error, (*misuse, EmulatorUrlError)):
        return Exit.MISUSE
    if isinstance(error, (TamperedError, OrderRefusedError)):
        return Exit.FAILED
    broke = (
        EngineError,
        ProcessError,
        DeploymentError,
        StageError,
        CatalogueError,
        EmulatorDownError,
        StoreDownError,
        DirectoryKeyError,
        SchemaError,
        OSError,
    )
    return Exit.BROKE if isinstance(error, broke) else None


if __name__ == "__main__":
    main()
