"""The policy's own tests against policies that lack something: each must make a test fail."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import iamrange.access
from iamrange.access.policy_engine import PolicyError, read_folder
from iamrange.access.policy_tests import results_of, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXTS = read_folder(Path(iamrange.access.__file__).parent / "policy")
AUTHORIZATION = "authorization.rego"
ROLES = "roles.rego"


def blocks(text: str) -> list[str]:
    """Split a policy into its rules, by the empty lines between them."""
    return [block for block in re.split(r"\n\n", text) if block.strip()]


def is_rule(block: str) -> bool:
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    return bool(lines) and not lines[0].startswith(("package", "import"))


def without_rules() -> Iterator[tuple[str, str]]:
    """Yield the policy without one rule, for each rule."""
    parts = blocks(TEXTS[AUTHORIZATION])
    for number, block in enumerate(parts):
        if is_rule(block):
            left = "\n\n".join(parts[:number] + parts[number + 1 :]) + "\n"
            yield f"without rule {number}: {first_line(block)}", left


def without_conditions() -> Iterator[tuple[str, str]]:
    """Yield the policy without one condition of one rule, for each."""
    parts = blocks(TEXTS[AUTHORIZATION])
    for number, block in enumerate(parts):
        lines = block.splitlines()
        conditions = [
            index
            for index, line in enumerate(lines)
            if re.match(r"\t[^\t]", line) and not line.rstrip().endswith(("{", "}", "["))
        ]
        for index in conditions:
            if len(conditions) > 1 and not lines[index].strip().startswith("some "):
                changed = "\n".join(lines[:index] + lines[index + 1 :])
                left = "\n\n".join([*parts[:number], changed, *parts[number + 1 :]]) + "\n"
                rule = f"rule {number}: {first_line(block)}"
                yield f"{rule}: without `{lines[index].strip()}`", left


def turned_around() -> Iterator[tuple[str, str]]:
    """Yield the policy with one comparison or negation turned around, for each."""
    text = TEXTS[AUTHORIZATION]
    for pattern, instead in ((" == ", " != "), (" != ", " == "), (" <= ", " < "), ("not ", "")):
        for found in re.finditer(re.escape(pattern), text):
            line = text.count("\n", 0, found.start()) + 1
            if text.splitlines()[line - 1].startswith("#"):
                continue
            changed = text[: found.start()] + instead + text[found.end() :]
            yield f"line {line}: `{pattern.strip()}` became `{instead.strip()}`", changed


def other_grants() -> Iterator[tuple[str, str]]:
    """Yield the table of roles with one grant gone, or reaching one label further or less."""
    text = TEXTS[ROLES]
    for found in re.finditer(r'"rule": "([a-z-]+)"', text):
        yield f"{found[1]} is no rule's name", text.replace(found[1], "gone")
    further = {"public": "internal", "internal": "confidential", "confidential": "restricted"}
    for found in re.finditer(r'"up_to": "(public|internal|confidential)"', text):
        line = text.count("\n", 0, found.start()) + 1
        changed = f'{text[: found.start()]}"up_to": "{further[found[1]]}"{text[found.end() :]}'
        yield f"line {line} reaches {further[found[1]]}", changed
    for found in re.finditer(r'"(approval|lifts)": true', text):
        line = text.count("\n", 0, found.start()) + 1
        changed = f'{text[: found.start()]}"{found[1]}": false{text[found.end() :]}'
        yield f"line {line} needs no {found[1]}", changed


def first_line(block: str) -> str:
    return next(line for line in block.splitlines() if not line.startswith("#"))


def survives(file: str, text: str) -> bool:
    try:
        return all(test.passed for test in results_of({**TEXTS, file: text}))
    except PolicyError:
        return False


@pytest.mark.parametrize(
    ("file", "mutants", "least"),
    [
        pytest.param(AUTHORIZATION, without_rules, 55, id="without a rule"),
        pytest.param(AUTHORIZATION, without_conditions, 55, id="without a condition"),
        pytest.param(AUTHORIZATION, turned_around, 40, id="turned around"),
        pytest.param(ROLES, other_grants, 38, id="other grants"),
    ],
)
def test_each_mutant_of_the_policy_fails_a_test(
    file: str, mutants: Callable[[], Iterator[tuple[str, str]]], least: int
) -> None:
    made = list(mutants())
    assert len(made) >= least
    assert [name for name, text in made if survives(file, text)] == []


def test_the_policy_itself_passes() -> None:
    assert all(test.passed for test in run_tests(TEXTS))
