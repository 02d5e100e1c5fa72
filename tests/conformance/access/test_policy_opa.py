"""Real OPA and the engine in process on the same policy: the same answers, the same tests."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import iamrange.access
from iamrange.access import opa
from iamrange.access.policy_engine import PolicyEngine, read_folder
from iamrange.access.policy_tests import each_test, run_tests
from tests.conformance.access import policy_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

POLICY = Path(iamrange.access.__file__).parent / "policy"


@pytest.fixture(scope="module")
def binary() -> Path:
    if opa.find() is None and shutil.which("go") is None:
        pytest.skip("no OPA on this machine, and no Go to build it with")
    return opa.build()


@pytest.fixture(scope="module")
def server(binary: Path) -> Iterator[opa.OpaServer]:
    with opa.running(binary, POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine.from_folder(POLICY)


def answers(engine: PolicyEngine, text: str) -> dict[str, Any]:
    answer = engine.ask(text)
    return {"allow": answer.allow, "deny": list(answer.deny), "rules": list(answer.rules)}


def opinion(server: opa.OpaServer, text: str) -> dict[str, Any]:
    document = server.ask(text)
    allow = document["allow"]
    # rules that would have allowed are told where nothing speaks against it only
    return {"allow": allow, "deny": document["deny"], "rules": document["rules"] if allow else []}


def compared(
    engine: PolicyEngine, server: opa.OpaServer, inputs: Iterable[Any]
) -> tuple[int, int, list[str]]:
    """Return how many were allowed and denied, and where the two engines differ."""
    allowed, denied, differences = 0, 0, []
    for values in inputs:
        text = json.dumps(values)
        ours, theirs = answers(engine, text), opinion(server, text)
        if ours != theirs:
            differences.append(f"{text}: here {ours}, OPA {theirs}")
        assert theirs["allow"] is (not theirs["deny"]), text
        assert theirs["allow"] is bool(theirs["rules"]), text
        allowed, denied = allowed + theirs["allow"], denied + (not theirs["allow"])
    return allowed, denied, differences


@pytest.mark.parametrize(
    ("inputs", "least_allowed", "least_denied"),
    [
        pytest.param(policy_inputs.proper, 50, 3000, id="proper"),
        pytest.param(lambda: policy_inputs.by_hand(1, 3000), 50, 2000, id="by hand"),
        pytest.param(lambda: policy_inputs.mischief(2, 3000), 20, 2000, id="mischief"),
    ],
)
def test_opa_and_the_engine_in_process_give_the_same_answer(
    engine: PolicyEngine,
    server: opa.OpaServer,
    inputs: Callable[[], Iterable[object]],
    least_allowed: int,
    least_denied: int,
) -> None:
    allowed, denied, differences = compared(engine, server, inputs())
    assert differences[:3] == []
    assert allowed >= least_allowed
    assert denied >= least_denied


def test_what_is_remembered_is_what_opa_says(engine: PolicyEngine, server: opa.OpaServer) -> None:
    assert engine.remembers
    for values in itertools.islice(policy_inputs.by_hand(3, 500), 500):
        text = json.dumps(values)
        for _ in range(2):
            answer = engine.evaluate(text)
            assert answer.allow is opinion(server, text)["allow"], text


def test_opas_own_tests_pass_and_cover_every_rule(binary: Path) -> None:
    tests = opa.test(binary, POLICY)
    assert tests.failed == ()
    assert tests.not_covered == ()
    assert tests.coverage == 100


def test_opa_and_the_engine_in_process_run_the_same_tests(binary: Path) -> None:
    texts = read_folder(POLICY)
    assert sorted(opa.test(binary, POLICY).passed) == sorted(
        name for _, name, _ in each_test(texts)
    )
    assert [test for test in run_tests(texts) if not test.passed] == []


def test_opa_finds_nothing_to_complain_of(binary: Path) -> None:
    assert opa.check(binary, POLICY) == ""


def test_plain_opa_answers_from_the_folder_as_it_is(binary: Path) -> None:
    values = {
        "agent": {"role": "data-analyst"},
        "action": "read",
        "resource": {"classification": "public"},
    }
    query = "data.ai.authorization.allow"
    assert opa.evaluate(binary, POLICY, json.dumps(values), query) is True
    assert opa.evaluate(binary, POLICY, "{}", query) is False


def test_a_policy_that_opa_refuses_is_told_with_its_line(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package ai.authorization\n\nallow if {\n")
    assert "a.rego:4" in opa.check(binary, tmp_path)
    with pytest.raises(opa.OpaError, match="opa eval"):
        opa.evaluate(binary, tmp_path, "{}", "data.ai.authorization.allow")
    with pytest.raises(opa.OpaError, match="ended at its start"), opa.running(binary, tmp_path):
        pass


def test_a_folder_without_tests_is_a_failure(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package ai.authorization\n\ndefault allow := false\n")
    with pytest.raises(opa.OpaError, match="got none"):
        opa.test(binary, tmp_path)
