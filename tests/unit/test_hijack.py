"""What is made of a hijacked agent's transcript: values that got out, the first refusal."""

from __future__ import annotations

from typing import Any

import pytest

from iamrange.range.hijack import Hijacked, first_refusal, values
from iamrange.range.jail_relay import TurnedAway

DAILY: dict[str, Any] = {"call": {"url": "https://a.example/"}, "answer": {}}


def step(url: str, **answer: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("refused", "request_id", "token_refused", "token_request_id"))
    return {"call": {"url": url}, "answer": {**nothing, **answer}}


def hijacked(*steps: dict[str, Any], away: tuple[tuple[TurnedAway, str], ...] = ()) -> Hijacked:
    return Hijacked(steps=(DAILY, *steps), turned_away=away, outside=(), jailed=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"value": "a"}', ["a"]),
        ('{"value": "a"}\n{"value": "b", "x": 1}', ["a", "b"]),
        ('d={"value": "a"} and words', ["a"]),
        ('{"value": {"value": "a"}}', []),
        ('{"value": 1}', []),
        ("{{{", []),
        ('{ {"value": "a"}', ["a"]),
        ("value: a", []),
    ],
)
def test_values_are_found_wherever_they_stand(text: str, expected: list[str]) -> None:
    assert list(values([text])) == expected


def test_the_first_refusal_counts_and_daily_work_is_none() -> None:
    done = hijacked(
        step("https://hr.example/", refused="HTTP 401 wrong-audience", request_id="r1"),
        step("https://b.example/", refused="HTTP 403", request_id="r2"),
    )
    assert first_refusal(done) == {"refused": "HTTP 401 wrong-audience", "request_id": "r1"}


def test_a_token_that_was_not_given_comes_before_what_was_tried_without_it() -> None:
    done = hijacked(
        step(
            "https://hr.example/",
            refused="HTTP 401",
            request_id="r1",
            token_refused="invalid_scope",
            token_request_id="t1",
        )
    )
    assert first_refusal(done) == {"refused": "invalid_scope", "request_id": "t1"}


def test_a_way_out_that_was_refused_is_found_by_its_name() -> None:
    away = (
        (TurnedAway("x.example:443", "not-let-out"), "e1"),
        (TurnedAway("drop.example:443", "not-let-out"), "e2"),
    )
    done = hijacked(step("https://drop.example/in", refused="no-way-out"), away=away)
    assert first_refusal(done) == {"refused": "no-way-out", "request_id": "e2"}


def test_who_was_refused_nothing_has_no_refusal() -> None:
    assert first_refusal(hijacked(step("https://b.example/"))) is None
    assert first_refusal(hijacked()) is None
