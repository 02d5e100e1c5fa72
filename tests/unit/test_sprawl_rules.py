"""The rules of sprawl: each says its own thing of its own case, and nothing of a good one."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.inventory.gather import (
    Credential,
    Fact,
    Inventory,
    Kind,
    Marker,
    SourceDownError,
    gather,
)
from iamrange.credentials.inventory.owners import Owners, Registered, Standing
from iamrange.credentials.inventory.sprawl import Waiver, judge
from iamrange.credentials.inventory.sprawl_rules import DAY, RULES, SettingError, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_800_000_000.0
MARKER = Marker(b"k" * 32)
OWNERS = Owners.of(
    [
        Registered("analyst", "ana@example.com", retired=False),
        Registered("old-bot", "ben@example.com", retired=True),
        Registered("ben", "ben@example.com", retired=True, person=True),
    ]
)
GOOD = Credential(
    source="vault",
    kind=Kind.AWS_SECRET,
    name="a",
    created=NOW - 10 * DAY,
    rotated=NOW - DAY,
    last_used=NOW - DAY,
    agent="analyst",
    marks=MARKER.of("a value of its own"),
)


def found(*credentials: Credential, **settings: float) -> set[tuple[str, str]]:
    inventory = Inventory(credentials, ("vault",))
    report = judge(inventory, OWNERS, Settings(**settings), NOW)
    assert not report.unevaluated
    return {(finding.rule.id, finding.place) for finding in report.findings}


def changed(**changes: object) -> Credential:
    return dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]


def test_good_credential_breaks_no_rule_and_the_report_is_clean() -> None:
    report = judge(Inventory((GOOD,), ("vault",)), OWNERS, Settings(), NOW)
    assert report.clean
    assert report.findings == ()


CASES = {
    "too-old": changed(rotated=NOW - 91 * DAY, created=NOW - 400 * DAY),
    "never-rotated": changed(rotated=None, created=NOW - 31 * DAY),
    "unused": changed(last_used=NOW - 91 * DAY),
    "no-owner": changed(agent=None),
    "owner-unknown": changed(agent=None, owner="stranger@example.com"),
    "owner-left": changed(agent=None, owner="Ben@example.com"),
    "no-expiry": changed(kind=Kind.DIRECTORY_KEY),
    "same-value-twice": changed(kind=Kind.AWS_SECRET),
    "too-many-of-one-agent": GOOD,
    "long-lived-key": changed(kind=Kind.AWS_ACCESS_KEY),
    "login-too-long": changed(kind=Kind.VAULT_ROLE, gives_for=25 * 3600.0),
    "expired-but-accepted": changed(expires=NOW - 1),
}


def test_each_rule_has_a_case_that_breaks_it() -> None:
    assert CASES.keys() == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", [rule.id for rule in RULES])
def test_rule_names_its_own_case_and_no_other_rule_does(rule: str) -> None:
    case = CASES[rule]
    others = (changed(name="b"),) if rule == "same-value-twice" else ()
    limits = {"credentials_per_agent": 0.0} if rule == "too-many-of-one-agent" else {}
    said = found(case, *others, **limits)
    assert (rule, case.place) in said
    assert {name for name, _ in said} == {rule}


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        (changed(last_used=None, created=NOW - 91 * DAY), "unused"),
        (changed(agent="old-bot"), "owner-left"),
        (changed(agent="ghost"), "owner-unknown"),
        (changed(expires=NOW), "expired-but-accepted"),
        (changed(kind=Kind.VAULT_ROLE, gives_for=None), "login-too-long"),
        (changed(kind=Kind.VAULT_TOKEN), "no-expiry"),
        (changed(kind=Kind.VAULT_LEASE), "no-expiry"),
        (changed(kind=Kind.VAULT_TOKEN, created=NOW - 91 * DAY, rotated=None), "too-old"),
    ],
)
def test_other_ways_to_break_a_rule_are_found_too(case: Credential, rule: str) -> None:
    assert rule in {name for name, _ in found(case)}


@pytest.mark.parametrize(
    "case",
    [
        changed(rotated=NOW - 90 * DAY),
        changed(last_used=NOW - 90 * DAY),
        changed(last_used=None),
        changed(expires=NOW + 1),
        changed(kind=Kind.AWS_ACCESS_KEY, active=False),
        changed(expires=NOW - 1, active=False),
        changed(kind=Kind.DIRECTORY_KEY, expires=NOW + DAY),
        changed(kind=Kind.VAULT_ROLE, gives_for=24 * 3600.0, created=None, rotated=None),
        changed(kind=Kind.VAULT_TOKEN, expires=NOW + DAY, created=NOW - 31 * DAY, rotated=None),
        changed(kind=Kind.VAULT_LEASE, expires=NOW + DAY, last_used=None),
    ],
)
def test_nothing_is_said_up_to_the_threshold_or_of_what_is_disabled(case: Credential) -> None:
    assert found(case) == set()


def test_member_of_one_secret_is_found_in_another_and_a_host_name_is_no_copy() -> None:
    one = changed(
        name="one", marks=MARKER.of('{"host": "db.internal.example", "password": "s3cret-s3cret"}')
    )
    two = changed(name="two", marks=MARKER.of(" s3cret-s3cret\n"))
    three = changed(name="three", marks=MARKER.of('{"host": "db.internal.example", "x": "short"}'))
    said = {place for rule, place in found(one, two, three) if rule == "same-value-twice"}
    assert said == {one.place, two.place}


def test_access_key_may_be_kept_in_one_secret_and_not_in_two() -> None:
    key_id = "AKIAIOSFODNN7EXAMPLE"
    key = changed(name="key", kind=Kind.AWS_ACCESS_KEY, marks=MARKER.of(key_id))
    first = changed(name="one", marks=MARKER.of(f"id={key_id} secret=abcdefghij"))
    second = changed(name="two", marks=MARKER.of(json.dumps({"AccessKeyId": key_id})))
    assert ("same-value-twice", key.place) not in found(key, first)
    assert ("same-value-twice", key.place) in found(key, first, second)


@pytest.mark.parametrize(
    ("fact", "rules"),
    [
        (Fact.VALUE, {"same-value-twice"}),
        (Fact.ROTATED, {"too-old", "never-rotated"}),
        (Fact.LAST_USED, {"unused"}),
        (Fact.OWNER, {"no-owner", "owner-unknown", "owner-left"}),
        (Fact.EXPIRES, {"expired-but-accepted"}),
    ],
)
def test_rule_that_lacks_a_fact_is_not_evaluated_and_the_report_is_not_clean(
    fact: Fact, rules: set[str]
) -> None:
    case = changed(unread={fact: "AccessDenied"})
    report = judge(Inventory((case,), ("vault",)), OWNERS, Settings(), NOW)
    assert {one.rule.id for one in report.unevaluated} == rules
    assert all("AccessDenied" in one.why for one in report.unevaluated)
    assert not report.clean


class Broken:
    """Yields one credential, then the store goes away."""

    source = "vault"

    def read(self, marker: Marker) -> Iterator[Credential]:
        del marker
        yield GOOD
        raise SourceDownError("ListSecrets: Timeout")


def test_source_that_goes_away_half_way_leaves_what_came_and_is_never_called_clean() -> None:
    inventory = gather([Broken()])
    assert inventory.credentials == (GOOD,)
    report = judge(inventory, OWNERS, Settings(), NOW)
    assert report.findings == ()
    assert not report.clean
    assert [(one.source, one.why) for one in report.unread] == [("vault", "ListSecrets: Timeout")]


def test_inventory_of_no_source_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one source"):
        gather([])


def test_accepted_finding_is_shown_with_its_reason_and_does_not_count() -> None:
    case = changed(kind=Kind.AWS_ACCESS_KEY)
    waiver = Waiver("long-lived-key", "vault: *", "until the migration")
    report = judge(Inventory((case,), ("vault",)), OWNERS, Settings(), NOW, [waiver])
    assert report.clean
    assert [one.waived for one in report.findings] == ["until the migration"]


def test_roster_says_who_has_left_whatever_the_directory_still_says() -> None:
    owners = Owners.of(
        [Registered("bot", "ana@example.com", retired=False)], roster=["Zoe@example.com"]
    )
    standings = [owners.standing(f"{name}@example.com") for name in ("zoe", "ana", "mallory")]
    assert standings == [Standing.PRESENT, Standing.LEFT, Standing.UNKNOWN]


def test_person_who_was_retired_has_left_though_an_agent_still_names_that_person() -> None:
    owners = Owners.of(
        [
            Registered("bot", "ben@example.com", retired=False),
            Registered("ben", "ben@example.com", retired=True, person=True),
        ]
    )
    assert owners.standing("ben@example.com") is Standing.LEFT


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_age", "3", "expected one of max_age_days"),
        ("max_age_days", "soon", "expected a number of 0 or more, got 'soon'"),
        ("max_age_days", "-1", "expected a number of 0 or more, got '-1'"),
        ("max_age_days", "nan", "expected a number of 0 or more, got 'nan'"),
        ("max_age_days", "inf", "expected a number of 0 or more, got 'inf'"),
    ],
)
def test_threshold_that_is_none_is_refused_with_what_was_expected(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(SettingError, match=said):
        Settings.of({name: value})


@given(st.text() | st.binary())
def test_mark_never_holds_what_it_marks_and_is_the_same_for_the_same(value: str | bytes) -> None:
    marks = MARKER.of(value)
    assert marks == MARKER.of(value)
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    if len(text.strip()) >= 8:
        assert marks
        assert marks.isdisjoint(Marker(b"x" * 32).of(value))
    assert all(len(mark) == 64 and mark != text for mark in marks)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_value_can_be_marked(value: object) -> None:
    MARKER.of(json.dumps(value))


def test_hostile_nesting_breaks_nothing() -> None:
    assert MARKER.of("[" * 100_000)


@given(
    st.floats(0, 1_000),
    st.floats(0, 1_000),
)
def test_older_is_never_better(age: float, more: float) -> None:
    young = changed(rotated=None, created=NOW - age * DAY, last_used=None)
    old = changed(rotated=None, created=NOW - (age + more) * DAY, last_used=None)
    assert {rule for rule, _ in found(young)} <= {rule for rule, _ in found(old)}


def test_report_as_json_holds_no_mark() -> None:
    report = judge(Inventory((GOOD,), ("vault",)), OWNERS, Settings(), NOW)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert not any(mark in text for mark in GOOD.marks)
    assert math.isclose(json.loads(text)["credentials"][0]["age_days"], 1.0)
