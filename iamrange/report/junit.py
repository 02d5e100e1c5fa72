"""The report for CI servers: JUnit XML, one test case a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

from junitparser import Error, JUnitXml, Skipped, TestCase, TestSuite
from junitparser import Failure as JUnitFailure

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.core.result import RunResult, ScenarioResult


def write(result: RunResult, path: Path) -> None:
    """Write the result as JUnit XML: a scenario not proved fails, a broken range is an error."""
    suite = TestSuite("iamrange")
    suite.timestamp = str(int(result.started))
    for scenario in result.scenarios:
        suite.add_testcase(_case(scenario))
    if result.off_in_stack:
        case = TestCase("controls are on", classname="stack")
        case.result = [JUnitFailure(f"off in the stack: {', '.join(result.off_in_stack)}")]
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    document.update_statistics()
    document.write(str(path), pretty=True)


def _case(scenario: ScenarioResult) -> TestCase:
    family, _, name = scenario.id.partition("/")
    case = TestCase(name, classname=family, time=round(scenario.trial.seconds, 3))
    case.result = [
        Error(failure.message) if failure.range_broke else JUnitFailure(failure.message)
        for failure in scenario.failures
    ]
    if scenario.excused:
        case.result = [Skipped(f"not evaluated: {scenario.trial.judgement.detail}")]
    elif not scenario.proved and not scenario.failures:
        case.result = [JUnitFailure(f"not proved: {scenario.claim}")]
    return case
