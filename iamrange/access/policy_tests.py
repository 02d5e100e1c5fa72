"""Run the tests that a policy brings along (`*_test.rego`) by the engine that decides calls.

- They are the tests that `opa test` runs: rules `test_...` that must be true.
- No tests is a failure, never a success.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import regorus  # type: ignore[import-untyped] # the wheel has no type information

from iamrange.access.policy_engine import TEST_SUFFIX, PolicyError, first_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGE = re.compile(r"^package[ \t]+([\w.]+)", re.MULTILINE)
_TEST = re.compile(r"^(test_\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One test and how it went; `detail` says why it failed."""

    file: str
    name: str
    passed: bool
    detail: str = ""


def run_tests(texts: Mapping[str, str]) -> tuple[PolicyTest, ...]:
    """Run every test of a policy's files: name -> Rego text.

    Raises:
        PolicyError: a file is no Rego, or there is no test.
    """
    results = tuple(results_of(texts))
    if not results:
        raise PolicyError(f"policy: expected tests in files *{TEST_SUFFIX}, got none")
    return results


def results_of(texts: Mapping[str, str]) -> Iterator[PolicyTest]:
    """Yield the result of each test as it is run.

    Raises:
        PolicyError: a file is no Rego.
    """
    engine = regorus.Engine()
    for name, text in sorted(texts.items()):
        try:
            engine.add_policy(name, text)
        except RuntimeError as error:
            raise PolicyError(f"policy {name}: {first_lines(error)}") from None
    for test in each_test(texts):
        yield _run(engine, *test)


def each_test(texts: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield every test: its file, its name, its path below `data`."""
    for file, text in sorted(texts.items()):
        package = _PACKAGE.search(text)
        if not file.endswith(TEST_SUFFIX) or package is None:
            continue
        for name in dict.fromkeys(_TEST.findall(text)):
            yield file, name, f"data.{package[1]}.{name}"


def _run(engine: object, file: str, name: str, path: str) -> PolicyTest:
    try:
        answer = json.loads(engine.eval_rule_as_json(path))  # type: ignore[attr-defined] # no types
    except (RuntimeError, ValueError) as error:
        return PolicyTest(file, name, passed=False, detail=first_lines(error))
    if answer is True:
        return PolicyTest(file, name, passed=True)
    return PolicyTest(file, name, passed=False, detail=f"expected true, got {json.dumps(answer)}")
