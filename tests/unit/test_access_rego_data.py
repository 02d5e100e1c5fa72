"""Which files of Rego are data to the engine, and that they mean the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iamrange.access
from iamrange.access.policy_engine import read_folder
from iamrange.access.rego import PolicyError, Rego
from iamrange.access.rego_data import as_data

POLICY = Path(iamrange.access.__file__).parent / "policy"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=10,
)


def test_the_table_of_roles_is_data() -> None:
    rules, data = as_data(read_folder(POLICY))
    assert sorted(rules) == ["authorization.rego", "authorization_test.rego"]
    assert set(data["ai"]["roles"]["grants"]) > {"data-analyst", "support-llm"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "package a\n",
        "package a\n\nx := {1, 2}\n",
        "package a\n\nx := 1 if true\n",
        "package a\n\nx := y\n",
        "package a\n\nx := [y]\n",
        "package a\n\nx := count([])\n",
        "package a\n\nx := 1 + 1\n",
        "package a\n\nx = 1\n",
        "package a\n\ndefault x := 1\n",
        "package a\n\nx := 1\n\nx := 2\n",
        'package a\n\nx := {"b": 1, "b": 2}\n',
        "package a\n\nx := 1 y := 2\n",
        "package a\n\nimport data.b\n\nx := 1\n",
        "package a\n\nx := `raw`\n",
        'package a\n\nx := $"{input}"\n',
        "package a\n\nx.y := 1\n",
        "package a\n\nx contains 1\n",
        'package a["b"]\n\nx := 1\n',
        "package a x := 1\n",
        "x := 1\n",
        "package a\n\nx := [" + "[" * 100_000 + "\n",
    ],
    ids=lambda text: repr(text[-30:]),
)
def test_what_is_more_than_values_stays_rules(text: str) -> None:
    assert as_data({"a.rego": text}) == ({"a.rego": text}, {})


@pytest.mark.parametrize("other", ["package a\n\ny := 2\n", "package a.b\n\ny := x if true\n"])
def test_a_package_with_rules_beside_it_stays_rules(other: str) -> None:
    text = "package a\n\nx := 1\n"
    rules, _ = as_data({"a.rego": text, "b.rego": other})
    assert rules["a.rego"] == text


def test_comments_and_trailing_commas_are_no_matter() -> None:
    text = (
        '# one\npackage a.b\n\n# "two"\n'
        'x := {\n\t"c": [1, 2,], # three\n\t"#": "a,}",\n}\n\ny := null\n'
    )
    assert as_data({"a.rego": text}) == (
        {},
        {"a": {"b": {"x": {"c": [1, 2], "#": "a,}"}, "y": None}}},
    )


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), VALUES, min_size=1))
def test_data_is_what_the_rules_would_have_said(values: dict[str, object]) -> None:
    text = "package a\n\n" + "\n\n".join(f"{name} := {json.dumps(v)}" for name, v in values.items())
    rules, data = as_data({"a.rego": text})
    assert (rules, data) == ({}, {"a": values})
    # a rule beside them makes the same text rules
    both = {"a.rego": text, "b.rego": "package a.c\n\nq := 1 if true\n"}
    assert set(as_data(both)[0]) == {"a.rego", "b.rego"}
    for name, value in values.items():
        for texts in ({"a.rego": text}, both):
            assert Rego(texts).look(f"data.a.{name}") == value


def test_a_table_that_is_broken_is_named() -> None:
    with pytest.raises(PolicyError, match=r"a\.rego:3"):
        Rego({"a.rego": "package a\n\nx := {1: }\n"})


def test_long_lines_and_files_are_read() -> None:
    values = json.dumps([f"value {number}" for number in range(900)])
    text = f"package a\n\nx := {values}\n\ny if x[3]\n"
    assert Rego({"a.rego": text}).ask("data.a.y") is True
