"""The policy in process: what it answers, what it cannot be talked into, what it refuses to be."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iamrange.access
from iamrange.access.policy_engine import (
    MAX_INPUT,
    PolicyAnswer,
    PolicyEngine,
    PolicyError,
    read_folder,
)
from iamrange.access.policy_memory import Reads, question, reads

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY = Path(iamrange.access.__file__).parent / "policy"
ENGINE = PolicyEngine.from_folder(POLICY)
READS = {
    "agent": {"role": "data-analyst"},
    "action": "read",
    "resource": {"classification": "public"},
}
WRITES = {
    "agent": {"role": "data-analyst"},
    "action": "write",
    "resource": {"classification": "internal"},
    "approval": {"manager_signed": True},
}
DENIES = "package ai.authorization\n\ndefault allow := false\n"


def policy(text: str) -> PolicyEngine:
    return PolicyEngine({"a.rego": DENIES + text})


def but(base: Mapping[str, Any], **members: object) -> dict[str, Any]:
    return {**base, **members}


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        (READS, ("analyst-reads-public-data",)),
        (but(READS, agent={"roles": ["data-analyst"]}), ("analyst-reads-public-data",)),
        (WRITES, ("analyst-writes-with-approval",)),
        (
            {
                "agent": {"role": "platform-admin"},
                "action": "execute",
                "resource": {"classification": "restricted"},
            },
            ("platform-admin-executes",),
        ),
    ],
)
def test_inputs_as_people_write_them_are_allowed(
    values: dict[str, Any], rules: tuple[str, ...]
) -> None:
    assert ENGINE.evaluate(json.dumps(values)) == PolicyAnswer(allow=True, rules=rules)


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        (but(WRITES, resource={"classification": "restricted"}), ("data-above-ceiling",)),
        (but(WRITES, approval=None), ("approval-required",)),
        (
            but(WRITES, approval={"manager_signed": "true"}),
            ("approval-malformed", "approval-required"),
        ),
        (
            but(WRITES, action="execute"),
            ("execute-is-for-platform-admins", "role-may-not"),
        ),
        (but(READS, agent={"role": "nobody"}), ("role-unknown",)),
        (but(READS, resource={}), ("classification-unknown",)),
        (but(READS, action="write"), ("approval-required",)),
    ],
)
def test_what_is_denied_says_why(values: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert ENGINE.evaluate(json.dumps(values)) == PolicyAnswer(allow=False, deny=reasons)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        '"{}"',
        "true",
        "{",
        "{'a': 1}",
        '{"action": NaN}',
        '{"action": Infinity}',
        json.dumps(READS)[:-1] + ', "action": "read"}',
        json.dumps(READS).replace('"role"', '"role": "intern", "role"'),
        json.dumps(but(READS, padding="x" * MAX_INPUT)),
        '{"a":' * 5000 + "1" + "}" * 5000,
        "[" * 100_000,
        json.dumps(READS) + "{}",
        "\ufeff" + json.dumps(READS),
    ],
    ids=lambda text: repr(f"{text[:40]}...{text[-20:]}"),
)
def test_what_is_no_json_object_with_each_member_once_is_denied(text: str) -> None:
    assert ENGINE.evaluate(text) == PolicyAnswer(allow=False, deny=("policy-input",))


def test_what_is_twice_in_a_list_of_objects_is_found_too() -> None:
    text = '{"context": {"actors": [{"a": 1, "a": 2}]}}'
    assert ENGINE.evaluate(text) == PolicyAnswer(allow=False, deny=("policy-input",))


@pytest.mark.parametrize("text", ['{"agent": "\\ud800"}', '{"action": 1e999}'])
def test_what_the_engine_cannot_read_is_denied(text: str) -> None:
    assert ENGINE.evaluate(text) == PolicyAnswer(allow=False, deny=("policy-error",))


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_no_input_is_allowed_by_chance(values: object) -> None:
    assert not ENGINE.evaluate(json.dumps(values)).allow


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert not ENGINE.evaluate(text).allow


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('allow := "true" if input.action == "read"', ("policy-error",)),
        ('allow := 1 if input.action == "read"', ("policy-error",)),
        ('allow := null if input.action == "read"', ("policy-error",)),
        ('allow if input.action == "read"\n\ndeny contains "x" if input.action', ("x",)),
        ('allow if {\n\tinput.action != ""\n\tto_number(input.action) > 0\n}', ("policy-error",)),
    ],
)
def test_an_answer_that_is_no_clear_yes_is_no(text: str, reasons: tuple[str, ...]) -> None:
    answer = policy(text).evaluate('{"action": "read"}')
    assert answer == PolicyAnswer(allow=False, deny=reasons)


def test_undefined_is_denied() -> None:
    engine = PolicyEngine(
        {
            "a.rego": 'package ai.authorization\n\nallow := false if input.action != "read"\n'
            "\nallow := false if not input.action\n"
        }
    )
    assert engine.evaluate('{"action": "read"}') == PolicyAnswer(
        allow=False, deny=("policy-undefined",)
    )


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ({}, "expected Rego files, got none"),
        ({"a_test.rego": DENIES}, "expected Rego files, got none"),
        ({"a.rego": ""}, "a.rego:1:1"),
        ({"a.rego": "package ai.authorization\n\nallow if {\n"}, "a.rego:"),
        ({"a.rego": "package ai.other\n\ndefault allow := false\n"}, "got undefined"),
        ({"a.rego": "package ai.authorization\n\nallow := true\n"}, "got true"),
        ({"a.rego": "package ai.authorization\n\nallow if not input.agent.role\n"}, "got true"),
        ({"a.rego": 'package ai.authorization\n\nallow := "no"\n'}, 'got "no"'),
        ({"a.rego": "package ai.authorization\n\nallow := {}\n"}, "got {}"),
        ({"a.rego": DENIES, "b.rego": "package ai.authorization\n\nx :="}, "b.rego:3"),
        ({"a.rego": DENIES + "\nallow if unknown_function(1)\n"}, "unknown_function"),
        (
            {"a.rego": DENIES, "b.rego": "package iamrange.question\n\nanswer := 1\n"},
            "b.rego:3",
        ),
    ],
)
def test_what_is_no_policy_is_refused_and_named(texts: dict[str, str], complaint: str) -> None:
    with pytest.raises(PolicyError) as raised:
        PolicyEngine(texts)
    assert complaint in str(raised.value)
    assert "Stack backtrace" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_thread_gets_the_same_answers() -> None:
    answers: list[PolicyAnswer] = []
    engine = policy('allow if input.action == "read"')

    def ask() -> None:
        answers.extend(
            [engine.ask(f'{{"action": "{action}"}}') for action in ("read", "write") * 10]
        )

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert [answer.allow for answer in answers] == [True, False] * 40


def test_an_engine_that_another_thread_made_and_used_may_go() -> None:
    made: list[PolicyEngine] = []
    thread = threading.Thread(target=lambda: made.append(policy("allow if input.x")))
    thread.start()
    thread.join()
    assert made.pop().evaluate('{"x": true}').allow


def test_more_policies_than_a_thread_keeps_still_answer() -> None:
    engines = [policy(f"allow if input.number == {number}") for number in range(20)]
    for _ in range(2):
        for number, engine in enumerate(engines):
            assert engine.evaluate(f'{{"number": {number}}}').allow
            assert not engine.evaluate(f'{{"number": {number + 1}}}').allow


def test_the_digest_is_of_names_and_texts() -> None:
    first = PolicyEngine({"a.rego": DENIES, "b.rego": "package b\n"})
    same = PolicyEngine({"b.rego": "package b\n", "a.rego": DENIES})
    other = PolicyEngine({"a.rego": DENIES, "c.rego": "package b\n"})
    assert first.digest == same.digest
    assert first.digest != other.digest
    assert repr(first) == f"PolicyEngine(a.rego, b.rego; {first.digest[:12]})"


# Remembered answers.


def test_the_policy_is_one_that_may_be_remembered() -> None:
    assert ENGINE.remembers


@pytest.mark.parametrize(
    "text",
    [
        "allow if input.context.time > 5",
        "allow if input.context",
        'allow if input["context"].time > 5',
        'allow if object.get(input, "context", {}).time > 5',
        "allow if {\n\tsome name\n\tinput[name].time > 5\n}",
        "allow if time.now_ns() > 0",
        'allow if rand.intn("x", 2) == 1',
        'allow if http.send({"method": "GET", "url": "http://127.0.0.1"}).status_code == 200',
        "allow if io.jwt.decode_verify(input.agent, {})[0]",
        'allow if uuid.rfc4122("") != ""',
        "allow if opa.runtime().env.x",
        "allow if walk(input, [])",
        "allow if input.context . time > 5",
        "allow if x.time > 5\n\nx := input",
        'allow if input.agent["role"] == "x"',
        "allow if input.agent",
        "allow if count(input.agent) > 1",
        "allow if input.resource[name]",
        "allow if object.get(input.agent, name, 1) == 1",
        'allow if object.get(input.agent, "a\\u0062", 1) == 1',
        'allow if object.get(input.agent, ["a", "b"], 1) == 1',
        "allow if input.agent == input.resource",
        "allow if input.action.x",
        "allow if input.other.x",
        "import input.agent as x\n\nallow if x.y",
        "allow if x with input as {}",
        '# input.agent\nallow if input.context.peer == ""',
        'allow if $"{input.context.time}" != ""',
    ],
)
def test_a_policy_that_may_answer_otherwise_next_time_is_not_remembered(text: str) -> None:
    assert reads([DENIES + text]) is None


@pytest.mark.parametrize(
    "text",
    [
        "allow if input.context.tenant == input.agent.tenant",
        'allow if input.action == "input.context.time"',
        "allow if input.action == `input`",
        "# input.context.time\nallow if input.resource.x",
        'allow if object.get(input.approval, "manager_signed", false)',
        "allow if my_input.context",
        "allow if input.agent.roles[_].x",
        "allow if {\n\tis_object(input.approval)\n\tinput.approval != null\n}",
    ],
)
def test_a_policy_that_reads_only_who_what_and_with_what_is_remembered(text: str) -> None:
    assert reads([DENIES + text]) is not None


def test_a_policy_that_reads_the_time_is_asked_each_time() -> None:
    engine = policy("allow if input.context.time > 5")
    assert not engine.remembers
    assert [
        engine.evaluate(f'{{"context": {{"time": {time}}}}}').allow for time in (4, 6, 4, 6)
    ] == [False, True, False, True]


READ: Reads = reads(ENGINE.texts.values()) or {}


def test_what_the_policy_reads_is_found() -> None:
    read = READ
    assert read == {
        "agent": {"role", "roles", "project", "tenant", "state", "classification"},
        "resource": {
            "service",
            "type",
            "classification",
            "project",
            "environment",
            "high_impact",
        },
        "approval": {"manager_signed"},
        "context": {"tenant"},
    }


def test_all_that_the_policy_reads_tells_questions_apart() -> None:
    whole = {**WRITES, "context": {"tenant": "a", "time": 1, "peer": "p"}, "other": 1}
    asked = question(whole, READ)
    assert json.loads(asked) == {**WRITES, "context": {"tenant": "a"}}
    for alike in (
        {"context": {"tenant": "a", "time": 2}},
        {"agent": {"role": "data-analyst", "id": "x"}},
        {"approval": {"manager_signed": True, "id": "x"}},
    ):
        assert question({**whole, **alike}, READ) == asked
    others: tuple[dict[str, Any], ...] = (
        {"context": {"tenant": "b"}},
        {"approval": {"manager_signed": 1}},
        {"approval": {"manager_signed": "true"}},
        {"approval": {}},
        {"approval": None},
        {"approval": True},
        {"agent": {"roles": ["data-analyst"]}},
        {"agent": "data-analyst"},
        {"action": ["write"]},
    )
    for other in others:
        assert question({**whole, **other}, READ) != asked
    assert question({"context": "x"}, READ) == '{"context":"x"}'


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["agent", "action", "resource", "approval", "context", "else"]),
        st.none()
        | st.booleans()
        | st.sampled_from(["read", "execute"])
        | st.dictionaries(
            st.sampled_from(["role", "classification", "manager_signed", "tenant", "time"]),
            st.sampled_from(["platform-admin", "data-analyst", "public", True, 1, None]),
        ),
    )
)
def test_the_question_has_the_answer_of_the_whole_input(values: dict[str, Any]) -> None:
    assert ENGINE.ask(question(values, READ)) == ENGINE.ask(json.dumps(values))


def test_a_changed_approval_is_another_question() -> None:
    signed = json.dumps(WRITES)
    unsigned = json.dumps(but(WRITES, approval={"manager_signed": False}))
    assert [ENGINE.evaluate(text).allow for text in (signed, unsigned, signed, unsigned)] == [
        True,
        False,
        True,
        False,
    ]


# The folder.


def test_a_policy_cut_off_anywhere_allows_nothing_new() -> None:
    text = read_folder(POLICY)["authorization.rego"]
    roles = read_folder(POLICY)["roles.rego"]
    taken = 0
    for end in range(0, len(text) - 1, 37):
        try:
            engine = PolicyEngine({"authorization.rego": text[:end], "roles.rego": roles})
        except PolicyError:
            continue
        taken += 1
        for values in (READS, WRITES, but(WRITES, resource={"classification": "restricted"})):
            assert not engine.evaluate(json.dumps(values)).allow
    assert taken


def test_a_table_of_roles_that_is_cut_off_is_no_policy_or_allows_nothing() -> None:
    text, roles = (read_folder(POLICY)[name] for name in ("authorization.rego", "roles.rego"))
    for end in range(0, len(roles) - 2, 37):
        try:
            engine = PolicyEngine({"authorization.rego": text, "roles.rego": roles[:end]})
        except PolicyError:
            continue
        assert not engine.evaluate(json.dumps(READS)).allow


@pytest.mark.parametrize("made", ["missing", "empty", "file", "not text", "too long", "folder"])
def test_a_folder_without_a_policy_is_refused(made: str, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    if made not in {"missing", "file"}:
        folder.mkdir()
    if made == "file":
        folder.write_text(DENIES)
    elif made == "not text":
        (folder / "a.rego").write_bytes(b"package \xff")
    elif made == "too long":
        (folder / "a.rego").write_text("#" * (1024 * 1024 + 1))
    elif made == "folder":
        (folder / "a.rego").mkdir()
    elif made == "empty":
        (folder / "readme.txt").write_text(DENIES)
    with pytest.raises(PolicyError, match=r"policy|a\.rego"):
        PolicyEngine.from_folder(folder)


def test_no_not_stands_before_a_call() -> None:
    """Engines differ in `not f(undefined)`: OPA says undefined, the engine in process true."""
    text = read_folder(POLICY)["authorization.rego"]
    negated = [line.strip() for line in text.splitlines() if " not " in f" {line.strip()}"]
    calls = [line for line in negated if "(" in line.partition("not ")[2] and line[0] != "#"]
    assert len(negated) > 10
    # functions of our own, whose argument is a grant that was found before
    assert set(calls) == {"not label_is_within(grant)", "not is_approved(grant)"}
