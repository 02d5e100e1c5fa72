"""A third engine, rego-cpp by regopy, on some of the same inputs; and the commands' `--opa`."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import iamrange.access
from iamrange.access import opa
from iamrange.access.policy_engine import PolicyEngine
from iamrange.cli_policy import app
from tests.conformance.access import policy_inputs

POLICY = Path(iamrange.access.__file__).parent / "policy"
QUESTION = "x = [data.ai.authorization.allow, data.ai.authorization.deny]"
RUN = CliRunner()


def test_rego_cpp_gives_the_same_answers() -> None:
    regopy = pytest.importorskip("regopy", reason="regopy is not installed")
    engine = PolicyEngine.from_folder(POLICY)
    third = regopy.Interpreter()
    for name, text in engine.texts.items():
        third.add_module(name, text)
    asked, allowed, differences = 0, 0, []
    for values in itertools.chain(
        itertools.islice(policy_inputs.proper(), 0, None, 42),
        policy_inputs.by_hand(11, 100),
        policy_inputs.mischief(12, 100),
    ):
        text = json.dumps(values)
        third.set_input_term(text)
        answer = engine.ask(text)
        allow, deny = json.loads(str(third.query(QUESTION)))["bindings"]["x"]
        asked, allowed = asked + 1, allowed + answer.allow
        if (allow, tuple(sorted(deny))) != (answer.allow, answer.deny):
            differences.append(f"{text}: here {answer}, rego-cpp {allow} {deny}")
    assert differences[:3] == []
    assert asked > 300
    assert allowed > 5


def built() -> Path:
    if opa.find() is None and shutil.which("go") is None:
        pytest.skip("no OPA on this machine, and no Go to build it with")
    return opa.build()


def test_eval_holds_its_answer_against_opa() -> None:
    built()
    allowed = {
        "agent": {"role": "data-analyst"},
        "action": "read",
        "resource": {"classification": "public"},
    }
    assert RUN.invoke(app, ["eval", json.dumps(allowed), "--opa"]).exit_code == 0
    assert RUN.invoke(app, ["eval", "{}", "--opa"]).exit_code == 1


def test_a_difference_between_the_engines_is_told(tmp_path: Path) -> None:
    built()
    # `not` before a call whose argument is undefined: true here, undefined by OPA
    (tmp_path / "a.rego").write_text(
        "package ai.authorization\n\ndefault allow := false\n\n"
        "allow if {\n\tinput.agent.x\n\tnot is_string(input.agent.role)\n}\n"
    )
    done = RUN.invoke(app, ["eval", '{"agent": {"x": 1}}', "--opa", "--policy", str(tmp_path)])
    assert done.exit_code == 3
    assert "OPA answers false, the engine in process true" in done.stderr


def test_the_tests_run_by_opa_too() -> None:
    built()
    done = RUN.invoke(app, ["test", "--opa", "--json"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["opa"]["passed"] == answer["passed"]
    assert answer["opa"]["coverage"] == 100


def test_a_policy_that_opa_cannot_test_is_broken(tmp_path: Path) -> None:
    built()
    shutil.copytree(POLICY, tmp_path / "policy")
    # a name that nobody uses is no fault to the engine in process
    with (tmp_path / "policy" / "authorization_test.rego").open("a") as file:
        file.write(
            "\ntest_x if {\n\tevery unused, each in roles.grants {\n\t\tcount(each) > 0\n\t}\n}\n"
        )
    done = RUN.invoke(app, ["test", "--opa", "--policy", str(tmp_path / "policy")])
    assert done.exit_code == 3
    assert "unused" in done.stderr
