"""Explanations of the policy's answers, and the commands that print them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import iamrange.access
from iamrange.access import policy_engine
from iamrange.access.policy_engine import PolicyEngine, read_folder
from iamrange.access.policy_explain import MEANINGS, MOST_WAYS, explain
from iamrange.cli_policy import app

POLICY = Path(iamrange.access.__file__).parent / "policy"
ENGINE = PolicyEngine.from_folder(POLICY)
RUN = CliRunner()
READS = {
    "agent": {"role": "data-analyst"},
    "action": "read",
    "resource": {"classification": "public"},
}


def reads(**agent: object) -> dict[str, Any]:
    return {**READS, "agent": {"role": "data-analyst", **agent}}


def writes(label: str, **members: object) -> dict[str, Any]:
    return {**READS, "action": "write", "resource": {"classification": label, **members}}


@pytest.mark.parametrize(
    ("values", "way"),
    [
        (writes("internal"), ("a manager has signed an approval of this very call",)),
        (
            writes("restricted"),
            (
                "a manager has signed an approval of this very call",
                "the data is labelled confidential",
            ),
        ),
        (
            writes("internal", project="people"),
            (
                "a manager has signed an approval of this very call",
                "the agent works on the project people",
            ),
        ),
        (reads(state="quarantined"), ("the agent is active",)),
        ({**reads(tenant="b"), "context": {"tenant": "a"}}, ("the agent is of the tenant a",)),
        (reads(classification="secret"), ("the agent's own ceiling is public",)),
        ({**READS, "approval": "yes"}, ("there is no approval",)),
        ({**READS, "agent": {"role": "nobody"}}, ("the agent has the role data-analyst",)),
        ({**READS, "agent": 1}, ()),
        ({**READS, "action": "execute"}, ("the agent has the role platform-admin",)),
        ({**READS, "resource": {}}, ("the data is labelled public",)),
        (
            {
                "agent": {"roles": ["hr-assistant"], "classification": "internal"},
                "action": "read",
                "resource": {"service": "hr", "classification": "confidential"},
            },
            ("the agent's own ceiling is confidential",),
        ),
    ],
)
def test_what_would_have_to_change_is_told(values: dict[str, Any], way: tuple[str, ...]) -> None:
    explanation = explain(ENGINE, json.dumps(values))
    assert not explanation.answer.allow
    assert explanation.ways[:1] == ((way,) if way else ())
    assert len(explanation.ways) <= MOST_WAYS
    assert [code for code, _ in explanation.meanings] == list(explanation.answer.deny)
    assert all(meaning for _, meaning in explanation.meanings)


def test_what_is_allowed_needs_no_change() -> None:
    explanation = explain(ENGINE, json.dumps(READS))
    assert explanation.answer.rules == ("analyst-reads-public-data",)
    assert (explanation.meanings, explanation.ways) == ((), ())


def test_what_is_no_input_has_no_way() -> None:
    explanation = explain(ENGINE, "[]")
    assert explanation.answer.deny == (policy_engine.INPUT,)
    assert explanation.ways == ()


def test_every_reason_of_the_policy_has_a_meaning_and_every_meaning_a_reason() -> None:
    text = read_folder(POLICY)["authorization.rego"]
    own = {policy_engine.INPUT, policy_engine.UNDEFINED, policy_engine.ERROR}
    assert set(re.findall(r'^deny contains "([a-z-]+)"', text, re.MULTILINE)) | own == set(MEANINGS)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["agent", "action", "resource", "approval", "context"]),
        st.none()
        | st.sampled_from(["read", "execute", "write"])
        | st.integers()
        | st.dictionaries(
            st.sampled_from(["role", "roles", "classification", "project", "tenant", "state"]),
            st.sampled_from(["platform-admin", "data-analyst", "public", "x"])
            | st.lists(st.sampled_from(["data-analyst", 1]))
            | st.none(),
        ),
    )
)
def test_every_input_is_explained(values: dict[str, Any]) -> None:
    explanation = explain(ENGINE, json.dumps(values))
    assert explanation.answer == ENGINE.evaluate(json.dumps(values))


# The commands.


def test_eval_says_which_rule_allowed() -> None:
    done = RUN.invoke(app, ["eval", json.dumps(READS)])
    assert done.exit_code == 0
    assert done.stdout == "allowed by analyst-reads-public-data\n"


def test_eval_says_what_denied_and_reads_files_and_stdin(tmp_path: Path) -> None:
    (tmp_path / "call.json").write_text(json.dumps(writes("internal")))
    for arguments, stdin in (
        ([str(tmp_path / "call.json")], None),
        (["-"], json.dumps(writes("internal"))),
    ):
        done = RUN.invoke(app, ["eval", *arguments, "--json"], input=stdin)
        assert done.exit_code == 1
        assert json.loads(done.stdout) == {
            "allow": False,
            "deny": ["approval-required"],
            "rules": [],
        }


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "{", '{"action": NaN}'])
def test_eval_denies_what_is_no_input(text: str) -> None:
    done = RUN.invoke(app, ["eval", text])
    assert done.exit_code == 1
    assert done.stdout == "denied: policy-input\n"


def test_explain_prints_reasons_ways_and_what_the_schema_says() -> None:
    values = {**writes("internal"), "approval": {"manager_signed": "true"}}
    done = RUN.invoke(app, ["explain", json.dumps(values)])
    assert done.exit_code == 1
    assert "approval-required: this waits for an approval that a manager has signed" in done.stdout
    assert "would be allowed if " in done.stdout
    assert "$.approval.manager_signed" in done.stderr
    shown = json.loads(RUN.invoke(app, ["explain", json.dumps(values), "--json"]).stdout)
    assert shown["deny"] == ["approval-malformed", "approval-required"]
    assert shown["would_be_allowed_if"]
    assert len(shown["not_of_the_schema"]) == 1


def test_explain_of_an_allowed_call_is_good() -> None:
    done = RUN.invoke(app, ["explain", json.dumps(READS), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["would_be_allowed_if"] == []


def test_explain_says_when_it_found_no_change() -> None:
    done = RUN.invoke(app, ["explain", "{}"])
    assert done.exit_code == 1
    assert "no change that was tried makes it allowed" in done.stdout


def test_test_runs_the_policys_tests() -> None:
    done = RUN.invoke(app, ["test", "--json"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["failed"] == []
    assert answer["passed"] > 50


def test_test_names_what_failed(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(POLICY, folder)
    text = (folder / "roles.rego").read_text()
    (folder / "roles.rego").write_text(text.replace('"up_to": "public"', '"up_to": "internal"', 1))
    done = RUN.invoke(app, ["test", "--policy", str(folder)])
    assert done.exit_code == 1
    assert "failed: test_each_grant_ends_at_its_label" in done.stdout
    shown = json.loads(RUN.invoke(app, ["test", "--policy", str(folder), "--json"]).stdout)
    assert "test_each_grant_ends_at_its_label" in {test["name"] for test in shown["failed"]}


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval"],
        ["eval", "nothing.json"],
        ["eval", "{}", "--policy", "nothing"],
        ["eval", "x" * 5000],
        ["explain", "nothing.json"],
        ["test", "--policy", "nothing"],
        ["drop"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_misuse_is_2(arguments: list[str]) -> None:
    assert RUN.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("command", [["eval", "{}"], ["explain", "{}"], ["test"]])
def test_a_broken_policy_is_3(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package ai.authorization\n\nallow if {\n")
    done = RUN.invoke(app, [*command, "--policy", str(tmp_path)])
    assert done.exit_code == 3
    assert "a.rego:4" in done.stderr


@pytest.mark.parametrize("command", ["eval", "explain", "test"])
def test_help_has_an_example(command: str) -> None:
    done = RUN.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: iamrange policy {command}" in done.stdout
