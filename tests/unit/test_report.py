"""What the reports say of a result: machines' JSON, CI's JUnit, people's table."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import jsonschema  # type: ignore[import-untyped]  # published without annotations
import pytest
from junitparser import JUnitXml
from rich.console import Console

from iamrange.core.controls import CONTROLS
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement
from iamrange.core.result import Cell, RunResult, ScenarioResult
from iamrange.core.verdict import Failure, Judgement, Legitimate, Proof, RefusedBy, Trial, Verdict
from iamrange.report import as_json, junit
from iamrange.report.terminal import show, summary

if TYPE_CHECKING:
    from pathlib import Path

NAME = "family/attack-it"
GUARD = "aws.trust-pins-subject"
RECORD = DecisionRecord(
    request_id="request-1",
    time=1_700_000_000.0,
    point="aws.authorize",
    action="sts:AssumeRoleWithWebIdentity",
    resource="arn:aws:iam::100000000002:role/agents/x",
    principal="spiffe://iamrange.example/agent/y",
    outcome=Outcome.DENY,
    reason="implicit-deny",
    layers=(
        LayerAnswer(
            layer="trust",
            effect=Effect.IMPLICIT_DENY,
            reason="no-statement-allows",
            near_misses=(
                Statement(policy="trust", statement="OnlyOne", condition_keys=("idp:sub",)),
            ),
        ),
    ),
)
REFUSED = Judgement(
    verdict=Verdict.BLOCKED,
    refusals=(
        RefusedBy(
            request_id="request-1",
            point="aws.authorize",
            action="sts:AssumeRoleWithWebIdentity",
            layer="trust",
            effect="implicit-deny",
            reason="no-statement-allows",
            statement="trust OnlyOne",
            condition_keys=("idp:sub",),
            guards=(GUARD,),
        ),
    ),
)
HELD = Trial(
    scenario=NAME,
    off=frozenset(),
    rogue=None,
    judgement=REFUSED,
    records=(RECORD,),
    legitimate=(Legitimate(part="data-analyst", when="after", ok=True),),
    seconds=1.0,
)
OPENED = replace(HELD, off=frozenset({GUARD}), judgement=Judgement(verdict=Verdict.SUCCEEDED))
PROOF = Proof(guard=GUARD, scenario=NAME, context=frozenset(), with_it=HELD, without_it=OPENED)
SCENARIO = ScenarioResult(
    id=NAME,
    claim="it holds",
    lesson="A lesson.",
    guards=(GUARD,),
    asset="aws-secret:hr-assistant",
    trial=HELD,
    proofs=(PROOF,),
)
GOOD = RunResult(
    run_id="abcd1234",
    target="embedded",
    started=1_700_000_000.0,
    seconds=12.0,
    versions={"iamrange": "0"},
    scenarios=(SCENARIO,),
    matrix=(Cell(scenario=NAME, control=GUARD, trial=OPENED),),
)
FAILURE = Failure(scenario=NAME, guard=GUARD, message=f"{GUARD} is off: {NAME} now works")
FAILED = replace(
    GOOD,
    scenarios=(replace(SCENARIO, trial=OPENED, proofs=(), failures=(FAILURE,)),),
    off_in_stack=(GUARD,),
    matrix=(),
)
BROKEN = replace(
    GOOD,
    scenarios=(
        replace(
            SCENARIO,
            proofs=(),
            failures=(Failure(scenario=NAME, guard=None, message="it broke", range_broke=True),),
        ),
    ),
)
RESULTS = {"good": GOOD, "failed": FAILED, "broken": BROKEN}


@pytest.mark.parametrize("name", RESULTS)
def test_every_report_holds_to_its_schema(name: str) -> None:
    validator = jsonschema.Draft202012Validator(as_json.schema())
    validator.check_schema(as_json.schema())
    validator.validate(as_json.report(RESULTS[name]))


def test_the_schema_refuses_a_report_without_a_part_of_it() -> None:
    report = as_json.report(GOOD)
    for part in ("scenarios", "controls", "matrix", "unevaluated", "run_id", "target", "versions"):
        lacking = {key: value for key, value in report.items() if key != part}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(lacking, as_json.schema())


def test_the_report_names_who_refused_where_and_why() -> None:
    (scenario,) = as_json.report(GOOD)["scenarios"]
    assert scenario["proved"] is True
    assert scenario["trial"]["refusal"] == {
        "where": "aws.authorize trust",
        "reason": "no-statement-allows",
        "statement": "trust OnlyOne",
    }
    (proof,) = scenario["proofs"]
    assert (proof["with"]["verdict"], proof["without"]["verdict"]) == ("blocked", "succeeded")
    assert proof["without"]["off"] == [GUARD]


def test_the_report_lists_every_control_with_what_proves_it() -> None:
    controls = {control["id"]: control for control in as_json.report(GOOD)["controls"]}
    assert set(controls) == set(CONTROLS)
    assert controls[GUARD]["proved_by"] == [{"scenario": NAME, "context": []}]
    assert controls[GUARD]["single_point_of_failure"] is True
    others = [control for name, control in controls.items() if name != GUARD]
    assert all(control["proved_by"] == [] for control in others)


def test_a_cell_that_nobody_could_see_is_a_failure_of_the_range() -> None:
    broken = replace(OPENED, judgement=Judgement(verdict=Verdict.ERROR, detail="no world"))
    result = replace(GOOD, matrix=(Cell(scenario=NAME, control=GUARD, trial=broken),))
    assert not result.proved
    assert result.range_broke
    (failure,) = result.failures
    assert failure.message == f"range broke: {NAME} without {GUARD}: no world"


def test_the_matrix_fits_a_terminal_and_names_what_opens() -> None:
    cells = tuple(
        Cell(scenario=NAME, control=control, trial=OPENED if control == GUARD else HELD)
        for control in CONTROLS
    )
    console = Console(width=100, file=io.StringIO())
    show(replace(GOOD, matrix=cells), console)
    text = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert f"{GUARD}: succeeded" in " ".join(text.split())
    marks = [c for line in text.split("each attack against")[1].splitlines() for c in line]
    assert sum(c == "." for c in marks) >= len(CONTROLS) - 1


def test_each_cell_of_the_matrix_cites_its_records() -> None:
    (cell,) = as_json.report(GOOD)["matrix"]
    assert cell["request_ids"] == ["request-1"]
    assert [record["request_id"] for record in cell["records"]] == ["request-1"]


@pytest.mark.parametrize(
    ("name", "tests", "failures", "errors"),
    [("good", 1, 0, 0), ("failed", 2, 2, 0), ("broken", 1, 0, 1)],
)
def test_junit_counts_what_failed_and_what_broke(
    tmp_path: Path, name: str, tests: int, failures: int, errors: int
) -> None:
    junit.write(RESULTS[name], tmp_path / "junit.xml")
    document = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (document.tests, document.failures, document.errors) == (tests, failures, errors)


def test_junit_says_which_control_is_off_and_which_attack_works(tmp_path: Path) -> None:
    junit.write(FAILED, tmp_path / "junit.xml")
    text = (tmp_path / "junit.xml").read_text()
    assert f"{GUARD} is off: {NAME} now works" in text
    assert f"off in the stack: {GUARD}" in text


def test_junit_fails_a_scenario_that_nothing_proved(tmp_path: Path) -> None:
    unproved = replace(GOOD, scenarios=(replace(SCENARIO, proofs=()),))
    junit.write(unproved, tmp_path / "junit.xml")
    assert JUnitXml.fromfile(str(tmp_path / "junit.xml")).failures == 1


def shown(result: RunResult) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(result, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("good", ["all proved: 1 of 1 attacks", NAME, GUARD, "no-statement-allows (idp:sub)"]),
        ("failed", ["NOT PROVED: 0 of 1", f"{NAME} now works", GUARD]),
        ("broken", ["NOT PROVED", "range broke: it broke"]),
    ],
)
def test_people_are_told_what_held_what_works_and_what_broke(name: str, said: list[str]) -> None:
    text = shown(RESULTS[name])
    assert [words for words in said if words not in text] == []


NOT_EVALUATED = replace(
    SCENARIO,
    id="rogue-agents/other",
    proofs=(),
    excused=True,
    trial=replace(
        HELD,
        judgement=Judgement(verdict=Verdict.NOT_EVALUATED, detail="lacks jails-agents: refused"),
        records=(),
        legitimate=(),
    ),
)


def test_what_a_machine_cannot_run_is_listed_and_fails_nothing(tmp_path: Path) -> None:
    result = replace(GOOD, scenarios=(SCENARIO, NOT_EVALUATED))
    assert result.proved
    text = shown(result)
    assert "all proved (1 not evaluated on embedded): 1 of 2 attacks" in text
    assert "not evaluated: rogue-agents/other: lacks jails-agents: refused" in text
    junit.write(result, tmp_path / "junit.xml")
    document = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (document.tests, document.failures, document.skipped) == (2, 0, 1)
    jsonschema.validate(as_json.report(result), as_json.schema())


def test_what_was_not_evaluated_without_an_excuse_is_not_proved() -> None:
    assert not replace(GOOD, scenarios=(SCENARIO, replace(NOT_EVALUATED, excused=False))).proved
    assert not replace(GOOD, scenarios=(NOT_EVALUATED,)).proved


def test_a_run_of_no_scenarios_is_not_proved() -> None:
    nothing = replace(GOOD, scenarios=(), matrix=())
    assert not nothing.proved
    assert summary(nothing).startswith("NOT PROVED")
    assert as_json.report(nothing)["proved"] is False
