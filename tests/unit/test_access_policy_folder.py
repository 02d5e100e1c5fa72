"""The policy's folder while it is in use: what is taken, what is refused, what stays meanwhile."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import iamrange.access
from iamrange.access.policy_bundle import PolicyChange, PolicyFolder
from iamrange.access.policy_engine import PolicyError
from iamrange.access.policy_tests import PolicyTest, results_of, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Path(iamrange.access.__file__).parent / "policy"
READS = json.dumps(
    {
        "agent": {"role": "data-analyst"},
        "action": "read",
        "resource": {"classification": "public"},
    }
)
WRITES = READS.replace('"read"', '"write"')


class Ticking:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class House:
    """A copy of the real policy's folder, followed."""

    def __init__(self, below: Path) -> None:
        self.folder = below / "policy"
        shutil.copytree(POLICY, self.folder)
        self.clock = Ticking()
        self.told: list[PolicyChange] = []
        self.policy = PolicyFolder(
            self.folder, every=1.0, monotonic=self.clock, tell=self.told.append
        )
        self.first = self.policy.current()

    def looks(self, times: int = 2) -> None:
        """Let time pass, with a look at the folder each second."""
        for _ in range(times):
            self.clock.now += 1.0
            self.policy.current()

    def change(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    @property
    def kept(self) -> bool:
        return self.policy.current() is self.first

    @property
    def reads(self) -> bool:
        return self.policy.current().evaluate(READS).allow


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def stricter(house: House) -> None:
    """Take reading from analysts, in the policy and in its tests."""
    house.change(
        "roles.rego", '"action": "read", "up_to": "public"}', '"action": "x", "up_to": "public"}'
    )
    (house.folder / "authorization_test.rego").write_text(
        "package ai.authorization_test\n\nimport data.ai.authorization\n\n"
        "test_nothing if not authorization.allow with input as {}\n"
    )


def test_a_changed_folder_is_taken_after_two_looks_alike(house: House) -> None:
    stricter(house)
    assert house.kept
    house.looks(1)
    assert house.kept
    house.looks(1)
    assert not house.reads
    assert not house.kept
    assert house.policy.refusal == ""
    assert house.told == [PolicyChange(house.policy.current().digest)]


def test_an_unchanged_folder_stays_without_a_word(house: House) -> None:
    house.looks(5)
    assert house.kept
    assert house.told == []


def test_it_is_not_looked_at_before_its_time(house: House) -> None:
    stricter(house)
    house.clock.now += 0.9
    for _ in range(10):
        assert house.reads
    house.looks()
    assert not house.reads


def test_a_file_that_is_still_being_written_is_waited_for(house: House) -> None:
    whole = (house.folder / "authorization.rego").read_text() + "\n# longer\n"
    for end in range(1000, len(whole), 2500):
        (house.folder / "authorization.rego").write_text(whole[:end])
        house.looks(1)
        assert house.kept
    (house.folder / "authorization.rego").write_text(whole)
    house.looks()
    assert house.told == [PolicyChange(house.policy.current().digest)]
    assert house.reads


def unreadable(house: House) -> None:
    path = house.folder / "roles.rego"
    path.unlink()
    path.mkdir()


def gone(house: House) -> None:
    house.folder.rename(house.folder.with_name("elsewhere"))


def half_written(house: House) -> None:
    path = house.folder / "authorization.rego"
    path.write_text(path.read_text().partition('deny contains "other-project"')[0])


def cut_in_a_word(house: House) -> None:
    path = house.folder / "authorization.rego"
    path.write_text(path.read_text().rpartition("(count")[0].rpartition("(rules")[0])


def cut_at_a_rule(house: House) -> None:
    path = house.folder / "authorization.rego"
    path.write_text(path.read_text().partition("deny contains")[0])


def no_allow(house: House) -> None:
    path = house.folder / "authorization.rego"
    path.write_text(path.read_text().rpartition("\nallow if {")[0])


def emptied(house: House) -> None:
    for path in house.folder.glob("*.rego"):
        path.unlink()


def empty_file(house: House) -> None:
    (house.folder / "roles.rego").write_text("")


def one_file_missing(house: House) -> None:
    (house.folder / "roles.rego").unlink()


def allows_all(house: House) -> None:
    for path in house.folder.glob("*_test.rego"):
        path.unlink()
    house.change("authorization.rego", "default allow := false", "default allow := true")


def answers_text(house: House) -> None:
    house.change("authorization.rego", "default allow := false", 'default allow := "false"')


def without_tests(house: House) -> None:
    (house.folder / "authorization_test.rego").unlink()


def no_test_left(house: House) -> None:
    (house.folder / "authorization_test.rego").write_text("package ai.authorization_test\n")


def rule_gone(house: House) -> None:
    house.change("authorization.rego", 'input.action != "execute"', 'input.action != "x"')


def stray_file(house: House) -> None:
    (house.folder / "b.rego").write_text("package ai.authorization\n\nallow if input.let_me_in\n")
    (house.folder / "c.rego").write_text("package ai.authorization\n\nallow := \n")


def bytes_that_are_no_text(house: House) -> None:
    (house.folder / "roles.rego").write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (unreadable, "policy roles.rego: cannot be read: Is a directory"),
        (gone, "cannot be read"),
        (half_written, "tests fail"),
        (cut_in_a_word, "authorization.rego:"),
        (cut_at_a_rule, "tests fail"),
        (no_allow, "tests fail"),
        (emptied, "expected Rego files, got none"),
        (empty_file, "roles.rego"),
        (one_file_missing, "tests fail"),
        (allows_all, "got true"),
        (answers_text, 'got "false"'),
        (without_tests, "expected tests"),
        (no_test_left, "expected tests"),
        (rule_gone, "tests fail"),
        (stray_file, "c.rego:4"),
        (bytes_that_are_no_text, "expected UTF-8"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_folder_is_refused_and_the_policy_before_stays(
    house: House, fault: Callable[[House], None], complaint: str
) -> None:
    fault(house)
    house.looks(4)
    assert house.kept
    assert house.reads
    assert complaint in house.policy.refusal
    assert house.told == [PolicyChange(house.first.digest, house.policy.refusal)]


def test_a_folder_that_is_whole_again_is_taken_again(house: House) -> None:
    half_written(house)
    house.looks()
    assert house.policy.refusal
    shutil.copy(POLICY / "authorization.rego", house.folder)
    house.looks()
    assert house.policy.refusal == ""
    assert house.kept
    gone(house)
    house.looks()
    house.folder.with_name("elsewhere").rename(house.folder)
    stricter(house)
    house.looks()
    assert not house.reads
    assert [bool(change.refusal) for change in house.told] == [True, True, False]


def test_the_same_fault_again_is_told_again(house: House) -> None:
    for _ in range(2):
        half_written(house)
        house.looks(3)
        shutil.copy(POLICY / "authorization.rego", house.folder)
        house.looks(3)
    assert len(house.told) == 2


def test_without_a_policy_to_begin_with_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        PolicyFolder(tmp_path / "nothing")


def test_a_policy_that_fails_its_tests_is_none_to_begin_with(tmp_path: Path) -> None:
    shutil.copytree(POLICY, tmp_path / "policy")
    path = tmp_path / "policy" / "roles.rego"
    path.write_text(path.read_text().replace('"up_to": "public"', '"up_to": "restricted"', 1))
    with pytest.raises(PolicyError, match="test_each_grant_ends_at_its_label"):
        PolicyFolder(tmp_path / "policy")


def test_several_threads_may_ask_while_it_changes(house: House) -> None:
    seen: list[bool] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(house.policy.current().evaluate(WRITES).allow)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        half_written(house)
        house.looks(2)
        shutil.copy(POLICY / "authorization.rego", house.folder)
        stricter(house)
        house.looks(3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen
    assert not any(seen)
    assert not house.kept


# The tests that a policy brings along.


def brings(body: str) -> dict[str, str]:
    return {
        "a.rego": "package a\n\nallow := input.x\n",
        "a_test.rego": f"package a_test\n\nimport data.a\n\n{body}\n",
    }


@pytest.mark.parametrize(
    ("body", "passed"),
    [
        ('test_x if a.allow with input as {"x": true}', True),
        ('test_x if a.allow with input as {"x": false}', False),
        ("test_x if not a.allow", True),
        ("test_x := 1", False),
        ("test_x := false", False),
        ('test_x if to_number("x") == 1', False),
    ],
)
def test_a_test_passes_when_it_is_true(body: str, passed: bool) -> None:  # noqa: FBT001 - a column of the table
    results = run_tests(brings(body))
    assert [(test.name, test.passed) for test in results] == [("test_x", passed)]
    assert all(bool(test.detail) is not test.passed for test in results)


def test_a_failure_says_what_came_instead() -> None:
    assert run_tests(brings("test_x := 1")) == (
        PolicyTest("a_test.rego", "test_x", passed=False, detail="expected true, got 1"),
    )


def test_no_tests_are_no_success() -> None:
    with pytest.raises(PolicyError, match="got none"):
        run_tests(brings("todo_test_x if false"))
    with pytest.raises(PolicyError, match="got none"):
        run_tests({"a.rego": "package a\n\ntest_x if true\n"})


def test_a_test_file_that_is_no_rego_is_named() -> None:
    with pytest.raises(PolicyError, match=r"a_test\.rego:6"):
        list(results_of(brings("test_x if {")))


def test_a_follower_takes_a_change_though_nobody_calls(tmp_path: Path) -> None:
    house = House(tmp_path)
    followed = PolicyFolder(house.folder, every=0.0)
    before = followed.status()
    stricter(house)

    async def until_taken() -> None:
        following = asyncio.create_task(followed.follow())
        while followed.status().digest == before.digest:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        following.cancel()

    asyncio.run(until_taken())
    assert not followed.current().evaluate(READS).allow


def test_a_look_that_breaks_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    followed = PolicyFolder(house.folder, every=0.0)
    before = followed.status()
    breaks = iter([True, True, False])

    def look() -> None:
        if next(breaks, False):
            raise RuntimeError
        PolicyFolder.look(followed)

    monkeypatch.setattr(followed, "look", look)
    stricter(house)

    async def until_taken() -> None:
        following = asyncio.create_task(followed.follow())
        while followed.status().digest == before.digest:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        following.cancel()

    asyncio.run(until_taken())
    assert next(breaks, None) is None


def test_the_status_names_the_policy_in_use_and_why_a_newer_one_is_not(house: House) -> None:
    first = house.policy.status()
    assert (first.digest, first.refusal) == (house.first.digest, "")
    assert "roles.rego" in first.files
    whole = (house.folder / "roles.rego").read_text()
    (house.folder / "roles.rego").write_text(whole[: len(whole) // 2])
    house.looks()
    refused = house.policy.status()
    assert refused.digest == first.digest
    assert "roles.rego" in refused.refusal
    (house.folder / "roles.rego").write_text(whole)
    house.looks()
    assert house.policy.status() == first
