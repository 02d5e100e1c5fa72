"""Run the tests that a policy brings along (`*_test.rego`) by the engine that decides calls.

- They are the tests that `opa test` runs: rules `test_...` that must be true.
- No tests is a failure, never a success.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.access.policy_engine import TEST_SUFFIX
from iamrange.access.rego import Complaint, PolicyError, Rego

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
    rego = Rego(texts)
    for file, name, path in each_test(texts):
        answer = rego.ask(path)
        if isinstance(answer, Complaint):
            yield PolicyTest(file, name, passed=False, detail=answer.text)
        elif answer is True:
            yield PolicyTest(file, name, passed=True)
        else:
            detail = f"expected true, got {json.dumps(answer)}"
            yield PolicyTest(file, name, passed=False, detail=detail)


def each_test(texts: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield every test: its file, its name, its path below `data`."""
    for file, text in sorted(texts.items()):
        package = _PACKAGE.search(text)
        if not file.endswith(TEST_SUFFIX) or package is None:
            continue
        for name in dict.fromkeys(_TEST.findall(text)):
            yield file, name, f"data.{package[1]}.{name}"
