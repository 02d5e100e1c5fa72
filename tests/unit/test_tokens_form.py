"""Forms and scopes as values: what a body says, and what it must not."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.identity.tokens.form import MAX_FIELDS, Form, read_form
from iamrange.identity.tokens.http import HttpRequest
from iamrange.identity.tokens.settings import TokenSettings
from iamrange.identity.tokens.targets import is_cloud, scope_answer, scopes_of, target_of

FORM = (b"content-type", b"application/x-www-form-urlencoded")


def read(body: bytes, *headers: tuple[bytes, bytes]) -> Form | str:
    return read_form(HttpRequest(method="POST", path="/", headers=headers or (FORM,), body=body))


def form(**values: str) -> Form:
    return Form({name: (value,) for name, value in values.items()})


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), max_size=20))
def test_a_form_reads_back_what_was_encoded(values: dict[str, str]) -> None:
    plain = {
        name: value
        for name, value in values.items()
        if "\0" not in name + value and (name + value).isprintable()
    }
    got = read(urlencode(plain).encode())
    assert isinstance(got, Form)
    assert {name: got.one(name) for name in plain} == plain
    assert got.repeated is None


@given(st.binary(max_size=300))
def test_any_body_is_a_form_or_a_reason(body: bytes) -> None:
    got = read(body)
    assert isinstance(got, Form) or got in {
        "malformed-form",
        "not-utf-8",
        "too-many-parameters",
    }


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/x-www-form-urlencoded",
        b"application/x-www-form-urlencoded;charset=UTF-8",
        b"Application/X-WWW-Form-Urlencoded; charset=utf-8",
        b'application/x-www-form-urlencoded; charset="utf-8"',
    ],
)
def test_a_form_is_known_by_its_media_type(content_type: bytes) -> None:
    assert isinstance(read(b"a=1", (b"content-type", content_type)), Form)


def test_an_empty_value_counts_as_left_out_and_still_as_said() -> None:
    got = read(b"scope=&a=1")
    assert isinstance(got, Form)
    assert got.one("scope") is None
    again = read(b"scope=&scope=")
    assert isinstance(again, Form)
    assert again.repeated == "scope"


def test_resource_and_audience_may_be_repeated() -> None:
    got = read(b"resource=a&resource=b&audience=c&audience=c")
    assert isinstance(got, Form)
    assert got.repeated is None
    assert got.all("resource") == ("a", "b")


def test_as_many_parameters_as_allowed_and_no_more() -> None:
    fields = [b"p%d=1" % number for number in range(MAX_FIELDS)]
    assert isinstance(read(b"&".join(fields)), Form)
    assert read(b"&".join([*fields, b"q=1"])) == "too-many-parameters"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("read:a", None),
        ("read:a write:b", None),
        ("read:a read:a", None),
        (" read:a", "malformed-scope"),
        ("read:a ", "malformed-scope"),
        ("a  b", "malformed-scope"),
        ("a\tb", "malformed-scope"),
        ("a\\b", "malformed-scope"),
        ('a"b', "malformed-scope"),
        ("a\x7f", "malformed-scope"),
        ("x" * 129, "malformed-scope"),
        (" ".join(["a"] * 64), None),
        (" ".join(["a"] * 65), "too-many-scopes"),
        ("a" * 5000, "too-many-scopes"),
    ],
)
def test_scopes_are_tokens_with_one_space_between_them(text: str, fault: str | None) -> None:
    assert scopes_of(form(scope=text)).fault == fault


SCOPES = st.frozensets(st.sampled_from(["a", "b", "c", "d"]))


@given(asked=SCOPES.filter(bool), bounds=st.lists(SCOPES, min_size=1, max_size=3))
def test_what_is_granted_is_what_was_asked_and_within_every_bound(
    asked: frozenset[str], bounds: list[frozenset[str]]
) -> None:
    named = [(f"bound-{index}", bound) for index, bound in enumerate(bounds)]
    granted = scope_answer(scopes_of(form(scope=" ".join(asked))), named, TokenSettings())
    assert granted.answer.refuses == any(asked - bound for bound in bounds)
    if not granted.answer.refuses:
        assert granted.scopes == asked
    all_of_them = scope_answer(scopes_of(Form({})), named, TokenSettings())
    assert all_of_them.scopes == frozenset.intersection(*bounds)
    assert all_of_them.answer.refuses == (not all_of_them.scopes)


@pytest.mark.parametrize(
    "name",
    [
        "sts.amazonaws.com",
        "STS.amazonaws.com",
        "https://sts.eu-west-1.amazonaws.com/",
        "https://iam.googleapis.com/projects/1",
        "//iam.googleapis.com/projects/1",
        "iam.googleapis.com",
    ],
)
def test_a_clouds_name_is_known_in_all_its_forms(name: str) -> None:
    assert is_cloud(name)
    assert target_of(form(resource=name)).is_cloud
    assert target_of(form(audience=name)).fault is None


@pytest.mark.parametrize(
    "name", ["https://customers.iamrange.example", "https://amazonaws.com.example", "x"]
)
def test_other_names_are_no_clouds(name: str) -> None:
    assert not is_cloud(name)


@given(st.text())
def test_any_resource_is_a_target_or_a_fault(name: str) -> None:
    target = target_of(form(resource=name))
    assert target.fault in {None, "malformed-resource"}


@pytest.mark.parametrize("lifetime", [0, -1, 10**9])
def test_settings_out_of_bounds_are_refused(lifetime: int) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        TokenSettings(lifetime=lifetime)
