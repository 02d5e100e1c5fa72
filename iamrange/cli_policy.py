"""`iamrange policy ...`: ask the policy, run its tests, have an answer explained.

- Answers go to standard output, complaints to standard error.
- Exit status: 0 allowed, or all tests passed; 1 denied, or a test failed, or a changed policy was
  refused; 2 misuse; 3 the policy is broken, or OPA and the engine in process differ.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from iamrange.cli_console import Exit, Json, broke, err, misuse, out, print_json

if TYPE_CHECKING:
    from iamrange.access.opa import OpaTests
    from iamrange.access.policy_engine import PolicyAnswer, PolicyEngine

app = typer.Typer(no_args_is_help=True, help="Ask the policy, test it, have it explained.")

_MAX_SHOWN = 10

Input = Annotated[
    str, typer.Argument(metavar="INPUT", help="A JSON file, - for stdin, or the JSON text itself.")
]
Folder = Annotated[
    Path | None, typer.Option("--policy", help="Folder of Rego files; default: the range's own.")
]
Opa = Annotated[
    bool, typer.Option("--opa", help="Ask real OPA too; built once if it is not there.")
]


@app.command("eval")
def evaluate(
    asked: Input, policy: Folder = None, *, opa: Opa = False, as_json: Json = False
) -> None:
    """Ask the policy about one call. Exit status 1: denied.

    Example: iamrange policy eval call.json
    """
    text = _input(asked)
    engine = _engine(policy)
    answer = engine.evaluate(text)
    if opa:
        _hold_against_opa(text, answer, _folder(policy))
    if as_json:
        print_json(_shown(answer))
    else:
        _print_answer(answer)
    _end(good=answer.allow)


@app.command("explain")
def explain(asked: Input, policy: Folder = None, *, as_json: Json = False) -> None:
    """Say which rule allowed a call, or what stood against it and would have to change.

    Example: iamrange policy explain '{"agent": {"role": "support-llm"}, "action": "read",
    "resource": {"service": "hr", "classification": "confidential"}}'
    """
    from iamrange.access.policy_explain import explain as explained

    text = _input(asked)
    explanation = explained(_engine(policy), text)
    answer = explanation.answer
    complaints = _schema_complaints(text)
    if as_json:
        print_json(
            {
                **_shown(answer),
                "reasons": [
                    {"code": code, "meaning": meaning} for code, meaning in explanation.meanings
                ],
                "would_be_allowed_if": [list(way) for way in explanation.ways],
                "not_of_the_schema": complaints,
            }
        )
    else:
        _print_answer(answer, dict(explanation.meanings))
        for way in explanation.ways:
            out.print(Text("would be allowed if " + ", and ".join(way)))
        if not answer.allow and not explanation.ways:
            out.print(Text("no change that was tried makes it allowed"))
        for complaint in complaints:
            err.print(Text(f"input: {complaint}", "yellow"))
    _end(good=answer.allow)


@app.command("test")
def run_tests(policy: Folder = None, *, opa: Opa = False, as_json: Json = False) -> None:
    """Run the tests that the policy brings along. Exit status 1: one failed.

    Example: iamrange policy test --opa
    """
    from iamrange.access.policy_engine import PolicyError, read_folder
    from iamrange.access.policy_tests import run_tests as run

    folder = _folder(policy)
    try:
        tests = run(read_folder(folder))
    except PolicyError as error:
        broke(str(error))
    failed = [test for test in tests if not test.passed]
    second = _opa_tests(folder) if opa else None
    if as_json:
        answer: dict[str, Any] = {
            "passed": len(tests) - len(failed),
            "failed": [{"name": test.name, "detail": test.detail} for test in failed],
        }
        if second is not None:
            answer["opa"] = {
                "passed": len(second.passed),
                "failed": list(second.failed),
                "coverage": second.coverage,
                "not_covered": list(second.not_covered),
            }
        print_json(answer)
    else:
        for test in failed:
            out.print(Text(f"failed: {test.name}: {test.detail}", "red"))
        out.print(Text(f"{len(tests) - len(failed)} passed, {len(failed)} failed", "bold"))
        if second is not None:
            out.print(
                Text(
                    f"OPA: {len(second.passed)} passed, {len(second.failed)} failed, "
                    f"{second.coverage:g} % of the lines covered",
                    "bold",
                )
            )
    _end(good=not failed and not (second is not None and second.failed))


@app.command()
def status(*, as_json: Json = False) -> None:
    """Say which policy the running range goes by, and why a newer one was refused: then exit 1.

    Example: iamrange policy status --json
    """
    from iamrange.range.running import policy_status

    found = policy_status()
    if as_json:
        print_json(dict(found))
    else:
        out.print(Text(f"policy {found['digest']}", "bold"))
        out.print(Text(f"  follows {found['folder']}: {', '.join(found['files'])}"))
        if found["refusal"]:
            out.print(Text(f"  the folder as it is now is refused: {found['refusal']}", "red"))
    _end(good=not found["refusal"])


def _folder(policy: Path | None) -> Path:
    if policy is None:
        import iamrange.access

        return Path(iamrange.access.__file__).parent / "policy"
    if not policy.is_dir():
        misuse(f"--policy: expected a folder, got {str(policy)!r}")
    return policy


def _engine(policy: Path | None) -> PolicyEngine:
    from iamrange.access.policy_engine import PolicyEngine, PolicyError

    try:
        return PolicyEngine.from_folder(_folder(policy))
    except PolicyError as error:
        broke(str(error))


def _input(asked: str) -> str:
    if asked.lstrip().startswith("{"):
        return asked
    try:
        return sys.stdin.read() if asked == "-" else Path(asked).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        misuse(f"INPUT: expected a JSON file, got {asked[:80]!r}: {reason}")


def _schema_complaints(text: str) -> list[str]:
    """Return where an input is not of the schema; the policy may allow it all the same."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # publishes no types

    schema = json.loads((_folder(None) / "input.schema.json").read_text())
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [str(error)]
    found = sorted(
        Draft202012Validator(schema).iter_errors(values), key=lambda each: each.json_path
    )
    return [f"{each.json_path}: {each.message}"[:300] for each in found[:_MAX_SHOWN]]


def _hold_against_opa(text: str, answer: PolicyAnswer, folder: Path) -> None:
    from iamrange.access import opa

    try:
        second = opa.evaluate(opa.build(), folder, text, "data.ai.authorization.allow")
    except opa.OpaError as error:
        broke(str(error))
    if second is not answer.allow:
        broke(f"OPA answers {json.dumps(second)}, the engine in process {json.dumps(answer.allow)}")


def _opa_tests(folder: Path) -> OpaTests:
    from iamrange.access import opa

    try:
        return opa.test(opa.build(), folder)
    except opa.OpaError as error:
        broke(str(error))


def _shown(answer: PolicyAnswer) -> dict[str, Any]:
    return {"allow": answer.allow, "deny": list(answer.deny), "rules": list(answer.rules)}


def _print_answer(answer: PolicyAnswer, meanings: dict[str, str] | None = None) -> None:
    if answer.allow:
        out.print(Text(f"allowed by {', '.join(answer.rules) or 'a rule without a name'}", "green"))
        return
    out.print(Text(f"denied: {', '.join(answer.deny) or 'no rule allows it'}", "red"))
    for code, meaning in (meanings or {}).items():
        out.print(Text(f"  {code}: {meaning}" if meaning else f"  {code}"))


def _end(*, good: bool) -> None:
    if not good:
        raise typer.Exit(Exit.FAILED)
